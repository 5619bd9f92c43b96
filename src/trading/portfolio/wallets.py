"""What lies in which wallet, as a fold of the ledger's events: native SOL, tokens, and deposits of token accounts.

Buckets say whose money it is, wallets where it lies. Over all wallets both are the same, to the lamport and to the
unit; what is promised to open orders is not in here, because the open orders themselves say it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trading.model.events import (
    AccountClosed,
    CapitalDeposited,
    CapitalWithdrawn,
    FeePaid,
    LedgerEvent,
    OrderFilled,
    OrderRejected,
    WalletMoved,
)
from trading.model.intent import SOL_MINT
from trading.model.order import Fill, Side
from trading.model.wallet import MAIN, WalletTerms


@dataclass(slots=True)
class Wallet:
    """``units`` are base units by mint, ``deposits`` lamports by mint, which come back when an account is closed.
    ``problem``: why nothing is bought or sold with it now, "" where it is."""

    terms: WalletTerms
    lamports: int = 0
    units: dict[str, int] = field(default_factory=dict)
    deposits: dict[str, int] = field(default_factory=dict)
    problem: str = ""

    @property
    def is_empty(self) -> bool:
        return not (self.lamports or self.units or self.deposits)


@dataclass(slots=True)
class WalletBook:
    """The wallets of a desk that has several, ``main`` first. A balance below 0 is somebody else's doing: it is kept
    as it is, and nothing can be spent of it."""

    wallets: dict[str, Wallet]

    @classmethod
    def begun(cls, lamports: int, units: Mapping[str, int], deposits: Mapping[str, int]) -> "WalletBook":
        """Return the book of a desk that had one wallet until now, and this in it."""
        return cls({MAIN: Wallet(WalletTerms(MAIN), lamports, dict(units), dict(deposits))})

    def use(self, named: Sequence[WalletTerms]) -> None:
        """Go on with these wallets, in this order. One that is not named any more is forgotten."""
        found = {each.name: self.wallets.get(each.name, Wallet(each)) for each in named}
        for each in named:
            found[each.name].terms = each
        self.wallets = found

    def take(self, event: LedgerEvent | WalletMoved) -> None:
        """Take an event that the ledger has booked, once; one that moves nothing between wallets changes nothing."""
        match event:
            case CapitalDeposited():
                self._of(event.wallet).lamports += event.lamports
            case CapitalWithdrawn():
                self._of(event.wallet).lamports -= event.lamports
            case OrderRejected():
                self._of(event.wallet).lamports -= event.rejected.charged_lamports
            case FeePaid():
                self._of(event.wallet).lamports -= event.lamports
            case AccountClosed():
                wallet = self._of(event.wallet)
                wallet.lamports += event.lamports
                _add(wallet.deposits, event.mint, -event.lamports)
            case OrderFilled():
                self._filled(self._of(event.wallet), event.fill)
            case WalletMoved():
                self._moved(event)
            case _:
                return

    def forget(self, mint: str) -> None:
        """Take a token out of every wallet: it was written off."""
        for wallet in self.wallets.values():
            wallet.units.pop(mint, None)

    def hold(self, name: str, problem: str) -> None:
        """Leave a wallet alone; "" ends it."""
        self._of(name).problem = problem

    def units(self, name: str, mint: str) -> int:
        found = self.wallets.get(name)
        return 0 if found is None else found.units.get(mint, 0)

    def total_units(self, mint: str) -> int:
        return sum(wallet.units.get(mint, 0) for wallet in self.wallets.values())

    def holders(self, mint: str) -> list[str]:
        """Return the wallets that hold some of a token."""
        return [name for name, wallet in self.wallets.items() if wallet.units.get(mint, 0) > 0]

    def _filled(self, wallet: Wallet, fill: Fill) -> None:
        is_buy = fill.side is Side.BUY
        fees = fill.network_fee_lamports + fill.priority_fee_lamports + fill.rent_lamports
        wallet.lamports += (-fill.lamports if is_buy else fill.lamports) - fees
        _add(wallet.units, fill.mint, fill.base_units if is_buy else -fill.base_units)
        _add(wallet.deposits, fill.mint, fill.rent_lamports)

    def _moved(self, event: WalletMoved) -> None:
        source, target = self._of(event.from_wallet), self._of(event.to_wallet)
        if event.mint == SOL_MINT:
            source.lamports -= event.units
            target.lamports += event.units
        else:
            _add(source.units, event.mint, -event.units)
            _add(target.units, event.mint, event.units)

    def _of(self, name: str) -> Wallet:
        return self.wallets.setdefault(name, Wallet(WalletTerms(name, is_exit_only=True)))


def _add(units: dict[str, int], mint: str, change: int) -> None:
    after = units.get(mint, 0) + change
    if after:
        units[mint] = after
    else:
        units.pop(mint, None)

"""Which wallet carries an order out, where a desk has several. With one wallet there is nothing to decide.

What an open order may take is promised to it until it has ended, so nothing is promised twice: the open orders are the
reservations.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from trading.errors import InvalidInput
from trading.model.events import WalletMoved
from trading.model.intent import SOL_MINT
from trading.model.network import SIGNATURE_FEE_LAMPORTS, TOKEN_ACCOUNT_RENT_LAMPORTS
from trading.model.order import Denied, Order, Purpose, Side
from trading.model.wallet import MAIN, NAME_PATTERN, WalletTerms
from trading.portfolio.wallets import Wallet
from trading.risk.gate import denied_by

from .state import DeskState

ORDERS_MAX: Final = 64
"""How many orders of one wallet may be open at once."""


class Routing:
    """Reads the state; changes nothing."""

    def __init__(self, state: DeskState) -> None:
        self._state = state

    @property
    def are_several(self) -> bool:
        return self._state.wallets is not None

    @property
    def scope(self) -> str | None:
        """The wallet whose level every order is asked about: the only one, None where there are several."""
        return None if self.are_several else MAIN

    # Entries

    def buyer(self, bucket: str, mint: str, lamports: int) -> str | Denied:
        """Return the wallet that buys for a bucket: one that has so much to spare rather than one that has not, then
        one that holds the token already, so that one sale gets all of it, then the one with most to spare.

        The tier bounds over how many wallets purchases are spread: the first ones that may buy now.
        """
        book = self._state.wallets
        if book is None:
            return MAIN
        serving = [name for name, wallet in book.wallets.items() if wallet.terms.buys_for(bucket)]
        if not serving:
            return Denied("wallet_none", f"no wallet buys for the bucket {bucket!r}")
        held = {name: found for name in serving if (found := self._held(name)) is not None}
        able = [name for name in serving if name not in held][: self._state.tier.wallets_max]
        if not able:
            return held[serving[0]]
        full = {name for name in able if sum(each.wallet == name for each in self._open()) >= ORDERS_MAX}
        if full == set(able):
            return Denied("wallet_orders", f"{able[0]} has {ORDERS_MAX} orders open", ORDERS_MAX, ORDERS_MAX)
        free = {name: self.room_lamports(name, mint) for name in able if name not in full}
        return max(free, key=lambda name: (free[name] >= lamports, book.units(name, mint) > 0, free[name]))

    def room_lamports(self, name: str, mint: str) -> int:
        """Return what a purchase of the token may take out of a wallet, fees and deposit included: what is neither
        promised nor kept for the exits of what the wallet holds, is about to hold, and would hold then."""
        wallet = self._wallet(name)
        if wallet is None:
            return self._state.ledger.cash_lamports
        return wallet.lamports - self.reserved_lamports(name) - self.reserve_lamports(name, mint)

    def spare_lamports(self, name: str) -> int:
        """Return what may leave a wallet: what is neither promised nor kept for exits."""
        wallet = self._wallet(name)
        held = self._state.ledger.cash_lamports if wallet is None else wallet.lamports
        return max(0, held - self.reserved_lamports(name) - self.reserve_lamports(name))

    def reserved_lamports(self, name: str) -> int:
        """Return what open orders of the wallet may take out of it at most."""
        return sum(self._claim_lamports(order) for order in self._open() if order.wallet == name)

    def reserve_lamports(self, name: str, opening: str = "") -> int:
        """Return what stays in the wallet for exits, whatever an entry wants; ``opening``: of this token as well."""
        wallet = self._wallet(name)
        if wallet is None:
            return 0
        coming = {order.mint for order in self._open() if order.wallet == name and order.side is Side.BUY}
        tokens = {*wallet.units, *coming, opening} - {""}
        return max(wallet.terms.reserve_lamports, self._state.profile.limits.exit_reserve_lamports * len(tokens))

    def rent_lamports(self, name: str, mint: str, quoted_lamports: int) -> int:
        """Return the deposit that a purchase opens an account with, 0 where the wallet has one for the token."""
        wallet = self._wallet(name)
        if wallet is None:
            return quoted_lamports
        return 0 if wallet.deposits.get(mint) else TOKEN_ACCOUNT_RENT_LAMPORTS

    def crossed(self, mint: str) -> Order | None:
        """Return the first open sale of a token, from whatever wallet: a purchase would trade with it."""
        return next((each for each in self._open() if each.mint == mint and each.side is Side.SELL), None)

    # Exits

    def sellers(self, mint: str, units: int, within: str = "") -> list[tuple[str, int]]:
        """Return from which wallets so many base units are sold, the fullest first; less in sum where less is there
        and not on sale already; nothing from one that is to be left alone. ``within``: from this one only."""
        book = self._state.wallets
        if book is None:
            return [(MAIN, units)] if units > 0 else []
        free = {
            name: wallet.units.get(mint, 0) - self._on_sale(name, mint)
            for name, wallet in book.wallets.items()
            if not wallet.problem
        }
        found: list[tuple[str, int]] = []
        for name in sorted(free, key=lambda each: -free[each]):
            part = min(units, free[name])
            if part > 0 and within in ("", name):
                found.append((name, part))
                units -= part
        return found

    def share_lamports(self, name: str, mint: str, lamports: int) -> int:
        """Return the wallet's part of what all of a token is worth, rounded down."""
        book = self._state.wallets
        if book is None:
            return lamports
        total = book.total_units(mint)
        return lamports * book.units(name, mint) // total if total > 0 else 0

    def selling(self) -> Iterator[tuple[str, str]]:
        """Yield the wallets that may hold nothing now, with the reason."""
        for name in () if self._state.wallets is None else self._state.wallets.wallets:
            held = self._state.levels.selling_wallet(name)
            if held is not None:
                yield name, f"{held.level.value} {held.state.value.lower()}: {held.reason}"

    def problem_of(self, mint: str) -> str:
        """Return why a wallet that holds some of a token is left alone, "" where none is."""
        book = self._state.wallets
        names = [] if book is None else [each for each in book.holders(mint) if book.wallets[each].problem]
        return "" if book is None or not names else f"{names[0]} is left alone: {book.wallets[names[0]].problem}"

    def _held(self, name: str) -> Denied | None:
        """Return why a wallet may not buy now."""
        wallet = self._wallet(name)
        if wallet is not None and wallet.problem:
            return Denied("wallet_halted", f"the wallet {name!r} is left alone: {wallet.problem}")
        level = self._state.levels.held_wallet(name)
        return None if level is None else denied_by(level)

    def _on_sale(self, name: str, mint: str) -> int:
        return sum(
            each.amount_in
            for each in self._open()
            if each.wallet == name and each.mint == mint and each.purpose is Purpose.EXIT
        )

    def _claim_lamports(self, order: Order) -> int:
        fees = SIGNATURE_FEE_LAMPORTS + order.priority_fee_lamports
        if order.side is Side.SELL:
            return fees
        return order.amount_in + fees + self.rent_lamports(order.wallet, order.mint, 0)

    def _open(self) -> list[Order]:
        return list(self._state.open_orders.values())

    def _wallet(self, name: str) -> Wallet | None:
        book = self._state.wallets
        return None if book is None else book.wallets.get(name)


def check_wallets(state: DeskState, named: Sequence[WalletTerms]) -> None:
    """Raises InvalidInput for wallets that a desk cannot go on with: one of the present ones that still holds something
    must stay among them."""
    names = [each.name for each in named]
    if MAIN not in names or len(set(names)) < len(names):
        msg = f"wallets: each is named once, and {MAIN!r} is one of them, not {', '.join(names) or 'none'}"
        raise InvalidInput(msg, field="wallets")
    for each in named:
        if not re.match(NAME_PATTERN, each.name) or min(each.lamports, each.reserve_lamports) < 0:
            msg = f"wallets: {each} is none"
            raise InvalidInput(msg, field="wallets")
    for name, wallet in () if state.wallets is None else state.wallets.wallets.items():
        if name not in names and (wallet.units or wallet.deposits or state.open_orders):
            msg = f"wallets: {name!r} cannot be left out: it holds tokens or deposits of this desk, or orders are open"
            raise InvalidInput(msg, field="wallets", hint="give it the role exit until it is empty")


def gathered(state: DeskState, routing: Routing, key: str, lamports: int) -> Iterator[WalletMoved]:
    """Yield what is carried into ``main`` so that so much can go out of it, from the wallets with most to spare."""
    book = state.wallets
    if book is None:
        return
    spare = {name: routing.spare_lamports(name) for name in book.wallets}
    lacking = lamports - spare.pop(MAIN)
    for name in sorted(spare, key=lambda each: (-spare[each], each)):
        part = min(lacking, spare[name])
        if part > 0:
            lacking -= part
            yield WalletMoved(f"{key}/{name}", state.now_ns, name, MAIN, SOL_MINT, part, part)

"""Wallets on a chain as a person uses them: every act is a finalized transaction with balances before and after."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from trading.model.chain import TokenBalance, TransactionSeen
from trading.model.intent import SOL_MINT

RENT = 2_039_280
FEE = 5_000
BASE_FEE_PAYER = "somebody"


@dataclass
class HandChain:
    """``accounts`` maps (wallet, mint) to its units; an account that is not there is closed. Wrapped SOL is one too."""

    native: dict[str, int]
    accounts: dict[tuple[str, str], int] = field(default_factory=dict)
    count: int = 0

    @property
    def cash(self) -> int:
        """Native and wrapped SOL of all wallets."""
        return sum(self.native.values()) + self.units(SOL_MINT)

    def units(self, mint: str) -> int:
        return sum(units for (_, token), units in self.accounts.items() if token == mint)

    def _lamports(self, key: tuple[str, str]) -> int:
        if key not in self.accounts:
            return 0
        return RENT + (self.accounts[key] if key[1] == SOL_MINT else 0)

    @contextmanager
    def acting(self, payer: str) -> Iterator[list[TransactionSeen]]:
        """Let the caller change balances; afterwards the list holds the transaction that did it."""
        native, accounts = dict(self.native), dict(self.accounts)
        keys = set(accounts)
        old = {key: self._lamports(key) for key in accounts}
        made: list[TransactionSeen] = []
        if payer in self.native:
            self.native[payer] -= FEE
        yield made
        keys |= set(self.accounts)
        self.count += 1
        lamports = {wallet: (native[wallet], self.native[wallet]) for wallet in native}
        tokens = []
        for wallet, mint in sorted(keys):
            account = f"{wallet}/{mint}"
            lamports[account] = (old.get((wallet, mint), 0), self._lamports((wallet, mint)))
            tokens.append(
                TokenBalance(account, wallet, mint, accounts.get((wallet, mint)), self.accounts.get((wallet, mint)))
            )
        lamports.setdefault(payer, (10**12, 10**12 - FEE))
        made.append(
            TransactionSeen(f"sig{self.count}", self.count, 1, "", payer, lamports, tuple(tokens), (), b"", "e", FEE)
        )

    def send_sol(self, wallet: str, lamports: int) -> TransactionSeen:
        """Positive: somebody pays in; negative: the wallet pays out."""
        with self.acting(wallet if lamports < 0 else BASE_FEE_PAYER) as made:
            self.native[wallet] += lamports
        return made[0]

    def between(self, source: str, target: str, lamports: int) -> TransactionSeen:
        with self.acting(source) as made:
            self.native[source] -= lamports
            self.native[target] += lamports
        return made[0]

    def swap(self, wallet: str, mint: str, units: int, lamports: int, *, closes: bool = False) -> TransactionSeen:
        """Units above 0 are bought for so many lamports, else they are sold for them."""
        with self.acting(wallet) as made:
            self._move(wallet, mint, units, closes=closes)
            self.native[wallet] -= lamports if units > 0 else -lamports
        return made[0]

    def exchange(self, wallet: str, sold: tuple[str, int], bought: tuple[str, int]) -> TransactionSeen:
        with self.acting(wallet) as made:
            self._move(wallet, sold[0], -sold[1])
            self._move(wallet, *bought)
        return made[0]

    def send_token(self, wallet: str, mint: str, units: int, payer: str) -> TransactionSeen:
        """Above 0: it comes in (the sender pays for the account), else it goes out."""
        with self.acting(payer) as made:
            had = self.native[wallet]
            self._move(wallet, mint, units)
            if payer != wallet:
                self.native[wallet] = had
        return made[0]

    def wrap(self, wallet: str, lamports: int) -> TransactionSeen:
        with self.acting(wallet) as made:
            self._move(wallet, SOL_MINT, lamports)
            self.native[wallet] -= lamports
        return made[0]

    def close(self, wallet: str, mint: str, *, gift: int = 0) -> TransactionSeen:
        """Close an empty account, to which somebody had sent ``gift`` lamports."""
        with self.acting(wallet) as made:
            del self.accounts[wallet, mint]
            self.native[wallet] += RENT + gift
        [seen] = made
        account = f"{wallet}/{mint}"
        seen.lamports[account] = (RENT + gift, 0)
        return seen

    def _move(self, wallet: str, mint: str, units: int, *, closes: bool = False) -> None:
        key = (wallet, mint)
        if key not in self.accounts:
            self.accounts[key] = 0
            self.native[wallet] -= RENT
        self.accounts[key] += units
        assert self.accounts[key] >= 0
        if closes and not self.accounts[key]:
            del self.accounts[key]
            self.native[wallet] += RENT

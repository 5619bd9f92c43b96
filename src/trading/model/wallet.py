"""Wallets as the desk names them: one, ``main``, unless the operator names more."""

from dataclasses import dataclass
from typing import Final

MAIN: Final = "main"
"""The wallet that a desk has always: the only one, where no others are named."""
NAME_PATTERN: Final = "^[a-z0-9][a-z0-9_-]{0,31}$"


@dataclass(frozen=True, slots=True)
class WalletTerms:
    """How one wallet is used. ``lamports`` is what it held when it joined. ``buckets``: whose purchases it makes, empty
    for those of all. ``is_exit_only``: it buys nothing. ``reserve_lamports`` stay in it, whatever an entry wants."""

    name: str
    lamports: int = 0
    buckets: tuple[str, ...] = ()
    is_exit_only: bool = False
    reserve_lamports: int = 0

    def buys_for(self, bucket: str) -> bool:
        return not self.is_exit_only and (not self.buckets or bucket in self.buckets)


def account_key(wallet: str, mint: str) -> str:
    """Return the name of a wallet's account of a token: the mint alone for ``main``, as where there is one wallet."""
    return mint if wallet == MAIN else f"{wallet}/{mint}"

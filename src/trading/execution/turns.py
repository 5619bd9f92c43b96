"""Who waits for whom: orders of one wallet and token one after the other, purchases and sales never at once."""

import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from trading.model.intent import SOL_MINT, Intent, IntentKind

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Turns:
    """One swap of a token at a time in a wallet: its orders do not cross, and each sees what the last one left. Nor is
    an account closed while its token is swapped."""

    locks: dict[tuple[str, str], anyio.Lock] = field(default_factory=lambda: defaultdict(anyio.Lock))

    def of(self, intent: Intent) -> list[anyio.Lock]:
        mints = {intent.in_mint, intent.out_mint, *(each.mint for each in intent.accounts)} - {SOL_MINT}
        # Always in this order, so that no two wait for each other.
        return [self.locks[intent.wallet, mint] for mint in sorted(mints or {SOL_MINT})]


@dataclass(slots=True)
class Sides:
    """Purchases and sales of one token are never under way at once, in whatever wallets: they would trade with each
    other. The second waits until the first has ended."""

    under_way: dict[tuple[str, bool], list[str]] = field(default_factory=lambda: defaultdict(list))
    changed: anyio.Condition = field(default_factory=anyio.Condition)

    @asynccontextmanager
    async def of(self, intent: Intent) -> AsyncIterator[None]:
        own = [(mint, mint == intent.out_mint) for mint in {intent.in_mint, intent.out_mint} - {SOL_MINT}]
        if intent.kind is IntentKind.ROUND_TRIP:  # it does both
            own = [(each.mint, is_buy) for each in intent.accounts for is_buy in (True, False)]
        async with self.changed:
            while crossed := [each for mint, is_buy in own for each in self.under_way[mint, not is_buy]]:
                logger.info("intent %s waits: %s trades the token the other way", intent.id, crossed[0])
                await self.changed.wait()
            for side in own:
                self.under_way[side].append(intent.id)
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                async with self.changed:
                    for side in own:
                        self.under_way[side].remove(intent.id)
                    self.changed.notify_all()

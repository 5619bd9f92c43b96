"""What the chain knows about a token before it is bought: who may do what to it, and who has most of it."""

from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Final

from solders.pubkey import Pubkey

from trading.adapters.live_feed_facts import CycleFacts
from trading.adapters.solana.chain import HISTORY_PAGE, SolanaChain
from trading.adapters.solana.mints import TOKEN_2022_PROGRAM, TOKEN_PROGRAM, read_mint
from trading.config import ChainSection
from trading.errors import ChainUnavailable, DataError
from trading.model.chain import AccountSeen, MintSeen
from trading.model.token_facts import Facts, SellSimulation
from trading.model.units import BPS_ONE, NS_PER_S, ceil_div
from trading.ports import Clock

BURNED: Final = frozenset({"1nc1nerator11111111111111111111111111111111", "11111111111111111111111111111111"})
"""What lies there nobody has."""
_TOP: Final = 10
_REMEMBERED: Final = 512
_OWNER_BYTES: Final = 64


class ChainFacts:
    """A body of ``ports.FactsSource``; answers are remembered for ``facts_age_s``."""

    def __init__(self, chain: SolanaChain, section: ChainSection, clock: Clock) -> None:
        self._chain = chain
        self._section = section
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], tuple[int, Facts]] = OrderedDict()

    async def facts(self, mint: str, pool: str, *, needs_age: bool) -> Facts | None:
        """See the port. Liquidity, who holds it, how many have some, and whether it sells are not known here."""
        now_ns = self._clock.now_ns()
        at_ns, known = self._known.get((mint, pool), (0, None))
        is_young = now_ns - at_ns < self._section.facts_age_s * NS_PER_S
        if known is None or not is_young or (needs_age and known.age_s is None):
            known = await self._asked(mint, pool, needs_age=needs_age)
            if known is None:
                return None
            at_ns = now_ns
            self._known[mint, pool] = (at_ns, known)
            self._known.move_to_end((mint, pool))
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        if known.age_s is None:
            return known
        return replace(known, age_s=known.age_s + (now_ns - at_ns) // NS_PER_S)

    async def _asked(self, mint: str, pool: str, *, needs_age: bool) -> Facts | None:
        accounts = await self._chain.accounts([mint, pool])
        account = accounts[mint]
        if account is None:
            return None
        try:
            seen = read_mint(account)
        except DataError:
            return None
        top_ten_bps = await self._top_ten_bps(seen, pool, accounts[pool])
        age_s = await self._age_s(pool) if needs_age else None
        return facts_of_mint(seen, top_ten_bps=top_ten_bps, age_s=age_s)

    async def _top_ten_bps(self, seen: MintSeen, pool: str, pool_account: AccountSeen | None) -> int | None:
        """Return the share of the ten largest holders, the pool and what is burned left out; None if not to be had."""
        if not seen.supply_units:
            return None
        try:
            largest = await self._chain.largest_accounts(seen.mint)
            held = await self._chain.accounts([address for address, _ in largest])
        except ChainUnavailable:
            return None  # some endpoints do not tell; the rest of the facts is worth having
        if not largest or any(account is None for account in held.values()):
            return None
        holders = _holders(largest, held, pool, pool_account)
        top = sum(units for _, units in holders.most_common(_TOP))
        return min(BPS_ONE, ceil_div(top * BPS_ONE, seen.supply_units))

    async def _age_s(self, address: str) -> int | None:
        """Return how long ago an address appeared, where its whole history fits on one page."""
        try:
            entries = await self._chain.signatures(address, until=None, limit=HISTORY_PAGE)
        except ChainUnavailable:
            return None
        times = [entry.block_time_s for entry in entries if entry.block_time_s is not None]
        if not times or len(entries) >= HISTORY_PAGE:
            return None
        return max(0, self._clock.now_ns() // NS_PER_S - min(times))


def facts_of_mint(seen: MintSeen, *, top_ten_bps: int | None, age_s: int | None) -> Facts:
    """Return the facts that a mint account gives. What could be set up later by somebody counts as set up by him.

    With an extension that we do not know, it is not known what a transfer costs or who has a say in it.
    """
    is_known = not seen.unknown_extensions
    hook = seen.transfer_hook or seen.transfer_hook_authority
    return Facts(
        mint=seen.mint,
        age_s=age_s,
        holders=None,
        top_ten_bps=top_ten_bps,
        mint_authority=seen.mint_authority,
        # Whoever can stop all transfers freezes everybody at once.
        freeze_authority=seen.freeze_authority or seen.pause_authority,
        transfer_fee_bps=min(seen.transfer_fee_bps, BPS_ONE) if is_known else None,
        transfer_hook=hook if hook or is_known else None,
        permanent_delegate=seen.permanent_delegate if seen.permanent_delegate or is_known else None,
        liquidity_lamports=None,
        liquidity_hold=None,
        sale=SellSimulation(0, 0, None, stuck) if (stuck := _why_stuck(seen)) else None,
    )


def facts_of_chain(section: ChainSection, clock: Clock) -> Callable[[], AbstractAsyncContextManager[CycleFacts]]:
    """Return what opens the facts of a live feed."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[CycleFacts]:
        async with SolanaChain.connect(section, clock) as chain:
            yield CycleFacts(ChainFacts(chain, section, clock), section)

    return opened


def _why_stuck(seen: MintSeen) -> str:
    """Return why nobody could sell it now, "" where nothing of the mint says so."""
    if seen.is_non_transferable:
        return "it cannot be transferred"
    if seen.is_paused:
        return "all transfers of it are stopped"
    return "every new account of it is frozen" if seen.is_frozen_by_default else ""


def _holders(
    largest: Sequence[tuple[str, int]],
    held: Mapping[str, AccountSeen | None],
    pool: str,
    pool_account: AccountSeen | None,
) -> Counter[str]:
    """Return base units by owner. A pool's accounts are its own, or named in its data, as every kind of pool does."""
    pool_data = b"" if pool_account is None else pool_account.data
    holders: Counter[str] = Counter()
    for address, units in largest:
        account = held[address]
        assert account is not None
        if account.owner not in (TOKEN_PROGRAM, TOKEN_2022_PROGRAM) or len(account.data) < _OWNER_BYTES:
            continue  # closed meanwhile, and something else now
        owner = str(Pubkey.from_bytes(account.data[32:_OWNER_BYTES]))
        is_pool = owner == pool or bytes(Pubkey.from_string(address)) in pool_data
        if not is_pool and owner not in BURNED:
            holders[owner] += units
    return holders

"""The EVM chain with real money beside arbitrage: its account's executor at work, and legs that swap through it.

The account's key stays in this process. What gives money, in its token of each pool, is signed only while the desk is
armed at that moment and within arbitrage's own caps; what brings money back is signed always, as exits are.
"""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
import anyio.abc
import anyio.to_thread

from trading.arbitrage.evm_leg import EvmLeg, EvmLegParts, EvmLegTerms
from trading.arbitrage.leg_venue import LegVenue
from trading.config import ArbitrageSection, EvmSection, Sections
from trading.config.arbitrage import EVM_UNITS_MAX, ArbitragePairSection
from trading.errors import InvalidInput
from trading.model.evm import EvmIntent, EvmMandate, PoolRef
from trading.model.units import SOL_DECIMALS, sol_to_lamports
from trading.ports import Clock

from .evm_key import evm_key_of
from .evm_reviewing import EvmReview

if TYPE_CHECKING:
    from trading.adapters.evm.opening import EvmDoor

GAS_USUAL: Final = 350_000
"""Of a swap and the allowance before it, with room for a tick or two; what they really took is booked."""
WEI_PER_ETHER: Final = 10**18


@dataclass(frozen=True, slots=True)
class RealEvmParts:
    """``problem`` says why real money is not armed, "" while it is. What is opened is closed with ``stack``; the
    executor works in ``tasks`` until they are cancelled. ``on_review`` hears whom to ask what
    waits for a person there."""

    folder: Path
    problem: Callable[[], str]
    stack: AsyncExitStack
    tasks: anyio.abc.TaskGroup
    clock: Clock
    on_review: Callable[[EvmReview | None], None]


class RealEvm:
    """One account for all pairs, opened by whichever leg is first."""

    def __init__(self, sections: Sections, parts: RealEvmParts) -> None:
        self._section = sections.evm
        self._arbitrage = sections.arbitrage
        self._parts = parts
        self._lock = anyio.Lock()
        self._opened: tuple[EvmDoor, EvmLegParts] | None = None

    async def leg(self, name: str, pair: ArbitragePairSection) -> LegVenue:
        """Return a pair's leg at its pool; what was under way is taken up before it is there.

        Raises: InvalidInput naming the setting; WrongChain, ChainUnavailable, RouteRefused, JournalUnavailable.
        """
        async with self._lock:
            if self._opened is None:
                self._opened = await self._open()
        door, parts = self._opened
        pool, section = door.pool(pair.evm_pool), self._arbitrage
        worth = Fraction(section.evm_sol_per_ether) * 10**SOL_DECIMALS / WEI_PER_ETHER
        terms = EvmLegTerms(
            pool=pool,
            money_is_0=pair.evm_sol_is_0,
            fee_wei_max=self._section.fee_wei_max,
            gas_wei=ceil(int(sol_to_lamports(section.evm_fee_sol)) / worth),
            money_per_wei=worth,
            gas=GAS_USUAL,
            fails_bps=section.chain_fails_bps,
            poll_s=min(0.2, self._section.poll_s),
        )
        return EvmLeg(name, parts, terms)

    async def _open(self) -> "tuple[EvmDoor, EvmLegParts]":
        try:
            from trading.adapters.evm.journal import SqlEvmJournal
            from trading.adapters.evm.opening import JOURNAL_NAME, opened
            from trading.adapters.evm.signer import EvmKey
        except ModuleNotFoundError as error:
            msg = f"{error.name} is not installed, and without it no EVM chain can be asked"
            raise InvalidInput(msg, field="arbitrage.pairs", hint="pip install 'memmcp-server[evm]'") from None
        parts, clock = self._parts, self._parts.clock
        async with AsyncExitStack() as own:
            secret = evm_key_of(self._section)
            try:
                key = EvmKey(secret)
            except InvalidInput as error:
                msg = f"evm.key_file: {error.message}"
                raise InvalidInput(msg, field="evm.key_file") from None
            door = await own.enter_async_context(opened(self._section, clock))
            await self._require_decimals(door)
            mandate = arbitrage_mandate(door.mandate(key.address), self._arbitrage, self._section, door.pools)
            place = parts.folder / JOURNAL_NAME
            journal = await anyio.to_thread.run_sync(SqlEvmJournal.at, place, clock.now_ns)
            own.callback(journal.close)
            if others := await anyio.to_thread.run_sync(journal.accounts_under_way) - {key.address}:
                msg = f"evm.key_file: it is the key of {key.address}, and swaps of {', '.join(others)} are under way"
                raise InvalidInput(msg, field="evm.key_file", hint="let them end with their own key first")
            brings_back = _middles(self._arbitrage, door.pools)

            def guard(intent: EvmIntent, _now_ns: int) -> str:
                return "" if intent.in_token in brings_back else parts.problem()

            executor = door.executor(key, journal, mandate, guard)
            await parts.tasks.start(executor.run)
            own.callback(parts.on_review, None)
            parts.on_review(EvmReview(journal, door.nodes, key.address, executor.take_up))
            parts.stack.push_async_exit(own.pop_all())
        return door, EvmLegParts(executor, journal, door.reader, door.reader, mandate, clock)

    async def _require_decimals(self, door: "EvmDoor") -> None:
        """A token that counts otherwise than the settings say would make every quote wrong by powers of ten."""
        for pair in _with_pools(self._arbitrage):
            pool = door.pool(pair.evm_pool)
            wanted = dict(zip(_tokens(pool, pair), (SOL_DECIMALS, pair.decimals), strict=True))
            for token, decimals in wanted.items():
                found = await door.reader.decimals(token)
                if found != decimals:
                    msg = f"arbitrage.pairs: {pair.name}: {token} has {found} decimals, and {decimals} are wished"
                    raise InvalidInput(msg, field="arbitrage.pairs", hint="money is SOL with nine; see evm_sol_is_0")


def arbitrage_mandate(
    usual: EvmMandate, section: ArbitrageSection, evm: EvmSection, pools: tuple[PoolRef, ...]
) -> EvmMandate:
    """Return what arbitrage's account may do: give money within arbitrage's caps, or ``evm``'s own where they are
    narrower, and bring it back without one. Raises: InvalidInput for a token that is money in one pair and not in
    another."""
    by_address = {each.address: each for each in pools}
    used = {pair.name: by_address[pair.evm_pool] for pair in _with_pools(section)}
    money = {_tokens(used[pair.name], pair)[0] for pair in _with_pools(section)}
    middles = _middles(section, pools)
    if both := sorted(money & middles):
        msg = f"arbitrage.pairs: {', '.join(both)} is money in one pair and the other token in another"
        raise InvalidInput(msg, field="arbitrage.pairs", hint="see evm_sol_is_0")
    free = dict.fromkeys(middles, EVM_UNITS_MAX)
    order_max, day_max = section.evm_order_max_units, section.evm_day_max_units
    return replace(
        usual,
        pools=tuple(dict.fromkeys(used.values())),
        token_max=free | {each: min(order_max, evm.token_max.get(each, order_max)) for each in money},
        token_day_max=free | {each: min(day_max, evm.token_day_max.get(each, day_max)) for each in money},
    )


def _middles(section: ArbitrageSection, pools: tuple[PoolRef, ...]) -> frozenset[str]:
    by_address = {each.address: each for each in pools}
    return frozenset(_tokens(by_address[pair.evm_pool], pair)[1] for pair in _with_pools(section))


def _with_pools(section: ArbitrageSection) -> list[ArbitragePairSection]:
    return [each for each in section.pairs if each.evm_pool]


def _tokens(pool: PoolRef, pair: ArbitragePairSection) -> tuple[str, str]:
    """Return the pool's money token and its other one."""
    return (pool.token_0, pool.token_1) if pair.evm_sol_is_0 else (pool.token_1, pool.token_0)

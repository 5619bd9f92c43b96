"""Opens the venues of arbitrage from its section: on paper prices alone, with real money what sends."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from trading.arbitrage.leg_venue import LegLook, LegVenue, Outcome
from trading.arbitrage.monitor import MonitorRules
from trading.arbitrage.opportunities import TripTerms
from trading.arbitrage.paper_leg import Chance, PaperInventory, PaperLeg, PaperTerms, Sight
from trading.arbitrage.planning import TripPace
from trading.arbitrage.trips import Attempt, Dead, Phase
from trading.config import ArbitrageSection, Sections
from trading.config.arbitrage import EVM, EXCHANGE, SOLANA, ArbitragePairSection
from trading.errors import InvalidInput
from trading.model.intent import SOL_MINT
from trading.model.units import SOL_DECIMALS, sol_to_lamports
from trading.ports import Clock

if TYPE_CHECKING:
    from trading.adapters.evm.opening import EvmDoor
    from trading.adapters.exchange.gateway import ExchangePair
    from trading.adapters.jupiter.gateway import JupiterApi

    from .live_run import LiveDesk

NO_KEYS: Final = {"api_key": None, "secret": None, "password": None}


@dataclass(frozen=True, slots=True)
class OpenedPair:
    """``venues`` by name. ``held`` is what lies at them on paper, empty with real money, which has ``market``."""

    section: ArbitragePairSection
    venues: Mapping[str, LegVenue]
    held: Mapping[str, PaperInventory]
    market: "ExchangePair | None" = None


def venue_name(pair: str, kind: str) -> str:
    """Return what a venue is called in journals and answers; it stays when the exchange behind it is another."""
    return f"{pair}/{kind}"


def rules_of(section: ArbitrageSection, pair: ArbitragePairSection) -> MonitorRules:
    """Return how one pair is looked at, with what its trips cost besides what quotes tell."""
    terms = TripTerms(
        breaks_bps=section.breaks_bps,
        unwind_bps=section.unwind_bps,
        carry_bps=section.carry_bps,
        carry_fixed=int(sol_to_lamports(section.carry_fixed_sol)),
        carry_batch=int(sol_to_lamports(section.carry_batch_sol)),
        capital_bps_year=section.capital_bps_year,
        funding_bps_year=section.funding_bps_year,
        turn_s=section.turn_s,
    )
    pace = TripPace(
        first_slip_bps=section.first_slip_bps,
        second_slip_bps=section.second_slip_bps,
        unwind_loss_bps=section.unwind_loss_bps,
        attempt_s=section.attempt_s,
        hedge_s=section.hedge_s,
        flat_s=section.flat_s,
    )
    return MonitorRules(
        least=int(sol_to_lamports(pair.least_sol)),
        most=int(sol_to_lamports(max(pair.least_sol, min(pair.most_sol, section.size_max_sol)))),
        net_min=int(sol_to_lamports(pair.net_min_sol)),
        usual=terms,
        pace=pace,
        keep_bps=section.keep_bps,
        every_s=section.every_s,
        look_s=section.look_s,
        stale_s=section.stale_s,
    )


@asynccontextmanager
async def paper_venues(
    sections: Sections, moved: Mapping[str, tuple[int, int]], chance: Chance, clock: Clock
) -> AsyncIterator[list[OpenedPair]]:
    """Open prices of every pair. ``moved``: what trips and transfers have changed at each venue so far.

    Raises: InvalidInput; ExchangeUnavailable, ExchangeRefused, ChainUnavailable, WrongChain, RouteRefused.
    """
    import anyio

    section = sections.arbitrage
    async with AsyncExitStack() as stack:
        sights = _Sights(sections, stack, clock)
        found = []
        for pair in section.pairs:
            venues: dict[str, LegVenue] = {}
            held: dict[str, PaperInventory] = {}
            for kind in pair.venues:
                name = venue_name(pair.name, kind)
                money, middle = moved.get(name, (0, 0))
                held[name] = PaperInventory(int(sol_to_lamports(pair.paper_sol)) + money, pair.paper_units + middle)
                sight = await sights.of(pair, kind)
                leg = PaperLeg(sight, held[name], _terms(section, kind), chance, clock, anyio.sleep)
                leg.given = getattr(sight, "given", None)
                venues[name] = leg
            found.append(OpenedPair(pair, venues, held))
        yield found


def _terms(section: ArbitrageSection, kind: str) -> PaperTerms:
    costs = {SOLANA: section.chain_fee_sol, EVM: section.evm_fee_sol}
    cost = int(sol_to_lamports(costs[kind])) if kind in costs else 0
    return PaperTerms(section.paper_latency_s, cost, section.chain_fails_bps if kind in costs else 0)


class _Sights:
    """Opens what gives prices, each of it once."""

    def __init__(self, sections: Sections, stack: AsyncExitStack, clock: Clock) -> None:
        self._sections = sections
        self._stack = stack
        self._clock = clock
        self._evm: EvmDoor | None = None
        self._jupiter: JupiterApi | None = None

    async def of(self, pair: ArbitragePairSection, kind: str) -> Sight:
        name = venue_name(pair.name, kind)
        if kind == EXCHANGE:
            return await self._exchange(name, pair)
        return await (self._solana if kind == SOLANA else self._pool)(name, pair)

    async def _exchange(self, name: str, pair: ArbitragePairSection) -> Sight:
        from trading.adapters.exchange.gateway import ExchangePair
        from trading.adapters.exchange.leg import ExchangeLeg

        # On paper nobody needs a key, so none is given to whatever reads prices.
        section = self._sections.exchange.model_copy(update=NO_KEYS)
        money_is_base = pair.market.startswith("SOL/")
        decimals = (SOL_DECIMALS, pair.decimals) if money_is_base else (pair.decimals, SOL_DECIMALS)
        opened = ExchangePair.connect(section, pair.market, decimals, self._clock)
        found = await self._stack.enter_async_context(opened)
        return ExchangeLeg(name, found, self._clock, money_is_base=money_is_base, has_key=False)

    async def _solana(self, name: str, pair: ArbitragePairSection) -> Sight:
        from trading.adapters.jupiter.gateway import JupiterApi
        from trading.adapters.jupiter.sight import JupiterSight, SightTerms

        section = self._sections.arbitrage
        if self._jupiter is None:
            calls = {"jupiter_calls_per_minute": section.jupiter_calls_per_minute}
            market = self._sections.market.model_copy(update=calls)
            opened = JupiterApi.connect(market, self._sections.router, self._clock)
            self._jupiter = await self._stack.enter_async_context(opened)
        rules = rules_of(section, pair)
        terms = SightTerms(SOL_MINT, pair.mint, rules.least, rules.most, section.sizes)
        return JupiterSight(name, self._jupiter, terms)

    async def _pool(self, name: str, pair: ArbitragePairSection) -> Sight:
        try:
            from trading.adapters.evm.opening import opened
        except ModuleNotFoundError as error:
            msg = f"{error.name} is not installed, and without it no EVM chain can be asked"
            raise InvalidInput(msg, field="arbitrage.pairs", hint="pip install 'memmcp-server[evm]'") from None
        from trading.arbitrage.evm_sight import EvmSight, EvmSightTerms

        if self._evm is None:
            self._evm = await self._stack.enter_async_context(opened(self._sections.evm, self._clock))
        terms = EvmSightTerms(self._evm.pool(pair.evm_pool), pair.evm_sol_is_0)
        return EvmSight(name, self._evm.reader, terms, self._clock)


@asynccontextmanager
async def real_venues(sections: Sections, live: "LiveDesk", clock: Clock) -> AsyncIterator[list[OpenedPair]]:
    """Open what sends with real money. Raises: as ``paper_venues``."""
    from trading.adapters.exchange.gateway import ExchangePair
    from trading.adapters.exchange.leg import ExchangeLeg
    from trading.arbitrage.ladder import sizes_between
    from trading.arbitrage.solana_leg import SolanaLeg, SolanaParts, SolanaTerms

    section = sections.arbitrage
    parts = live.parts
    solana = SolanaParts(live.executor, parts.journal, parts.chain, parts.router, clock)
    async with AsyncExitStack() as stack:
        found = []
        for pair in section.pairs:
            rules = rules_of(section, pair)
            money_is_base = pair.market.startswith("SOL/")
            decimals = (SOL_DECIMALS, pair.decimals) if money_is_base else (pair.decimals, SOL_DECIMALS)
            opened = ExchangePair.connect(sections.exchange, pair.market, decimals, clock)
            market = await stack.enter_async_context(opened)
            name = venue_name(pair.name, EXCHANGE)
            leg = ExchangeLeg(name, market, clock, money_is_base=money_is_base, has_key=True)
            venues: dict[str, LegVenue] = {name: ArmedLeg(leg, lambda: live.arming.problem, clock)}
            name = venue_name(pair.name, SOLANA)
            terms = SolanaTerms(
                wallet=section.wallet,
                money_mint=SOL_MINT,
                middle_mint=pair.mint,
                sizes=sizes_between(rules.least, rules.most, section.sizes),
                fee_lamports_max=int(sol_to_lamports(section.chain_fee_sol)),
                slippage_bps_max=sections.live.slippage_bps_max,
                keep_lamports=sections.live.reserve_lamports,
                fails_bps=section.chain_fails_bps,
            )
            venues[name] = ArmedLeg(SolanaLeg(name, solana, terms), lambda: live.arming.problem, clock)
            found.append(OpenedPair(pair, venues, {}, market))
        yield found


class ArmedLeg:
    """A leg of real money: a trip's first is sent only while the operator's mandate is armed at that moment. What
    brings money back is sent all the same, as exits are; what the signer refuses is refused there."""

    def __init__(self, leg: LegVenue, problem: Callable[[], str], clock: Clock) -> None:
        self._leg = leg
        self._problem = problem
        self._clock = clock

    @property
    def name(self) -> str:
        return self._leg.name

    async def look(self) -> LegLook:
        return await self._leg.look()

    async def send(self, attempt: Attempt) -> Outcome:
        if attempt.phase is Phase.FIRST and self._problem():
            return Dead(attempt.key, 0, self._clock.now_ns())
        return await self._leg.send(attempt)

    async def ask(self, attempt: Attempt) -> Outcome:
        return await self._leg.ask(attempt)

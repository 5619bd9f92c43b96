"""Opens the venues of arbitrage from its section: on paper prices alone, with real money what sends."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import anyio

from trading.arbitrage.late_leg import LateLeg, LateSight
from trading.arbitrage.leg_venue import LegLook, LegVenue, Outcome
from trading.arbitrage.monitor import MonitorRules
from trading.arbitrage.opportunities import TripTerms
from trading.arbitrage.paper_leg import Chance, PaperInventory, PaperLeg, PaperTerms, Sight
from trading.arbitrage.planning import TripPace
from trading.arbitrage.trips import Attempt, Dead, Phase
from trading.config import ArbitrageSection, MarketSection, Sections
from trading.config.arbitrage import EVM, EXCHANGE, SOLANA, ArbitragePairSection
from trading.errors import ExchangeUnavailable, InvalidInput
from trading.model.intent import SOL_MINT
from trading.model.units import SOL_DECIMALS, sol_to_lamports
from trading.ports import Clock

if TYPE_CHECKING:
    from trading.adapters.evm.opening import EvmDoor
    from trading.adapters.exchange.client import ExchangeClient
    from trading.adapters.exchange.gateway import ExchangePair
    from trading.adapters.jupiter.gateway import JupiterApi
    from trading.arbitrage.round_trips import WholeLeg

    from .arbitrage_evm import RealEvm
    from .evm_reviewing import EvmReview
    from .live_run import LiveDesk

WHOLE: Final = "whole"
"""Both legs on Solana at once."""
NO_KEYS: Final = {"api_key": None, "secret": None, "password": None}


class Opens(Protocol):
    """``late_leg.Late`` as far as it has to be opened."""

    async def open(self) -> None: ...


@dataclass(frozen=True, slots=True)
class OpenedPair:
    """``venues`` by name. ``held`` is what lies at them on paper, empty with real money, which has ``market``. ``late``
    are to be opened by whoever works with them. ``wholes`` make both legs at once, each by the venue whose legs."""

    section: ArbitragePairSection
    venues: Mapping[str, LegVenue]
    held: Mapping[str, PaperInventory]
    late: Sequence["Opens"]
    market: "LateMarket | None" = None
    wholes: Mapping[str, "ArmedWhole"] = field(default_factory=dict)


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
    """Make every pair; each venue is opened when it is first looked at. ``moved``: what trips and transfers have
    changed at each venue so far."""
    section = sections.arbitrage
    async with AsyncExitStack() as stack:
        sights = _Sights(sections, stack, clock)
        found = []
        for pair in section.pairs:
            venues: dict[str, LegVenue] = {}
            late: list[Opens] = []
            held: dict[str, PaperInventory] = {}
            for kind in pair.venues:
                name = venue_name(pair.name, kind)
                money, middle = moved.get(name, (0, 0))
                held[name] = PaperInventory(int(sol_to_lamports(pair.paper_sol)) + money, pair.paper_units + middle)
                late.append(sight := LateSight(name, partial(sights.of, pair, kind)))
                leg = PaperLeg(sight, held[name], _terms(section, kind), chance, clock, anyio.sleep)
                if kind == SOLANA:
                    leg.given = partial(_given, sight)
                venues[name] = leg
            found.append(OpenedPair(pair, venues, held, late))
        yield found


async def _given(sight: LateSight, amount_in: int, gives_money: bool) -> int | None:
    """Ask Jupiter for one exact amount, which is nearer to the truth than a look at some sizes."""
    from trading.adapters.jupiter.sight import JupiterSight

    found = sight.there()
    assert isinstance(found, JupiterSight)
    return await found.given(amount_in, gives_money)


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
        # On paper nobody needs a key, so none is given to whatever reads prices.
        exchange = self._sections.exchange.model_copy(update=NO_KEYS)
        sections = self._sections.model_copy(update={"exchange": exchange})
        return await LateMarket(sections, pair, self._stack, self._clock).leg()

    async def _solana(self, name: str, pair: ArbitragePairSection) -> Sight:
        from trading.adapters.jupiter.gateway import JupiterApi
        from trading.adapters.jupiter.sight import JupiterSight, SightTerms

        section = self._sections.arbitrage
        if self._jupiter is None:
            opened = JupiterApi.connect(_market(self._sections), self._sections.router, self._clock)
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


def _market(sections: Sections) -> MarketSection:
    """Return where Jupiter is asked, as often as arbitrage may."""
    calls = {"jupiter_calls_per_minute": sections.arbitrage.jupiter_calls_per_minute}
    return sections.market.model_copy(update=calls)


@asynccontextmanager
async def real_venues(
    sections: Sections,
    live: "LiveDesk",
    folder: Path,
    clock: Clock,
    on_review: "Callable[[EvmReview | None], None]",
) -> AsyncIterator[list[OpenedPair]]:
    """Make what sends with real money; exchange and EVM chain are opened when they are first needed. ``folder`` is
    where the EVM account's journal lies; ``on_review`` hears whom to ask what waits for a person there."""
    async with AsyncExitStack() as stack, anyio.create_task_group() as tasks:
        real = _Real(sections, live, stack, clock)
        if any(pair.solana for pair in sections.arbitrage.pairs):
            await real.open_jupiter()
        if any(pair.evm_pool for pair in sections.arbitrage.pairs):
            # Only who trades on an EVM chain pays for loading it.
            from .arbitrage_evm import RealEvm, RealEvmParts

            real.evm = RealEvm(sections, RealEvmParts(folder, real.problem, stack, tasks, clock, on_review))
        try:
            yield [real.opened(pair) for pair in sections.arbitrage.pairs]
        finally:
            tasks.cancel_scope.cancel()


class _Real:
    """Makes what sends with real money, each guarded by the operator's arming."""

    def __init__(self, sections: Sections, live: "LiveDesk", stack: AsyncExitStack, clock: Clock) -> None:
        self._sections = sections
        self._live = live
        self._stack = stack
        self._clock = clock
        self.evm: RealEvm | None = None
        self._jupiter: JupiterApi | None = None

    async def open_jupiter(self) -> None:
        """Looks have calls of their own: no exit of the desk waits for what arbitrage asks."""
        from trading.adapters.jupiter.gateway import JupiterApi

        sections = self._sections
        opening = JupiterApi.connect(_market(sections), sections.router, self._clock)
        self._jupiter = await self._stack.enter_async_context(opening)

    def problem(self) -> str:
        return self._live.arming.problem

    def opened(self, pair: ArbitragePairSection) -> OpenedPair:
        venues: dict[str, LegVenue] = {}
        wholes: dict[str, ArmedWhole] = {}
        late: list[LateLeg] = []
        market = None
        if pair.market:
            market = LateMarket(self._sections, pair, self._stack, self._clock)
            late.append(LateLeg(venue_name(pair.name, EXCHANGE), market.leg))
        if pair.evm_pool:
            assert self.evm is not None
            name = venue_name(pair.name, EVM)
            late.append(LateLeg(name, partial(self.evm.leg, name, pair)))
        for leg in late:
            venues[leg.name] = ArmedLeg(leg, self._live.arming.ask, self._clock)
        if pair.solana:
            name = venue_name(pair.name, SOLANA)
            venues[name], wholes[name] = self._on_solana(pair, name)
        return OpenedPair(pair, venues, {}, late, market, wholes)

    def _on_solana(self, pair: ArbitragePairSection, name: str) -> "tuple[ArmedLeg, ArmedWhole]":
        from trading.adapters.jupiter.build import JupiterBuild
        from trading.arbitrage.ladder import sizes_between
        from trading.arbitrage.round_trips import WholeLeg, WholeTerms
        from trading.arbitrage.solana_leg import SolanaLeg, SolanaParts, SolanaTerms

        section, parts, rules = self._sections.arbitrage, self._live.parts, rules_of(self._sections.arbitrage, pair)
        assert self._jupiter is not None
        router = JupiterBuild(self._jupiter)
        solana = SolanaParts(self._live.executor, parts.journal, parts.chain, router, self._clock)
        terms = SolanaTerms(
            wallet=section.wallet,
            money_mint=SOL_MINT,
            middle_mint=pair.mint,
            sizes=sizes_between(rules.least, rules.most, section.sizes),
            fee_lamports_max=int(sol_to_lamports(section.chain_fee_sol)),
            slippage_bps_max=self._sections.live.slippage_bps_max,
            keep_lamports=self._sections.live.reserve_lamports,
            fails_bps=section.chain_fails_bps,
        )
        whole = WholeLeg(venue_name(pair.name, WHOLE), solana, WholeTerms(terms))
        leg = ArmedLeg(SolanaLeg(name, solana, terms), self._live.arming.ask, self._clock)
        return leg, ArmedWhole(whole, self._live.arming.ask, self._clock)


class LateMarket:
    """A pair at the exchange, opened by who needs it first and closed with the stack."""

    def __init__(self, sections: Sections, pair: ArbitragePairSection, stack: AsyncExitStack, clock: Clock) -> None:
        self._section = sections.exchange
        self._pair = pair
        self._stack = stack
        self._clock = clock
        self._opened: ExchangePair | None = None

    async def leg(self) -> LegVenue:
        """Raises: InvalidInput, ExchangeUnavailable, ExchangeRefused."""
        from trading.adapters.exchange.gateway import ExchangePair
        from trading.adapters.exchange.leg import ExchangeLeg

        pair, is_base = self._pair, self._pair.market.startswith("SOL/")
        decimals = (SOL_DECIMALS, pair.decimals) if is_base else (pair.decimals, SOL_DECIMALS)
        opening = ExchangePair.connect(self._section, pair.market, decimals, self._clock)
        self._opened = opened = await self._stack.enter_async_context(opening)
        name = venue_name(pair.name, EXCHANGE)
        return ExchangeLeg(name, opened, self._clock, money_is_base=is_base, has_key=self._section.has_key)

    def private(self) -> "ExchangeClient":
        """Return what signs with the key. Raises: ExchangeUnavailable while the pair is not open."""
        if self._opened is None:
            msg = f"{self._section.id} is not open yet"
            raise ExchangeUnavailable(msg)
        return self._opened.private


class ArmedLeg:
    """A leg of real money: a trip's first is sent only while the operator's mandate is armed at that moment. What
    brings money back is sent all the same, as exits are; what the signer refuses is refused there."""

    def __init__(self, leg: LegVenue, problem: Callable[[], Awaitable[str]], clock: Clock) -> None:
        self._leg = leg
        self._problem = problem
        self._clock = clock

    @property
    def name(self) -> str:
        return self._leg.name

    async def look(self) -> LegLook:
        return await self._leg.look()

    async def send(self, attempt: Attempt) -> Outcome:
        if attempt.phase is Phase.FIRST and await self._problem():
            return Dead(attempt.key, 0, self._clock.now_ns())
        return await self._leg.send(attempt)

    async def ask(self, attempt: Attempt) -> Outcome:
        return await self._leg.ask(attempt)


class ArmedWhole(ArmedLeg):
    """Both legs at once, as guarded as a first leg is."""

    def __init__(self, whole: "WholeLeg", problem: Callable[[], Awaitable[str]], clock: Clock) -> None:
        super().__init__(whole, problem, clock)
        self._whole = whole

    @property
    def fits(self) -> bool:
        return self._whole.fits

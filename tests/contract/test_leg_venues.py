"""What every place keeps where a leg is made: exchange, paper, Solana and an EVM chain, each where it really trades."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

import anyio
import pytest
from tests.support.evm import evm_running
from tests.support.leg_stages import LegStage, Opening, at_exchange, on_evm, on_paper, on_solana

from trading.arbitrage.leg_venue import LegLook, Outcome
from trading.arbitrage.trips import Attempt, Dead, Phase, Settled, attempt_floor
from trading.errors import TradingError

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T15")]
WITHIN_S = 30.0
LIVES_S = 20.0


@dataclass
class Trader:
    stage: LegStage
    numbers: Iterator[int] = field(default_factory=count)

    async def look(self) -> LegLook:
        return await self.stage.venue.look()

    def attempt(self, phase: Phase, amount_in: int, least: int, lives_s: float = LIVES_S) -> Attempt:
        expires_ns = self.stage.clock.now_ns() + int(lives_s * 10**9)
        return Attempt(f"t:{phase}:{next(self.numbers)}", phase, self.stage.venue.name, amount_in, least, expires_ns)

    async def asked(self, attempt: Attempt) -> Settled | Dead:
        """Ask until it is known."""
        with anyio.fail_after(WITHIN_S):
            while True:
                try:
                    outcome = await self.stage.venue.ask(attempt)
                except TradingError:
                    outcome = None
                if outcome is not None:
                    return outcome
                await self.stage.passes(0.02)

    async def sent(self, attempt: Attempt) -> Settled | Dead:
        try:
            outcome: Outcome = await self.stage.venue.send(attempt)
        except TradingError:
            outcome = None
        return await self.asked(attempt) if outcome is None else outcome

    def check(self, attempt: Attempt, outcome: Settled | Dead, before: tuple[int, int]) -> None:
        """What is told is what is held, to the unit; an exchange's own decimals may be finer by less than one."""
        money, middle = (after - was for after, was in zip(self.stage.holdings(), before, strict=True))
        cost = outcome.cost if self.stage.pays_in_money else 0
        paid, got = (0, 0) if isinstance(outcome, Dead) else (outcome.amount_in, outcome.amount_out)
        if attempt.gives_money:
            assert (money, middle) == (-paid - cost, got)
        else:
            assert (money, middle) == (got - cost, -paid)
        if isinstance(outcome, Settled):
            assert 0 < outcome.amount_in <= attempt.amount_in
            assert outcome.amount_out >= attempt_floor(attempt, outcome.amount_in)


async def what_is_quoted_is_given_there_and_back(trader: Trader) -> None:
    for phase in (Phase.FIRST, Phase.SECOND):
        look = await trader.look()
        size = trader.stage.size if phase is Phase.FIRST else look.there.quote(trader.stage.size)
        assert size is not None
        quoted = (look.there if phase is Phase.FIRST else look.back).quote(size)
        assert quoted is not None
        assert (look.money_free if phase is Phase.FIRST else look.middle_free) >= size
        before = trader.stage.holdings()
        wanted = trader.attempt(phase, size, quoted * 99 // 100)
        outcome = await trader.sent(wanted)
        assert isinstance(outcome, Settled)
        assert outcome.amount_out >= quoted * 999 // 1_000
        trader.check(wanted, outcome, before)


async def below_its_floor_nothing_is_made(trader: Trader) -> None:
    quoted = (await trader.look()).there.quote(trader.stage.size)
    assert quoted is not None
    before = trader.stage.holdings()
    wanted = trader.attempt(Phase.FIRST, trader.stage.size, quoted * 3 // 2, lives_s=1.0)
    outcome = await trader.sent(wanted)
    assert isinstance(outcome, Dead)
    trader.check(wanted, outcome, before)


async def cut_in_the_middle_it_is_made_once_or_never_and_a_restart_tells_which(trader: Trader) -> None:
    quoted = (await trader.look()).there.quote(trader.stage.size)
    assert quoted is not None
    before = trader.stage.holdings()
    wanted = trader.attempt(Phase.FIRST, trader.stage.size, quoted * 98 // 100, lives_s=5.0)
    await trader.stage.loses_the_next_answer()
    with anyio.move_on_after(0.1):
        with pytest.raises(TradingError):
            await trader.stage.venue.send(wanted)
    await trader.stage.restarts()
    outcome = await trader.asked(wanted)
    trader.check(wanted, outcome, before)
    again = await trader.asked(wanted)
    assert (type(again), again.cost) == (type(outcome), outcome.cost)
    trader.check(wanted, again, before)


async def what_was_never_sent_is_dead_and_costs_nothing(trader: Trader) -> None:
    before = trader.stage.holdings()
    wanted = trader.attempt(Phase.FIRST, trader.stage.size, 1, lives_s=0.05)
    outcome = await trader.asked(wanted)
    assert isinstance(outcome, Dead)
    assert outcome.cost == 0
    trader.check(wanted, outcome, before)
    # Whoever wakes up now and sends it makes nothing.
    await trader.sent(wanted)
    trader.check(wanted, outcome, before)


CLAIMS = (
    what_is_quoted_is_given_there_and_back,
    below_its_floor_nothing_is_made,
    cut_in_the_middle_it_is_made_once_or_never_and_a_restart_tells_which,
    what_was_never_sent_is_dead_and_costs_nothing,
)


async def keeps_the_contract(opening: Callable[[], Opening]) -> None:
    async with opening() as stage:
        trader = Trader(stage)
        for claim in CLAIMS:
            await claim(trader)


async def test_an_exchange_keeps_the_contract_of_legs() -> None:
    await keeps_the_contract(at_exchange)


async def test_paper_keeps_the_contract_of_legs() -> None:
    await keeps_the_contract(on_paper)


async def test_swaps_on_solana_keep_the_contract_of_legs(tmp_path: Path) -> None:
    await keeps_the_contract(partial(on_solana, tmp_path))


async def test_swaps_on_an_evm_chain_keep_the_contract_of_legs(tmp_path: Path) -> None:
    with evm_running() as evm:
        await keeps_the_contract(partial(on_evm, evm, tmp_path))

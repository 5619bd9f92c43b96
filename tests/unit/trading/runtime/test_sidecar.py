"""Asking the sidecar: behind breaker, budget and cache, never raising, never waiting longer than it may."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest
from tests.doubles.scripted_adviser import ScriptedAdviser, SpendNote
from tests.support.market_server import SteppedClock
from tests.unit.trading.sidecar.test_assessment import make_request

from trading.config import SidecarSection
from trading.errors import SidecarFault
from trading.model.units import NS_PER_S
from trading.runtime.sidecar import Sidecar
from trading.sidecar.budget import Spent

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T14")]


class Asked:
    """A sidecar on a clock of the test's."""

    def __init__(self, adviser: ScriptedAdviser, **section: Any) -> None:
        self.clock = SteppedClock()
        self.store = SpendNote()
        self.adviser = adviser
        self.section = SidecarSection(url="http://localhost/v1", model="a-model", **section)
        self.sidecar = self.again()

    def again(self) -> Sidecar:
        """Return the sidecar as it is after a restart."""
        now = self.clock.now_ns
        return Sidecar(self.adviser, self.section, self.store, now, lambda: now() / NS_PER_S)

    async def ask(self, name: str = "asm_1", **changes: Any) -> Any:
        return await self.sidecar.ask(make_request(id=name, **changes), 7)


async def test_an_answer_is_an_exchange_with_what_it_took() -> None:
    asked = Asked(ScriptedAdviser())
    found = await asked.ask()
    assert (found.outcome, found.tokens_in, found.tokens_out, found.cost_micro_usd) == ("answered", 500, 100, 900)
    assert (found.advice.expires_ns, found.asked_ns) == (7 + 3_600 * NS_PER_S, 7)
    assert asked.store.spent.tokens == 600


async def test_an_answer_that_tells_no_usage_is_paid_for_as_reserved() -> None:
    asked = Asked(ScriptedAdviser(tokens=None))
    assert (await asked.ask()).tokens_in == 1_000
    assert asked.store.spent.tokens == 1_800


async def test_the_same_question_is_answered_from_the_cache_until_that_is_over() -> None:
    asked = Asked(ScriptedAdviser(), cache_s=60)
    first, second = await asked.ask(), await asked.ask("asm_2")
    assert (second.id, second.is_cached, second.cost_micro_usd) == ("asm_2", True, 0)
    assert second.advice == first.advice
    assert len(asked.adviser.asked) == 1
    await asked.ask("asm_3", horizon_s=600)
    asked.clock.advance(61)
    await asked.ask("asm_4")
    assert len(asked.adviser.asked) == 3


async def test_an_answer_is_not_kept_longer_than_it_is_good_for() -> None:
    asked = Asked(ScriptedAdviser(expires_in_s=5), cache_s=60)
    await asked.ask()
    asked.clock.advance(6)
    assert not (await asked.ask("asm_2")).is_cached


async def test_a_day_that_is_spent_asks_nobody_also_after_a_restart() -> None:
    asked = Asked(ScriptedAdviser(), calls_per_day_max=2, cache_s=0)
    told = [(await asked.ask(f"asm_{number}")).outcome for number in range(3)]
    assert told == ["answered", "answered", "budget"]
    asked.sidecar = asked.again()
    assert (await asked.ask()).outcome == "budget"
    asked.clock.advance(86_400)
    assert (await asked.ask()).outcome == "answered"
    assert asked.sidecar.status()["calls_left"] == 1


async def test_a_budget_that_cannot_be_kept_asks_nobody() -> None:
    asked = Asked(ScriptedAdviser())
    asked.store.problem = OSError("the disk is full")
    assert (await asked.ask()).outcome == "disk"
    assert asked.adviser.asked == []


async def test_what_is_spent_is_written_down_before_anybody_is_asked() -> None:
    asked = Asked(ScriptedAdviser(is_hanging=True))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(asked.ask)
        while not asked.adviser.asked:
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert len(asked.adviser.asked) == 1
    assert asked.store.spent == Spent(asked.store.spent.day, 1, 1_800, 4_200)
    assert asked.sidecar.status()["breaker"] == "closed"


async def test_a_sidecar_that_never_answers_is_given_up_in_time() -> None:
    asked = Asked(ScriptedAdviser(is_hanging=True), timeout_s=0.05)
    with anyio.fail_after(30):
        assert (await asked.ask()).outcome == "timeout"


async def test_the_breaker_opens_and_one_try_closes_it_again() -> None:
    asked = Asked(ScriptedAdviser(), failures_max=2, open_s=10, cache_s=0)
    asked.adviser.fault = lambda: SidecarFault("the server answered 500", reason="http_5xx")
    told = [(await asked.ask()).outcome for _ in range(3)]
    assert told == ["http_5xx", "http_5xx", "breaker_open"]
    assert asked.sidecar.status()["breaker"] == "open"
    assert asked.sidecar.is_resting
    asked.clock.advance(11)
    asked.adviser.fault = None
    assert (await asked.ask()).outcome == "answered"
    assert asked.sidecar.status()["breaker"] == "closed"
    assert asked.sidecar.status()["outcomes"] == {"answered": 1, "breaker_open": 1, "http_5xx": 2}


async def test_a_fault_keeps_no_answer_and_says_why() -> None:
    asked = Asked(ScriptedAdviser(), failures_max=5)
    asked.adviser.fault = lambda: SidecarFault("no schema", reason="schema", tokens=(70, 30))
    found = await asked.ask()
    assert (found.outcome, found.detail, found.advice, found.tokens_in) == ("schema", "no schema", None, 70)
    asked.adviser.fault = None
    assert (await asked.ask()).outcome == "answered"


async def test_questions_wait_their_turn() -> None:
    asked = Asked(ScriptedAdviser(is_hanging=True), timeout_s=60, cache_s=0, failures_max=50)
    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(asked.ask, f"asm_{number}")
        await anyio.sleep(0.1)
        assert len(asked.adviser.asked) == 2
        tasks.cancel_scope.cancel()

"""Levels as people, agents and memory see them."""

from decimal import Decimal

import pytest
from pydantic import ValidationError
from tests.doubles.kernel_bench import KernelBench, profile
from tests.doubles.scripted_market import script

from memmcp_server.wire.orders import ControlRequest
from trading.adapters.canonical import canonical_json
from trading.engine.control import Control
from trading.model import commands, events
from trading.model.account import Level, TradingState
from trading.model.event_codec import encode
from trading.model.gap import GapAction, GapStep
from trading.ports import JournalRow
from trading.runtime.controls import command_of
from trading.runtime.remember import Remembrance
from trading.runtime.views import limits, strategies

pytestmark = pytest.mark.requirement("T7")


@pytest.fixture
def bench() -> KernelBench:
    return KernelBench(rules=profile(strategy_drawdown_reducing_bps=10_000, strategy_drawdown_halted_bps=10_000)).feed(
        script([Decimal(1)] * 3)
    )


def test_the_limits_of_every_watched_level_are_shown_with_their_distance(bench: KernelBench) -> None:
    shown = limits(bench.kernel, bench.kernel.valuer.value())
    of_levels = [(each["scope"], each["name"], each["limit"]) for each in shown if each["scope"] != "account"]
    assert of_levels == [
        ("bucket:momentum_breakout", "total_drawdown_bps", 3_500),
        ("bucket:momentum_breakout", "drawdown_bps", 2_000),
        ("wallet:main", "total_drawdown_bps", 3_000),
        ("wallet:main", "drawdown_bps", 2_000),
    ]


@pytest.mark.requirement("D10")
def test_a_strategy_that_is_switched_off_says_so_and_why_until_it_is_switched_on(bench: KernelBench) -> None:
    name = bench.kernel.strategies[0].name
    control = Control(bench.kernel)

    def shown() -> tuple[str, str]:
        [found] = [each for each in strategies(bench.kernel) if each["name"] == name]
        return found["state"], found["state_reason"]

    assert shown() == ("ACTIVE", "")
    control.take(commands.ReduceOnly("k1", "operator:maria", "it loses", f"strategy:{name}"))
    assert shown()[0] == "REDUCING"
    assert "it loses" in shown()[1]
    control.take(commands.Resume("k2", "operator:maria", "mended", f"strategy:{name}"))
    assert shown() == ("ACTIVE", "")


@pytest.mark.parametrize("action", ["reduce_only", "flatten_and_halt", "resume"])
def test_a_control_carries_its_level_to_the_command(action: str) -> None:
    request = ControlRequest.model_validate({"action": action, "reason": "look", "level": "bucket:b"})
    command = command_of(request.model_dump(mode="json", exclude_none=True), "o", "k")
    assert isinstance(command, commands.ReduceOnly | commands.FlattenAndHalt | commands.Resume)
    assert command.level == "bucket:b"


def test_a_level_belongs_to_no_other_control() -> None:
    with pytest.raises(ValidationError, match="level does not belong to stop_entries"):
        ControlRequest.model_validate({"action": "stop_entries", "reason": "look", "level": "bucket:b"})


def test_memory_is_told_of_a_levels_state_and_of_who_changed_it() -> None:
    told = [
        events.LevelStateChanged(5, Level.BUCKET, "b", TradingState.ACTIVE, TradingState.HALTED, "drawdown"),
        commands.Resume("k", "maria", "looked at it", level="bucket:b"),
    ]
    texts = []
    for event in told:
        kind, body = encode(event)
        [record] = Remembrance("run", 0, lambda _: ()).records_of(JournalRow(1, 5, kind, canonical_json(body)))
        texts.append(record.text)
    assert texts == ["The bucket b went from ACTIVE to HALTED: drawdown", "maria: resume of bucket:b. looked at it"]


@pytest.mark.requirement("O8")
def test_memory_is_told_of_a_gap_and_what_became_of_what_was_open() -> None:
    steps = (GapStep("b", "m", GapAction.EXIT, None, "why"), GapStep("b", "n", GapAction.EXIT, None, "why"))
    kind, body = encode(events.GapSeen(9, 5, 7, steps, "nothing was seen for 4 s"))
    [record] = Remembrance("run", 0, lambda _: ()).records_of(JournalRow(1, 9, kind, canonical_json(body)))
    assert record.text == "A gap: nothing was seen for 4 s. Positions: 2 to exit."

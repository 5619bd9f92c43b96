"""A long trajectory in a few lines."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.doubles.memories import T0_NS, a_memory
from tests.unit.memmcp_server.domain.test_episodes import a_trajectory

from memmcp_server.domain.identifiers import MemoryId, TrajectoryId
from memmcp_server.domain.memory import Memory
from memmcp_server.domain.recap import STEP_CHARS_MAX, duration_text, one_line, recap, tokens_of

pytestmark = pytest.mark.requirement("M6")
SECOND_NS = 1_000_000_000


def a_step(number: int, content: str = "", **fields: Any) -> Memory:
    return a_memory(
        f"s{number}",
        content or f"step number {number}",
        kind=fields.pop("kind", "step"),
        position=number,
        ts_event_ns=T0_NS + number * SECOND_NS,
        trajectory_id=TrajectoryId("t"),
        **fields,
    )


def told(steps: list[Memory], cited: dict[MemoryId, int] | None = None, **fields: Any) -> Any:
    kinds: dict[str, int] = {}
    for step in steps:
        kinds[step.kind] = kinds.get(step.kind, 0) + 1
    tokens_max = fields.pop("tokens_max", 400)
    trajectory = a_trajectory(steps=fields.pop("total", len(steps)), **fields)
    return recap(trajectory, steps, kinds=kinds, cited=cited or {}, tokens_max=tokens_max)


def test_it_says_what_came_of_it_how_long_it_took_and_what_matters_in_order() -> None:
    steps = [a_step(number) for number in range(60)]
    steps[20] = replace(steps[20], kind="error", content="the disk was full")
    steps[33] = replace(steps[33], kind="decision", content="moved the logs away")
    found = told(steps, outcome="done", reward=2, reward_unit="points", closed_at_ns=T0_NS + 3_700 * SECOND_NS)
    lines = found.text.splitlines()
    assert lines[0] == "Succeeded: Mend the flaky test (outcome done, reward 2 points)."
    assert lines[1] == "60 steps in 1 h 1 min: 58 step, 1 decision, 1 error."
    assert lines[2] == "- step: step number 0"
    assert lines.index("- error: the disk was full") < lines.index("- decision: moved the logs away")
    assert lines[-2] == "- step: step number 59"
    assert lines[-1] == f"({found.left_out} steps left out.)"
    assert found.left_out == 60 - len(found.steps) > 0


def test_each_reason_brings_a_step_among_many_in() -> None:
    steps = [a_step(number, f"{number} " + "z" * 150) for number in range(200)]
    steps[50] = replace(steps[50], importance=100)
    steps[60] = replace(steps[60], metadata={"pnl": -900})
    steps[61] = replace(steps[61], metadata={"pnl": 10})
    steps[70] = replace(steps[70], pinned=True)
    found = told(steps, {MemoryId("s80"): 3}, tokens_max=500)
    why = {step.id: step.why for step in found.steps}
    assert why[MemoryId("s50")] == "important"
    assert why[MemoryId("s60")] == "largest change"
    assert why[MemoryId("s70")] == "pinned"
    assert why[MemoryId("s80")] == "cited"
    assert MemoryId("s61") not in why
    assert [found.steps[0].id, found.steps[-1].id] == ["s0", "s199"]


def test_an_open_one_is_told_as_far_as_it_has_come() -> None:
    found = told([a_step(1), a_step(90)])
    assert found.text.startswith("Under way: Mend the flaky test.\n2 steps in 1 min 30 s: 2 step.")
    assert told([]).text == "Under way: Mend the flaky test.\nNo steps were written."


def test_steps_that_were_not_looked_at_are_counted() -> None:
    found = told([a_step(1), a_step(2)], total=12)
    assert (found.steps_total, found.left_out, found.unread) == (12, 10, 10)
    assert "(10 steps left out.)" in found.text


def test_a_step_of_many_lines_is_one_line_and_short() -> None:
    found = told([a_step(1, "first\n\nsecond\tthird " + "x" * 10_000)])
    assert found.steps[0].text.startswith("first second third xxx")
    assert len(found.steps[0].text) == STEP_CHARS_MAX
    assert len(found.text.splitlines()) == 3


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.text(max_size=400), st.sampled_from(["step", "error", "fill", "note"])), max_size=40),
    st.integers(min_value=120, max_value=600),
)
def test_the_budget_holds_whatever_the_steps_say(texts: list[tuple[str, str]], tokens_max: int) -> None:
    steps = [a_step(number, text or "x", kind=kind) for number, (text, kind) in enumerate(texts)]
    found = told(steps, tokens_max=tokens_max)
    assert tokens_of(found.text) <= tokens_max
    assert len(found.steps) + found.left_out == len(steps)
    assert [step.position for step in found.steps] == sorted(step.position for step in found.steps)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3_661, "1 h 1 min"), (86_400, "1 d"), (90_061, "1 d 1 h")],
)
def test_a_duration_is_told_in_its_two_largest_units(seconds: int, text: str) -> None:
    assert duration_text(seconds * SECOND_NS) == text


def test_one_line_cuts_only_what_is_too_long() -> None:
    assert one_line("a  b\nc", 10) == "a b c"
    assert one_line("abcdefghijkl", 10) == "abcdefg..."

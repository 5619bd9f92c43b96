"""The evaluator of alerts: hysteresis, holds, one alert per episode, and no clock but the monotonic one."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memmcp_server.domain.alert import Alert, AlertState, Moment, Reading, Rule, Sample, Severity, labels_of
from memmcp_server.domain.alerting import Evaluator

RULE = Rule(
    "hot", "temperature", Severity.WARNING, 80, 60, "degrees", "hot ({place})", "{value} of {threshold}", "cool it",
    for_s=3, clear_for_s=4, escalate_after_s=20,
)  # fmt: skip
KEY = labels_of({"place": "attic"})
VALUES = st.one_of(st.none(), st.integers(0, 120))
STEPS = st.lists(st.tuples(VALUES, st.integers(1, 30), st.integers(-3_600, 3_600)), min_size=1, max_size=60)


def sample(value: float | None) -> Sample:
    return Sample((Reading("temperature", value, KEY),), frozenset({"temperature"}))


def played(rule: Rule, steps: list[tuple[float | None, int, int]]) -> list[tuple[float, float | None, list[Alert]]]:
    """Return (monotonic time, value, what changed) of each step; the third of a step moves the wall clock alone."""
    evaluator, now_s, wall_ns = Evaluator([rule]), 0.0, 1_700_000_000_000_000_000
    told = []
    for value, seconds, jump_s in steps:
        now_s += seconds
        wall_ns += (seconds + jump_s) * 1_000_000_000
        told.append((now_s, value, evaluator.take(sample(value), Moment(now_s, wall_ns))))
    return told


@pytest.mark.requirement("O4")
@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_nothing_is_raised_before_it_has_held_and_nothing_ends_before_it_was_over_long_enough(
    steps: list[tuple[float | None, int, int]],
) -> None:
    over_since: float | None = None
    clear_since: float | None = None
    for now_s, value, changed in played(RULE, steps):
        if value is not None:
            over_since = (now_s if over_since is None else over_since) if value >= RULE.raise_at else None
            clear_since = (now_s if clear_since is None else clear_since) if value <= RULE.clear_at else None
        for alert in changed:
            if alert.change in ("raised", "reopened"):
                assert value is not None
                assert over_since is not None
                assert now_s - over_since >= RULE.for_s
            if alert.change == "resolved":
                assert value is not None
                assert clear_since is not None
                assert now_s - clear_since >= RULE.clear_for_s * 2 ** (alert.count - 1)


@pytest.mark.requirement("O4")
@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_one_thing_has_one_alert_whose_states_follow_each_other(steps: list[tuple[float | None, int, int]]) -> None:
    state: AlertState | None = None
    updated_ns = count = 0
    for _, _, changed in played(RULE, steps):
        assert len(changed) <= 1
        for alert in changed:
            match alert.change:
                case "raised":
                    assert state in (None, AlertState.RESOLVED)
                    count, updated_ns = 1, 0
                case "reopened":
                    assert state is AlertState.RESOLVED
                    count += 1
                case _:
                    assert state is AlertState.FIRING
            assert alert.count == count
            assert alert.updated_ns > updated_ns, "a later version is never the earlier one"
            state, updated_ns = alert.state, alert.updated_ns


@pytest.mark.requirement("O4")
@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_jumps_of_the_wall_clock_change_nothing_of_what_is_told(steps: list[tuple[float | None, int, int]]) -> None:
    still = [(value, seconds, 0) for value, seconds, _ in steps]
    told = [[alert.change for alert in changed] for _, _, changed in played(RULE, steps)]
    assert told == [[alert.change for alert in changed] for _, _, changed in played(RULE, still)]


@pytest.mark.requirement("O4")
@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_a_floor_is_the_mirror_of_a_ceiling(steps: list[tuple[float | None, int, int]]) -> None:
    mirrored = replace(RULE, raise_at=-RULE.raise_at, clear_at=-RULE.clear_at)
    turned = [(None if value is None else -value, seconds, jump) for value, seconds, jump in steps]
    told = [[alert.change for alert in changed] for _, _, changed in played(RULE, steps)]
    assert told == [[alert.change for alert in changed] for _, _, changed in played(mirrored, turned)]


@pytest.mark.requirement("O4")
@settings(max_examples=20, deadline=None)
@given(STEPS, st.integers(0, 59))
def test_a_restart_neither_raises_again_nor_forgets(steps: list[tuple[float | None, int, int]], at: int) -> None:
    still = [(value, seconds, 0) for value, seconds, _ in steps]
    cut = min(at, len(still))
    evaluator, now_s, wall_ns = Evaluator([RULE]), 0.0, 1_700_000_000_000_000_000
    firing: Alert | None = None
    for number, (value, seconds, _) in enumerate(still):
        if number == cut:
            held = evaluator.alerts
            firing = next((alert for alert in held if alert.is_active), None)
            evaluator, now_s = Evaluator([RULE]), now_s - 1_000_000  # another boot: the monotonic clock begins anew
            evaluator.restore(held, [], Moment(now_s, wall_ns))
        now_s += seconds
        wall_ns += seconds * 1_000_000_000
        for alert in evaluator.take(sample(value), Moment(now_s, wall_ns)):
            if firing is not None:
                assert alert.change != "raised", "it was there already"
                assert alert.raised_ns == firing.raised_ns
                firing = None


@pytest.mark.requirement("O4")
def test_what_flaps_is_one_alert_that_ends_ever_later() -> None:
    evaluator, now_s = Evaluator([RULE]), 0.0
    ended: list[float] = []
    alerts: set[int] = set()
    for _ in range(6):
        for value in (90, 50):
            began_s = now_s
            for _ in range(150):
                now_s += 1
                for alert in evaluator.take(sample(value), Moment(now_s, round(now_s * 1e9))):
                    alerts.add(alert.raised_ns)
                    if alert.change == "resolved":
                        ended.append(now_s - began_s)
                        break
    assert len(alerts) == 1
    assert ended == sorted(ended)
    assert ended[-1] > 8 * ended[0]

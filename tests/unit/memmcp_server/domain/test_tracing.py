"""Memories as spans: which trace they belong to, what they are there, and what of them is told."""

from typing import Any

import pytest
from tests.doubles.memories import T0_NS, a_memory

from memmcp_server.domain.identifiers import Json
from memmcp_server.domain.memory import Memory, Provenance
from memmcp_server.domain.tracing.decisions import TEXT_CHARS_MAX, decision_of, span_of, trace_beside
from memmcp_server.domain.tracing.spans import (
    Score,
    Span,
    is_sampled,
    root_id_of,
    score_id_of,
    span_id_of,
    trace_id_of,
)

TRADE = "run-1.trade-7"


def told(memory: Memory, first: Memory | None = None, content: Any = "desk") -> Span:
    span = span_of(memory, first or memory, content)
    assert span is not None
    return span


def of_the_desk(kind: str, *, place: str = "trading", **metadata: Any) -> Memory:
    return a_memory("m", "a text", namespace=place, kind=kind, metadata=metadata, agent="xavier")


def test_an_open_trajectory_is_told_by_its_steps_alone_and_its_root_follows_when_it_closes() -> None:
    opened = a_memory(TRADE, "it buys", namespace="trading", kind="trajectory", tags=("momentum",))
    assert span_of(opened, opened, "desk") is None
    metadata: dict[str, Json] = {"outcome": "won", "reward": 3, "reward_unit": "points"}
    closed = a_memory(TRADE, "it won", namespace="trading", kind="trajectory", ts_event_ns=T0_NS + 9, metadata=metadata)
    root = told(closed, opened)
    assert (root.trace_id, root.span_id, root.parent_id) == (trace_id_of(TRADE), root_id_of(TRADE), b"")
    assert (root.start_ns, root.end_ns, root.given, root.came) == (T0_NS, T0_NS + 9, "it buys", "it won")
    assert root.session == "run-1"
    assert root.scores == (Score("outcome", "won", "CATEGORICAL", of_trace=True), Score("reward", 3.0, of_trace=True))
    unpaid = a_memory(TRADE, "it ended", namespace="trading", kind="trajectory", metadata={"outcome": "done"})
    assert [score.name for score in told(unpaid).scores] == ["outcome"]


@pytest.mark.parametrize(
    ("kind", "kept_as", "level"),
    [("verdict", "guardrail", "DEFAULT"), ("rejection", "event", "WARNING"), ("something_new", "event", "DEFAULT")],
)
def test_a_step_of_the_desk_is_what_its_kind_says(kind: str, kept_as: str, level: str) -> None:
    step = a_memory("m", "a text", namespace="trading", kind=kind, trajectory_id=TRADE)
    span = told(step)
    assert (span.name, span.type, span.level, span.parent_id) == (kind, kept_as, level, root_id_of(TRADE))
    assert span.trace_id == trace_id_of(TRADE)


def test_a_signal_that_was_not_acted_on_is_the_root_of_its_decision() -> None:
    span = told(of_the_desk("signal", trajectory_id=TRADE, denied={"reason": "exposure_bps_max"}))
    assert (span.trace_id, span.span_id, span.parent_id) == (trace_id_of(TRADE), span_id_of("m", 1), b"")
    assert told(of_the_desk("forecast", trajectory_id=TRADE)).trace_id == span.trace_id


def test_a_forecast_that_came_due_scores_its_decision() -> None:
    span = told(of_the_desk("outcome", trajectory_id=TRADE, brier_ppm=250_000, is_hit=True, run_id="run-1"))
    assert (span.trace_id, span.type, span.session) == (trace_id_of(TRADE), "evaluator", "run-1")
    assert span.scores == (Score("forecast_brier", 0.25), Score("forecast_hit", 1.0, "BOOLEAN"))
    advice = told(of_the_desk("score", place="memory_bank", brier_ppm=1_000_000, is_hit=False))
    assert advice.scores == (Score("advice_brier", 1.0), Score("advice_hit", 0.0, "BOOLEAN"))


@pytest.mark.parametrize(("severity", "level"), [("info", "DEFAULT"), ("critical", "ERROR"), (None, "WARNING")])
def test_an_alert_is_a_trace_of_its_own_with_a_level(severity: str | None, level: str) -> None:
    metadata = {} if severity is None else {"severity": severity, "trajectory_id": TRADE}
    alert = a_memory("m", "a text", namespace="alerts", kind="alert", metadata=metadata)
    span = told(alert)
    assert (span.trace_id, span.level) == (trace_id_of("m"), level)
    assert span.linked == (((trace_id_of(TRADE), root_id_of(TRADE)),) if severity else ())


def test_each_change_of_an_alert_is_told_at_its_own_time_and_its_end_is_no_alarm() -> None:
    told_of = {"severity": "critical", "state": "resolved", "change": "resolved", "trajectory_id": ""}
    alert = a_memory("m", "over", namespace="alerts", kind="alert", metadata=told_of, version=3, known_at_ns=T0_NS + 7)
    span = told(alert)
    assert (span.level, span.status, span.start_ns, span.linked) == ("DEFAULT", "resolved", T0_NS + 7, ())
    assert span.span_id == span_id_of("m", 3)


def test_advice_that_failed_or_was_known_already_cost_nothing_and_says_so() -> None:
    cached = of_the_desk(
        "response", place="memory_bank", id="a", outcome="timeout", is_cached=True, tokens_in=5, cost_micro_usd=7
    )
    span = told(cached)
    assert (span.level, span.status) == ("WARNING", "timeout")
    assert span.usage is not None
    assert (span.usage.tokens_in, span.usage.cost_usd, span.usage.model) == (0, 0.0, "")


def test_what_agents_write_is_told_without_a_word_of_theirs_unless_all_is_told() -> None:
    by = Provenance(agent="cursor", session="s")
    memory = a_memory("m", "a secret plan", tags=("plan",), metadata={"plan": "secret"}, provenance=by)
    span = told(memory)
    assert (span.came, span.given, span.user, span.session) == ("", "", "cursor", "s")
    assert dict(span.details) == {"memory_id": "m", "version": 1, "memory_kind": "note"}
    assert told(memory, content="all").came == "a secret plan"
    step = a_memory("m", "a step", trajectory_id="session-1")
    assert (told(step).type, told(step).trace_name, told(step).session) == ("span", "session", "")
    closed = a_memory("session-1", "it worked", kind="trajectory", metadata={"outcome": "done"}, tags=("secret",))
    assert (told(closed).scores, told(closed).tags) == ((), ("default",))
    assert len(told(a_memory("m", "x" * 9_000), content="all").came) == TEXT_CHARS_MAX
    assert told(of_the_desk("signal"), content="none").came == ""


def test_what_is_forgotten_names_the_trace_of_the_decision_it_was_told_in() -> None:
    assert trace_beside("m", "default", "note", None, {"trajectory_id": TRADE}) == {}
    assert trace_beside("m", "trading", "fill", TRADE, {}) == {"trace": trace_id_of(TRADE).hex()}
    assert decision_of("m", "memory_bank", "response", None, {"id": "asm-1", "trajectory_id": TRADE}) == "asm-1"
    assert decision_of("m", "memory_bank", "weighed", None, {"id": "asm-1", "trajectory_id": TRADE}) == TRADE
    assert decision_of("m", "alerts", "alert", None, {"trajectory_id": TRADE}) == "m"


def test_ids_are_made_from_what_they_name_whatever_characters_it_has() -> None:
    assert trace_id_of(TRADE) == trace_id_of("".join(TRADE)) != trace_id_of("run-1.trade-8")
    assert span_id_of("m", 1) != span_id_of("m", 2)
    assert len(trace_id_of("\ud800")) == 16
    span = told(of_the_desk("fill", slippage_bps=3))
    assert score_id_of(span, span.scores[0]) == score_id_of(span, Score("slippage_bps", 9.0))


def test_a_share_of_the_traces_is_kept_by_their_ids() -> None:
    traces = [trace_id_of(str(number)) for number in range(2_000)]
    kept = [trace for trace in traces if is_sampled(trace, 0.25)]
    assert 400 < len(kept) < 600
    assert [trace for trace in kept if not is_sampled(trace, 0.5)] == []
    assert all(is_sampled(trace, 1.0) for trace in traces)
    assert not any(is_sampled(trace, 0.0) for trace in traces)

"""A memory -> the span that tells of it.

A trajectory is a trace: its steps are child spans as they happen, and the root follows, complete, when it closes. A
signal that was not acted on is the root of its decision, beside its forecast and what came of that. A memory that
stands alone (a digest, an alert) is a trace of one. What the sidecar was asked and what it said are one generation with
its question beside it.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal

from memmcp_server.domain.identifiers import Json, TrajectoryId
from memmcp_server.domain.memory import Memory, is_reserved

from .spans import Level, Score, Span, SpanType, Usage, root_id_of, span_id_of, trace_id_of

Content = Literal["desk", "all", "none"]
"""Whose texts are sent: those of the runtime alone, everybody's, or nobody's."""

TRAJECTORY: Final = "trajectory"
OUTCOME: Final = "outcome"
ALERT: Final = "alert"
BANK: Final = "memory_bank"
EXCHANGE: Final = ("request", "response")
TRADING: Final = "trading"
ALERTS: Final = "alerts"
TEXT_CHARS_MAX: Final = 8_000
LAMPORTS_PER_SOL: Final = 1_000_000_000
MICROS: Final = 1_000_000
NS_PER_MS: Final = 1_000_000

_TYPES: Final[Mapping[str, SpanType]] = {
    "signal": "chain",
    "verdict": "guardrail",
    "order": "tool",
    "fill": "event",
    "rejection": "event",
    "forecast": "chain",
    "outcome": "evaluator",
    "situation": "retriever",
    "recall": "evaluator",
    "ranking": "evaluator",
    "weighed": "guardrail",
    "score": "evaluator",
    "response": "generation",
    "digest": "evaluator",
    "gates": "evaluator",
    "rotation": "evaluator",
}
"""By the kind of a memory of the runtime; every other one is an event."""

_LEVELS: Final[Mapping[str, Level]] = {"info": "DEFAULT", "warning": "WARNING", "critical": "ERROR"}


def span_of(memory: Memory, first: Memory, content: Content) -> Span | None:
    """Return the span of one version of a memory, None for a trajectory that is still open.

    Args:
        memory: the version
        first: its first version
        content: whose texts are sent
    """
    is_ours = is_of_the_runtime(memory.namespace)
    is_shown = content == "all" or (content == "desk" and is_ours)
    if memory.kind == TRAJECTORY and memory.trajectory_id is None:
        return _root(memory, first, is_shown=is_shown) if OUTCOME in memory.metadata else None
    if memory.trajectory_id is not None:
        return _span(memory, memory.trajectory_id, is_ours=is_ours, is_shown=is_shown)
    if not is_ours:
        return _span(memory, None, is_ours=False, is_shown=is_shown)
    decision = decision_of(memory.id, memory.namespace, memory.kind, None, memory.metadata)
    if memory.namespace == BANK and memory.kind in EXCHANGE:
        return _asked(memory, decision, is_shown=is_shown)
    # A forecast, a situation, what advice did: notes of the desk that belong to a decision.
    within = None if decision == memory.id else TrajectoryId(decision)
    return _span(memory, within, is_ours=True, is_shown=is_shown)


@lru_cache(maxsize=1_024)
def is_of_the_runtime(place: str) -> bool:
    """Say whether only the runtime writes in a namespace. Kept, since it is asked for every memory."""
    return is_reserved(place) or place == ALERTS


def decision_of(memory_id: str, place: str, kind: str, trajectory_id: str | None, told: Mapping[str, Json]) -> str:
    """Return the id of what a memory is told with: its trajectory, the sidecar's exchange, or itself.

    Args:
        memory_id: its id
        place: its namespace
        kind: its kind
        trajectory_id: of which it is a step, if it is one
        told: its metadata
    """
    if trajectory_id is not None:
        return trajectory_id
    if not is_of_the_runtime(place):
        return memory_id
    named = told.get("id" if place == BANK and kind in EXCHANGE else "trajectory_id")
    return named if isinstance(named, str) and kind != ALERT else memory_id


def trace_beside(
    memory_id: str, place: str, kind: str, trajectory_id: str | None, told: Mapping[str, Json]
) -> dict[str, Json]:
    """Return what the audit keeps of a forgotten memory that was told with others: their trace, nothing for one alone.

    A digest, so that the audit holds no name that somebody chose.
    """
    decision = decision_of(memory_id, place, kind, trajectory_id, told)
    return {} if decision == memory_id else {"trace": trace_id_of(decision).hex()}


def _root(memory: Memory, first: Memory, *, is_shown: bool) -> Span:
    """Return a whole trajectory, from its opening to its end."""
    figures = memory.metadata
    outcome = str(figures[OUTCOME])
    name = "trade" if memory.namespace == TRADING else "session"
    return Span(
        trace_id=trace_id_of(memory.id),
        span_id=root_id_of(memory.id),
        name=name,
        type="agent",
        start_ns=min(first.ts_event_ns, memory.ts_event_ns),
        end_ns=memory.ts_event_ns,
        given=_text(first.content, is_shown=is_shown and first is not memory),
        came=_text(memory.content, is_shown=is_shown),
        details=_details(memory, is_shown=is_shown),
        session=_session(memory, memory.id),
        user=memory.provenance.agent,
        trace_name=name,
        tags=(memory.namespace, *memory.tags) if is_shown else (memory.namespace,),
        scores=_outcome_scores(figures, outcome) if is_shown else (),
    )


def _span(memory: Memory, within: TrajectoryId | None, *, is_ours: bool, is_shown: bool) -> Span:
    """Return a memory as a step of a trajectory, or as a trace of its own."""
    kind = memory.kind
    # What was not acted on has no trajectory that would close: it is as much of a root as there will ever be.
    is_root = within is None or (kind == "signal" and "denied" in memory.metadata and memory.trajectory_id is None)
    trace_name = ("trade" if is_ours else "session") if within else f"{memory.namespace.partition('/')[0]}.{kind}"
    told = memory.metadata
    is_alert = is_ours and kind == ALERT
    # An alert keeps the time at which it was raised; each of its changes happened when it was written.
    at_ns = memory.known_at_ns if is_alert and memory.version > 1 else memory.ts_event_ns
    named = told.get("trajectory_id") if is_alert else None
    return Span(
        trace_id=trace_id_of(within or memory.id),
        span_id=span_id_of(memory.id, memory.version),
        name=kind if within else trace_name,
        type=_TYPES.get(kind, "event") if is_ours else "span" if within else "event",
        start_ns=at_ns,
        end_ns=at_ns,
        parent_id=b"" if is_root or within is None else root_id_of(within),
        level=_level(kind, told) if is_ours else "DEFAULT",
        status=str(told.get("change", "")) if is_alert else "",
        came=_text(memory.content, is_shown=is_shown),
        details=_details(memory, is_shown=is_shown),
        session=_session(memory, within or ""),
        user=memory.provenance.agent,
        trace_name=trace_name,
        tags=(memory.namespace,),
        linked=((trace_id_of(named), root_id_of(named)),) if isinstance(named, str) and named else (),
        scores=_scores(memory) if is_ours and is_shown else (),
    )


def _level(kind: str, told: Mapping[str, Json]) -> Level:
    if kind == ALERT:
        is_over = told.get("state") == "resolved"
        return "DEFAULT" if is_over else _LEVELS.get(str(told.get("severity", "warning")), "WARNING")
    return "WARNING" if kind == "rejection" else "DEFAULT"


def _asked(memory: Memory, exchange: str, *, is_shown: bool) -> Span:
    """Return what the sidecar was asked, or what it said: one trace an exchange, the answer is its root."""
    told = memory.metadata
    root = root_id_of(exchange)
    is_answer = memory.kind == "response"
    text = _text(memory.content, is_shown=is_shown)
    asked_ns = _int(told.get("asked_ns")) or memory.ts_event_ns
    is_failed = is_answer and told.get("outcome") != "answered"
    return Span(
        trace_id=trace_id_of(exchange),
        span_id=root if is_answer else span_id_of(memory.id, memory.version),
        name=f"sidecar.{memory.kind}",
        type="generation" if is_answer else "event",
        start_ns=asked_ns if is_answer else memory.ts_event_ns,
        end_ns=asked_ns + _int(told.get("latency_ms")) * NS_PER_MS if is_answer else memory.ts_event_ns,
        parent_id=b"" if is_answer else root,
        level="WARNING" if is_failed else "DEFAULT",
        status=str(told.get("outcome", "")) if is_failed else "",
        given="" if is_answer else text,
        came=text if is_answer else "",
        details=_details(memory, is_shown=is_shown),
        session=_session(memory, ""),
        user=memory.provenance.agent,
        trace_name="sidecar",
        tags=(memory.namespace,),
        usage=_usage(told) if is_answer else None,
    )


def _usage(told: Mapping[str, Json]) -> Usage:
    advice = told.get("advice")
    model = str(advice.get("model", "")) if isinstance(advice, dict) else ""
    # An answer given before costs nothing again.
    paid = not told.get("is_cached")
    return Usage(
        model=model,
        tokens_in=_int(told.get("tokens_in")) * paid,
        tokens_out=_int(told.get("tokens_out")) * paid,
        cost_usd=_int(told.get("cost_micro_usd")) * paid / MICROS,
    )


def _outcome_scores(told: Mapping[str, Json], outcome: str) -> tuple[Score, ...]:
    found = [Score("outcome", outcome[:100], "CATEGORICAL", of_trace=True)]
    reward = told.get("reward")
    if isinstance(reward, int):
        is_sol = told.get("reward_unit") == "lamports"
        value = reward / LAMPORTS_PER_SOL if is_sol else float(reward)
        found.append(Score("pnl_sol" if is_sol else "reward", value, of_trace=True))
    return_bps = told.get("return_bps")
    if isinstance(return_bps, int):
        found.append(Score("return_bps", float(return_bps), of_trace=True))
    return tuple(found)


def _scores(memory: Memory) -> tuple[Score, ...]:
    """Return what a memory of the desk says of how well it went."""
    told = memory.metadata
    slippage = told.get("slippage_bps")
    if memory.kind == "fill" and isinstance(slippage, int):
        return (Score("slippage_bps", float(slippage)),)
    brier = told.get("brier_ppm")
    if memory.kind in ("outcome", "score") and isinstance(brier, int):
        whose = "forecast" if memory.kind == "outcome" else "advice"
        hit = 1.0 if told.get("is_hit") else 0.0
        return (Score(f"{whose}_brier", brier / MICROS), Score(f"{whose}_hit", hit, "BOOLEAN"))
    return ()


def _details(memory: Memory, *, is_shown: bool) -> dict[str, Json]:
    named: dict[str, Json] = {"memory_id": memory.id, "version": memory.version, "memory_kind": memory.kind}
    return {**memory.metadata, **named} if is_shown else named


def _text(text: str, *, is_shown: bool) -> str:
    return text[:TEXT_CHARS_MAX] if is_shown else ""


def _session(memory: Memory, named: str) -> str:
    """Return the session of an agent, or the run of the desk, which stands before the dot in a trajectory's name."""
    run = memory.metadata.get("run_id")
    if isinstance(run, str):
        return run
    run, dot, _ = named.partition(".")
    return memory.provenance.session or (run if dot else "")


def _int(value: Json) -> int:
    return value if isinstance(value, int) else 0

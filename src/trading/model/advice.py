"""Advice of a language model (the sidecar): what was asked, what came of it, and how it came out.

An exchange is an input of the kernel, so everything in it is ints and strings, and it is written down whole: a replay
reads it and asks nobody.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from .units import BPS_ONE, NS_PER_S

ANSWERED: Final = "answered"
"""The outcome of an exchange that brought advice; every other outcome is the name of a fault."""


class QuestionKind(StrEnum):
    """What a question is about. The answer to the first kind may shrink or delay an entry, the others are read."""

    ENTRY = "entry"
    REVIEW_LOSS = "review_loss"
    REBALANCE = "rebalance"
    LAUNCH = "launch"
    SCENARIO = "scenario"


WEIGHED_KINDS: Final = frozenset({QuestionKind.ENTRY.value, QuestionKind.LAUNCH.value})
"""Answers to these questions are looked at before an entry."""


class AdviceRules(BaseModel):
    """How far advice may shrink or delay an entry; with ``weight_bps_max`` 0 (the default) not at all.

    ``weight_bps_max``: the largest share of what advice asks for that is done, for a model whose record beats the base
    rate. ``unproven_bps``: that share for a model with fewer than ``scores_needed`` scored answers of the kind.
    ``age_s_max``: advice that was asked for longer ago counts no more, whatever it says itself. ``wait_s_max``: how
    long an entry may be put off, counted from the question.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight_bps_max: int = Field(default=0, ge=0, le=BPS_ONE)
    unproven_bps: int = Field(default=1_000, ge=0, le=2_500)
    scores_needed: int = Field(default=30, ge=10, le=10_000)
    age_s_max: int = Field(default=1_800, ge=1, le=7 * 86_400)
    wait_s_max: int = Field(default=1_800, ge=0, le=86_400)


@dataclass(frozen=True, slots=True)
class Advice:
    """What a model said about one question. ``probability_bps``: that the token's price is higher ``horizon_s`` after
    the answer came in. ``stance_bps`` runs from -10000 (against) to 10000 (for). ``low_bps`` to ``high_bps`` is the
    interval of the move that it expects. ``size_scale_bps`` is the share of the desk's own size that it would take, and
    ``wait_s`` how long it would wait from the question on."""

    model: str
    horizon_s: int
    stance_bps: int
    probability_bps: int
    expected_bps: int
    low_bps: int
    high_bps: int
    size_scale_bps: int
    wait_s: int
    confidence_bps: int
    expires_ns: int
    evidence: tuple[str, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question and what came of it. ``outcome``: answered, or the fault's name; ``detail`` says more about a fault.

    ``mint`` and ``strategy`` are "" where the question is about none. ``asked_ns`` is the market's time. ``evidence``
    are the ids that were given. ``is_cached``: an earlier answer to the same question, which cost nothing.
    """

    id: str
    kind: str
    mint: str
    symbol: str
    strategy: str
    asked_ns: int
    question: str
    evidence: tuple[str, ...]
    outcome: str
    detail: str
    latency_ms: int
    tokens_in: int
    tokens_out: int
    cost_micro_usd: int
    is_cached: bool
    advice: Advice | None


@dataclass(frozen=True, slots=True)
class AdviceScore:
    """How advice came out at the first cycle at which its horizon was over. ``realised_bps`` is the move of the price
    since it came in. ``brier_ppm`` is the squared distance of its probability from the outcome, in millionths (Brier,
    1950)."""

    advice_id: str
    kind: str
    model: str
    mint: str
    ts_ns: int
    probability_bps: int
    expected_bps: int
    realised_bps: int
    is_up: bool
    is_hit: bool
    is_within: bool
    brier_ppm: int
    reason: str


def score_of(exchange: Exchange, realised_bps: int, ts_ns: int, reason: str) -> AdviceScore:
    """Return the score of an answered exchange. A price that did not move counts as no rise."""
    advice = exchange.advice
    assert advice is not None, "only answers are scored"
    is_up = realised_bps > 0
    missed = BPS_ONE - advice.probability_bps if is_up else advice.probability_bps
    return AdviceScore(
        advice_id=exchange.id,
        kind=exchange.kind,
        model=advice.model,
        mint=exchange.mint,
        ts_ns=ts_ns,
        probability_bps=advice.probability_bps,
        expected_bps=advice.expected_bps,
        realised_bps=realised_bps,
        is_up=is_up,
        is_hit=is_up is (advice.probability_bps > BPS_ONE // 2),
        is_within=advice.low_bps <= realised_bps <= advice.high_bps,
        brier_ppm=missed * missed // 100,
        reason=reason,
    )


def due_ns_of(exchange: Exchange, arrived_ns: int) -> int:
    """Return when an answer that came in then can be scored."""
    assert exchange.advice is not None, "only answers are scored"
    return arrived_ns + exchange.advice.horizon_s * NS_PER_S


def exchange_of(body: Mapping[str, Any]) -> Exchange:
    """Return the exchange of a journal row's body. Raises: ValueError where it does not fit."""
    return TypeAdapter(Exchange).validate_python(dict(body))

"""What is asked of a sidecar and what it may answer: the contract of ``POST /assess``, and of a model's JSON.

Both sides are bounded field by field and know no others. Numbers are whole (basis points, seconds, lamports), so that
nothing rests on the last bits of a float. Texts in a request come from markets, memories and agents: they are data.
"""

import hashlib
import json
import re
import unicodedata
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from trading.errors import SidecarFault
from trading.model.advice import Advice
from trading.model.units import BPS_ONE, NS_PER_S

SCHEMA_VERSION: Final = 1
EVIDENCE_MAX: Final = 16
EVIDENCE_TEXT_MAX: Final = 800
QUESTION_MAX: Final = 2_000
REASONS_MAX: Final = 8
REASON_MAX: Final = 300
HORIZON_S_MAX: Final = 30 * 86_400
EXPIRES_S_MAX: Final = 7 * 86_400
MOVE_BPS_MAX: Final = 1_000_000
LAMPORTS_MAX: Final = 10**18

Id = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$")]
Lamports = Annotated[int, Field(ge=0, le=LAMPORTS_MAX)]
Share = Annotated[int, Field(ge=0, le=BPS_ONE)]
Move = Annotated[int, Field(ge=-BPS_ONE, le=MOVE_BPS_MAX)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Evidence(_Strict):
    """Something that the question rests on; an answer names it by its id. The text is data, whoever wrote it."""

    id: Id
    text: str = Field(max_length=EVIDENCE_TEXT_MAX)


class MarketFigures(_Strict):
    """What is known of the token. Prices are SOL per whole token, as decimal text; None where something is unknown."""

    price_sol: str | None = Field(default=None, max_length=64, pattern=r"^\d{1,20}(\.\d{1,40})?$")
    pool_lamports: Lamports | None = None
    volatility_day_bps: int | None = Field(default=None, ge=0, le=MOVE_BPS_MAX)
    cost_bps: Move | None = Field(default=None, description="All costs of a round trip.")
    expected_bps: Move | None = Field(default=None, description="The move that the desk itself expects.")


class DeskFigures(_Strict):
    """How the desk stands."""

    state: str = Field(max_length=16)
    equity_lamports: Lamports
    exposure_bps: int = Field(ge=0, le=100 * BPS_ONE)
    drawdown_bps: Share
    positions: int = Field(ge=0, le=10_000)


class AssessmentRequest(_Strict):
    """One question. ``mint``, ``symbol`` and ``strategy`` are "" where it is about none of them."""

    schema_version: Literal[1] = SCHEMA_VERSION
    id: Id
    kind: Literal["entry", "review_loss", "rebalance", "launch", "scenario"]
    question: str = Field(min_length=1, max_length=QUESTION_MAX)
    mint: str = Field(default="", max_length=64)
    symbol: str = Field(default="", max_length=64)
    strategy: str = Field(default="", max_length=64)
    side: Literal["buy", "sell", "none"] = "none"
    horizon_s: int = Field(default=3_600, ge=60, le=HORIZON_S_MAX)
    market: MarketFigures = MarketFigures()
    desk: DeskFigures | None = None
    evidence: tuple[Evidence, ...] = Field(default=(), max_length=EVIDENCE_MAX)

    @property
    def evidence_ids(self) -> tuple[str, ...]:
        return tuple(each.id for each in self.evidence)

    def digest(self) -> str:
        """Return what tells this question from others, its id aside: equal ones have equal answers."""
        body = self.model_dump(mode="json", exclude={"id"})
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


class Assessment(_Strict):
    """An answer. Nothing in it can enlarge an order: the desk reads at most a smaller size, or a later time."""

    stance_bps: int = Field(ge=-BPS_ONE, le=BPS_ONE, description="From -10000, against, to 10000, for.")
    probability_bps: Share = Field(description="That the price is higher when the horizon is over.")
    expected_bps: Move = Field(description="The move that you expect until then.")
    low_bps: Move = Field(description="The lower end of the interval that holds 80 % of what may happen.")
    high_bps: Move = Field(description="Its upper end.")
    size_scale_bps: Share = Field(description="The share of its own size that the desk should take; 10000 is all.")
    wait_s: int = Field(ge=0, le=86_400, description="How long the desk should wait with it, in seconds.")
    confidence_bps: Share = Field(description="How sure you are of this answer.")
    evidence_ids: tuple[Id, ...] = Field(max_length=EVIDENCE_MAX, description="The evidence that it rests on, by id.")
    reasons: tuple[Annotated[str, StringConstraints(min_length=1, max_length=REASON_MAX)], ...] = Field(
        min_length=1, max_length=REASONS_MAX, description="Short sentences."
    )
    expires_in_s: int = Field(ge=1, le=EXPIRES_S_MAX, description="How long this answer is good for.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low_bps <= self.expected_bps <= self.high_bps:
            msg = "low_bps <= expected_bps <= high_bps must hold"
            raise ValueError(msg)
        return self


class Usage(_Strict):
    """What an answer took."""

    tokens_in: int = Field(default=0, ge=0, le=10**9)
    tokens_out: int = Field(default=0, ge=0, le=10**9)
    cost_micro_usd: int = Field(default=0, ge=0, le=10**12)
    latency_ms: int = Field(default=0, ge=0, le=10**9)
    is_cached: bool = False


class AssessAnswer(_Strict):
    """The answer of ``POST /assess``: whose question it answers, which model said it, what it took."""

    schema_version: Literal[1] = SCHEMA_VERSION
    id: Id
    model: str = Field(min_length=1, max_length=128)
    assessment: Assessment
    usage: Usage = Usage()


def assessment_of(text: str | bytes, request: AssessmentRequest) -> Assessment:
    """Return the answer that a model wrote as JSON, also one in a code fence or among words.

    Raises: SidecarFault (not_json, schema, evidence).
    """
    raw = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    begins, ends = raw.find("{"), raw.rfind("}")
    if begins < 0 or ends < begins:
        msg = "the answer holds no JSON object"
        raise SidecarFault(msg, reason="not_json")
    try:
        found = Assessment.model_validate_json(raw[begins : ends + 1])
    except ValidationError as error:
        raise _schema_fault(error) from error
    return checked(found, request)


def answer_of(body: bytes, request: AssessmentRequest) -> AssessAnswer:
    """Return what a server of ``POST /assess`` answered. Raises: SidecarFault (not_json, schema, evidence)."""
    try:
        found = AssessAnswer.model_validate_json(body)
    except ValidationError as error:
        raise _schema_fault(error) from error
    if found.id != request.id:
        msg = "the answer is to another question"
        raise SidecarFault(msg, reason="schema")
    return found.model_copy(update={"assessment": checked(found.assessment, request)})


def checked(found: Assessment, request: AssessmentRequest) -> Assessment:
    """Return an answer that cites what was given, with its texts made plain. Raises: SidecarFault (evidence)."""
    given = set(request.evidence_ids)
    foreign = [each for each in found.evidence_ids if each not in given]
    if foreign or (given and not found.evidence_ids):
        msg = f"the answer cites {len(foreign)} things that it was not given" if foreign else "the answer cites nothing"
        raise SidecarFault(msg, reason="evidence")
    return found.model_copy(update={"reasons": tuple(plain(each, REASON_MAX) or "-" for each in found.reasons)})


def advice_of(found: Assessment, request: AssessmentRequest, model: str, asked_ns: int) -> Advice:
    """Return the answer as the kernel keeps it; it expires by the clock of the question."""
    return Advice(
        model=model,
        horizon_s=request.horizon_s,
        stance_bps=found.stance_bps,
        probability_bps=found.probability_bps,
        expected_bps=found.expected_bps,
        low_bps=found.low_bps,
        high_bps=found.high_bps,
        size_scale_bps=found.size_scale_bps,
        wait_s=found.wait_s,
        confidence_bps=found.confidence_bps,
        expires_ns=asked_ns + found.expires_in_s * NS_PER_S,
        evidence=found.evidence_ids,
        reasons=found.reasons,
    )


_SPACE: Final = re.compile(r"\s+")


def plain(text: str, length_max: int) -> str:
    """Return a text without control, format and private characters, on one line, cut to a length."""
    kept = "".join(" " if unicodedata.category(each)[0] == "C" else each for each in text[: 4 * length_max])
    return _SPACE.sub(" ", kept).strip()[:length_max]


def _schema_fault(error: ValidationError) -> SidecarFault:
    """Name the first field that does not fit; what was given may hold anything and is left out."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    is_json = first["type"] == "json_invalid"
    where = ".".join(str(part) for part in first["loc"])[:80]
    msg = (
        "the answer is no JSON"
        if is_json
        else f"the answer does not fit the schema: {where or 'whole'}: {first['type']}"
    )
    return SidecarFault(msg, reason="not_json" if is_json else "schema")

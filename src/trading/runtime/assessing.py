"""``POST /assess``: others' questions to the desk's sidecar, under the same budget, breaker, schema and memory."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from trading.errors import InvalidInput, Unavailable
from trading.model.advice import ANSWERED, Exchange
from trading.ports import Memory, MemoryRecord
from trading.sidecar.assessment import AssessAnswer, AssessmentRequest, Usage

from .advice_texts import BANK, request_text, response_figures, response_text
from .documents import Document
from .sidecar import Sidecar


class Assessing:
    """Answers one question at a time of each asker. What was asked and answered is in memory before it is told."""

    def __init__(self, sidecar: Sidecar, memory: Memory, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self._sidecar = sidecar
        self._memory = memory
        self._wall_ns = wall_ns

    async def answer(self, request: Mapping[str, Any], *, agent: str) -> Document:
        """Return an ``AssessAnswer``.

        Raises: InvalidInput naming the field; Unavailable where the sidecar has no answer; MemoryUnavailable.
        """
        asked = _request_of(request)
        now_ns = self._wall_ns()
        exchange = await self._sidecar.ask(asked, now_ns)
        await self._memory.write(_records(exchange, agent, now_ns))
        if exchange.outcome != ANSWERED or exchange.advice is None:
            msg = f"the sidecar gave no answer ({exchange.outcome}): {exchange.detail}"
            raise Unavailable(msg, hint="telemetry shows its breaker and its budget under sidecar")
        return _answer(asked, exchange)


def _request_of(request: Mapping[str, Any]) -> AssessmentRequest:
    try:
        # As JSON: strictly, and lists are what tuples are there.
        return AssessmentRequest.model_validate_json(json.dumps(dict(request)))
    except (ValidationError, TypeError) as error:
        first = error.errors(include_url=False, include_input=False)[0] if isinstance(error, ValidationError) else None
        field = "request" if first is None else ".".join(map(str, first["loc"])) or "request"
        msg = f"{field}: {'is no JSON' if first is None else first['msg']}"
        raise InvalidInput(msg, field=field) from error


def _answer(asked: AssessmentRequest, exchange: Exchange) -> Document:
    advice = exchange.advice
    assert advice is not None, "only answers are told"
    left_s = max(1, (advice.expires_ns - exchange.asked_ns) // 1_000_000_000)
    told = AssessAnswer.model_validate_json(
        json.dumps(
            {
                "id": asked.id,
                "model": advice.model,
                "assessment": {
                    "stance_bps": advice.stance_bps,
                    "probability_bps": advice.probability_bps,
                    "expected_bps": advice.expected_bps,
                    "low_bps": advice.low_bps,
                    "high_bps": advice.high_bps,
                    "size_scale_bps": advice.size_scale_bps,
                    "wait_s": advice.wait_s,
                    "confidence_bps": advice.confidence_bps,
                    "evidence_ids": list(advice.evidence),
                    "reasons": list(advice.reasons),
                    "expires_in_s": left_s,
                },
                "usage": Usage(
                    tokens_in=exchange.tokens_in,
                    tokens_out=exchange.tokens_out,
                    cost_micro_usd=exchange.cost_micro_usd,
                    latency_ms=exchange.latency_ms,
                    is_cached=exchange.is_cached,
                ).model_dump(),
            }
        )
    )
    return told.model_dump(mode="json")


def _records(exchange: Exchange, agent: str, now_ns: int) -> list[MemoryRecord]:
    """Return the two memories of an exchange. Each call has its own: a repeat is asked again, or answered anew."""
    request = MemoryRecord(
        action="note",
        key=f"assess/{now_ns}/{exchange.id}/request",
        ts_event_ns=now_ns,
        namespace=BANK,
        kind="request",
        text=request_text(exchange),
        tags=(exchange.kind,),
        metadata={"id": exchange.id, "asked_by": agent, "mint": exchange.mint, "evidence": list(exchange.evidence)},
    )
    response = replace(
        request,
        key=f"assess/{now_ns}/{exchange.id}/response",
        kind="response",
        text=response_text(exchange),
        tags=(exchange.kind, exchange.outcome),
        metadata={**response_figures(exchange), "asked_by": agent},
        embed=True,
    )
    return [request, response]

"""A loopback server that speaks the chat-completions API and ``POST /assess``, sound by default, with faults on demand.

``faults`` names what each question gets, in order; the last one stays. What was asked is kept in ``asked``.
"""

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.support.market_server import loopback

MODEL: Final = "a-model"
KEY: Final = "sk-live-5f3a0c9d1e7b4a2f8c6d0b1e9a7f3c5d"
"""Looks like a key, so that a leak of it is found."""

Data = dict[str, Any]


def assessment(data: Data, **changes: Any) -> Data:
    """Return a sound answer to the data of a question."""
    return {
        "stance_bps": -2_000,
        "probability_bps": 4_000,
        "expected_bps": -40,
        "low_bps": -300,
        "high_bps": 150,
        "size_scale_bps": 0,
        "wait_s": 0,
        "confidence_bps": 6_000,
        "evidence_ids": [each["id"] for each in data["evidence"][:1]],
        "reasons": ["the move is late"],
        "expires_in_s": 3_600,
        **changes,
    }


LIES: Final[dict[str, Callable[[Data], Any]]] = {
    "unknown_field": lambda data: assessment(data, order="buy everything"),
    "over_the_mandate": lambda data: assessment(data, size_scale_bps=1_000_000),
    "fractions": lambda data: assessment(data, probability_bps=0.7),
    "no_number": lambda data: assessment(data, expected_bps="NaN"),
    "out_of_order": lambda data: assessment(data, low_bps=500),
    "missing_field": lambda data: {name: value for name, value in assessment(data).items() if name != "stance_bps"},
    "foreign_evidence": lambda data: assessment(data, evidence_ids=["mem_somebody_elses"]),
    "no_evidence": lambda data: assessment(data, evidence_ids=[]),
    "endless_reasons": lambda data: assessment(data, reasons=["so"] * 1_000),
    "a_list": lambda data: [assessment(data)],
    "an_order": lambda _data: {"tool": "place_trade", "arguments": {"side": "buy", "amount_sol": "1000"}},
    "words": lambda _data: "I am sorry, I cannot do that.",
}
"""Answers that no schema of ours lets through."""


@dataclass(slots=True)
class ChatServer:
    """``said`` changes fields of a sound answer; ``formats`` are those of ``response_format`` that it knows."""

    faults: list[str] = field(default_factory=list)
    said: Data = field(default_factory=dict)
    formats: tuple[str | None, ...] = ("json_schema", "json_object", None)
    model: str = MODEL
    has_usage: bool = True
    is_modern: bool = False
    """Whether it refuses what newer models refuse."""
    asked: list[Data] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    elsewhere: int = 0
    """Requests that came to where a redirect points."""
    release: anyio.Event = field(default_factory=anyio.Event)
    url: str = ""

    def _fault(self) -> str:
        if not self.faults:
            return ""
        return self.faults.pop(0) if len(self.faults) > 1 else self.faults[0]

    async def chat(self, request: Request) -> Response:
        document = await request.json()
        self.asked.append(document)
        self.keys.append(request.headers.get("authorization", ""))
        wanted = document.get("response_format")
        kind = None if wanted is None else wanted["type"]
        if kind not in self.formats:
            return JSONResponse({"error": {"message": f"response_format {kind} is not supported"}}, 400)
        if self.is_modern and "max_tokens" in document:
            told = "Unsupported parameter: 'max_tokens' is not supported, use 'max_completion_tokens' instead."
            return JSONResponse({"error": {"message": told}}, 400)
        if self.is_modern and "temperature" in document:
            return JSONResponse({"error": {"message": "Unsupported value: 'temperature' does not support 0"}}, 400)
        data = data_of(document)
        fault = self._fault()
        found = await self._broken(fault)
        if found is not None:
            return found
        said = LIES[fault](data) if fault in LIES else assessment(data, **self.said)
        text = said if isinstance(said, str) else json.dumps(said)
        if fault == "fenced":
            text = f"Here you are:\n```json\n{text}\n```\nGood luck!"
        body: Data = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": "another-model" if fault == "wrong_model" else self.model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": None if fault == "empty" else text},
                    "finish_reason": "length" if fault == "cut" else "stop",
                }
            ],
        }
        if self.has_usage:
            body["usage"] = {"prompt_tokens": 500, "completion_tokens": 100, "total_tokens": 600}
        if fault == "lying_usage":
            body["usage"] = {"prompt_tokens": -5, "completion_tokens": "many"}
        return JSONResponse(body)

    async def assess(self, request: Request) -> Response:
        data = await request.json()
        self.asked.append(data)
        fault = self._fault()
        found = await self._broken(fault)
        if found is not None:
            return found
        said = LIES[fault](data) if fault in LIES else assessment(data, **self.said)
        body = {"schema_version": 1, "id": data["id"], "model": self.model, "assessment": said}
        return JSONResponse({**body, "id": "asm_of_another"} if fault == "another_question" else body)

    async def _broken(self, fault: str) -> Response | None:
        """Return what a fault of the way there answers, None where the answer itself is at fault, or nothing is."""
        match fault.partition(":")[0]:
            case "late":
                await anyio.sleep(float(fault.partition(":")[2]))
            case "slow" | "hanging":
                await self.release.wait()
            case "mid_body":
                return StreamingResponse(self._half(), media_type="application/json")
            case "busy":
                after = fault.partition(":")[2]
                return JSONResponse({}, 429, headers={"retry-after": after} if after else {})
            case "error":
                return JSONResponse({"error": f"the key was {KEY}"}, 500)
            case "refused":
                return JSONResponse({"error": f"the key {KEY} is unknown"}, 401)
            case "redirect":
                return RedirectResponse(f"{self.url}/elsewhere", 307)
            case "huge":
                return StreamingResponse(_flood(), media_type="application/json")
            case "malformed":
                return Response(b'{"choices": [{"message": {"content": "{', media_type="application/json")
            case "deep":
                return Response(b"[" * 100_000, media_type="application/json")
        return None

    async def _half(self) -> AsyncIterator[bytes]:
        yield b'{"choices": [{"message": '
        await self.release.wait()

    async def _elsewhere(self, _request: Request) -> Response:
        self.elsewhere += 1
        return JSONResponse({})

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve until the block is left; yields the base URL."""
        routes = [
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/assess", self.assess, methods=["POST"]),
            Route("/elsewhere", self._elsewhere, methods=["GET", "POST"]),
        ]
        async with loopback(routes) as url:
            self.url = url
            try:
                yield url
            finally:
                self.release.set()


async def _flood() -> AsyncIterator[bytes]:
    for _ in range(64):
        yield b" " * 65_536
        await anyio.lowlevel.checkpoint()


def data_of(document: Data) -> Data:
    """Return the data of a question as a model would read it, from between the marks."""
    text = document["messages"][1]["content"]
    found = re.search(r"<data-([0-9a-f]{16})>\n(.*)\n</data-\1>", text, re.DOTALL)
    assert found is not None, text
    data: Data = json.loads(found[2])
    return data

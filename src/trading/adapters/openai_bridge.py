"""Any endpoint of the chat-completions API as an adviser.

It is asked for JSON of our schema; one that does not know ``response_format`` of that kind says so with a 400 and is
asked for plain JSON objects from then on, and at last for nothing of the kind. A model that wants
``max_completion_tokens``, or takes no ``temperature``, says so in the same way. Whatever comes is held against the
schema here, so what the endpoint promises changes nothing.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from trading.config import SidecarSection
from trading.errors import SidecarFault
from trading.sidecar.adviser import Reply
from trading.sidecar.assessment import AssessmentRequest, assessment_of
from trading.sidecar.budget import tokens_of
from trading.sidecar.prompting import messages, schema_of_answers

from .sidecar_http import SidecarHttp, Turned

PATH: Final = "/chat/completions"
MAX_TOKENS: Final = "max_tokens"
PLAIN_KEYWORDS: Final = frozenset({"type", "properties", "required", "additionalProperties", "items", "description"})
"""Keywords that every endpoint takes in a strict schema; bounds are told in the prompt and checked here."""
TOKENS_TOLD_MAX: Final = 100_000_000
_UNKNOWN: Final = (400, 404, 415, 422, 501)


class OpenAiBridge:
    """An ``Adviser``. ``http`` is the caller's to close."""

    def __init__(self, section: SidecarSection, http: SidecarHttp) -> None:
        self._section = section
        self._http = http
        self._formats = [_schema_format(), {"type": "json_object"}, None]
        self._options = {"temperature": 0, MAX_TOKENS: section.tokens_out_max}

    @property
    def model(self) -> str:
        return self._section.model

    def size_of(self, request: AssessmentRequest) -> tuple[int, int]:
        return sum(tokens_of(each["content"]) + 8 for each in messages(request)), self._section.tokens_out_max

    async def assess(self, request: AssessmentRequest) -> Reply:
        """Return the model's answer. Raises: SidecarFault."""
        while True:
            body = await self._http.post(PATH, self._document(request))
            if not isinstance(body, Turned):
                return self._reply(body, request)
            if body.status in _UNKNOWN and self._has_learnt(body.body):
                continue
            msg = f"the server turned the question down with {body.status}"
            raise SidecarFault(msg, reason="http_4xx")

    def _has_learnt(self, complaint: bytes) -> bool:
        """Ask otherwise from now on, where the endpoint complains of that; each way of asking is left only once."""
        if b"response_format" in complaint and len(self._formats) > 1:
            del self._formats[0]
        elif b"max_completion_tokens" in complaint and MAX_TOKENS in self._options:
            self._options["max_completion_tokens"] = self._options.pop(MAX_TOKENS)
        elif b"temperature" in complaint and "temperature" in self._options:
            del self._options["temperature"]
        else:
            return False
        return True

    def _document(self, request: AssessmentRequest) -> dict[str, Any]:
        wanted = self._formats[0]
        return {
            "model": self._section.model,
            "messages": messages(request),
            **self._options,
            **({} if wanted is None else {"response_format": wanted}),
        }

    def _reply(self, body: bytes, request: AssessmentRequest) -> Reply:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            msg = "the server's answer is no JSON"
            raise SidecarFault(msg, reason="not_json") from None
        tokens = _usage(document)
        try:
            self._require_model(document)
            return Reply(self.model, assessment_of(_content(document), request), *(tokens or (None, None)))
        except SidecarFault as fault:
            fault.tokens = tokens
            raise

    def _require_model(self, document: Any) -> None:
        """Refuse the answer of another model: its record would count for the one that was asked.

        An endpoint may name the dated release behind a name: ``name-2025-01-01`` answers for ``name``.
        """
        told = document.get("model") if isinstance(document, Mapping) else None
        wanted = self._section.model
        if isinstance(told, str) and told and told != wanted and not told.startswith(f"{wanted}-"):
            msg = "another model answered than the one that was asked"
            raise SidecarFault(msg, reason="model")


def _schema_format() -> dict[str, Any]:
    return {
        "type": "json_schema",
        "json_schema": {"name": "assessment", "strict": True, "schema": _plain(schema_of_answers())},
    }


def _plain(schema: Any) -> Any:
    """Return a schema without the keywords that a strict endpoint may refuse."""
    if not isinstance(schema, dict):
        return schema
    return {
        name: {field: _plain(each) for field, each in value.items()} if name == "properties" else _plain(value)
        for name, value in schema.items()
        if name in PLAIN_KEYWORDS
    }


def _content(document: Any) -> str:
    """Return the text of the first choice. Raises: SidecarFault."""
    try:
        choice = document["choices"][0]
        content, why = choice["message"]["content"], choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError):
        content, why = None, None
    if why == "length":
        msg = "the answer was cut off at its longest"
        raise SidecarFault(msg, reason="truncated")
    if not isinstance(content, str) or not content.strip():
        msg = "the server's answer holds no text"
        raise SidecarFault(msg, reason="schema")
    return content


def _usage(document: Any) -> tuple[int, int] | None:
    """Return the tokens that the endpoint tells, in and out; None where it tells none that can be meant."""
    usage = document.get("usage") if isinstance(document, Mapping) else None
    if not isinstance(usage, Mapping):
        return None
    tokens_in, tokens_out = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if type(tokens_in) is not int or type(tokens_out) is not int:
        return None
    is_meant = 0 <= tokens_in <= TOKENS_TOLD_MAX and 0 <= tokens_out <= TOKENS_TOLD_MAX
    return (tokens_in, tokens_out) if is_meant else None

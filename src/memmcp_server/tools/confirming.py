"""A human's yes before an agent's order, where the client can ask its user (elicitation), in both protocol eras.

The token path stays as it is: without ``preview_id`` nothing trades, and the desk binds the order to what was shown. A
client that declares elicitation is asked besides, so that a model alone cannot confirm. It replaces no approval of the
operator, and a repeated key is answered without asking again.
"""

import hashlib
import json
from typing import Any, Final, Literal

import anyio
from mcp import MCPError
from mcp.server.mcpserver import Context
from mcp_types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from mcp_types.version import is_version_at_least
from pydantic import BaseModel

from memmcp_server.domain.recap import one_line
from memmcp_server.services.confirmations import Confirmations

from .caller import clean_name
from .desk import desk_of, document
from .spec import Call, ToolSpec

PART_OF_RESULT_SINCE: Final = "2026-07-28"
"""From this version on a question is part of an unfinished result; before, it is a request to the client."""

ANSWER: Final = "order"
FORM: Final[dict[str, Any]] = {"type": "object", "properties": {}}
"""Nothing to fill in: to accept is the yes."""

SHOWN_CHARS_MAX: Final = 600
REASON_CHARS_MAX: Final = 300

Word = Literal["accept", "decline", "cancel"]

SAID: Final[dict[str, str]] = {
    "decline": "The user declined in the client. Nothing was traded, and this preview is void. Do not ask for it again "
    "unless the user wishes it.",
    "cancel": "The user gave no answer in the client. Nothing was traded. The same call asks again while the preview "
    "holds; tell the user first what it is about.",
    "failed": "The client declares that it can ask its user, but did not answer the question. Nothing was traded. Tell "
    "the user; the operator may set MEMMCP_ORDERS__ASK_IN_CLIENT=never.",
    "void": "The user declined this preview before. Nothing was traded. Ask for a new preview only if the user wishes.",
}


async def before_the_order(
    spec: ToolSpec[Any], call: Call, request: BaseModel, context: Context[Any, Any]
) -> BaseModel | InputRequiredResult | None:
    """Return None where the order may go to the desk, an answer where it may not, or the question to the user.

    Raises: TradingUnavailable.
    """
    preview_id: str | None = getattr(request, "preview_id", None)
    if spec.question is None or preview_id is None:
        return None
    kept, desk = call.services.confirmations, desk_of(call.services)
    snapshot = await desk.snapshot()
    money = str(snapshot["money"])
    is_void, is_asked = kept.is_declined(preview_id), can_ask(context) and kept.are_asked(money)
    if not is_void and not is_asked:
        return None
    known = await desk.answered(agent=call.caller.agent, key=call.key)
    if known is not None:
        return document(spec.answer, known)
    said = "void"
    if not is_void:
        question = question_of(spec, request, call.caller.agent, money, kept.shown(preview_id))
        word = await _word(context, question, _state(spec, call, request), kept)
        if isinstance(word, InputRequiredResult):
            return word
        if word == "accept":
            return None
        if word == "decline":
            kept.decline(preview_id)
        said = word
    told = {"money": money, "feed": snapshot["feed"], "status": "declined", "message": SAID[said]}
    return document(spec.answer, told)


def note_preview(kept: Confirmations, answer: BaseModel) -> None:
    """Keep what the desk said of a preview, so that the user sees the same figures as the agent."""
    preview_id = getattr(answer, "preview_id", None)
    if preview_id is not None and getattr(answer, "status", "") == "preview":
        kept.note_shown(preview_id, quotable(str(getattr(answer, "message", ""))))


def can_ask(context: Context[Any, Any]) -> bool:
    """Return whether the client can show a question to its user: forms, which is also what a bare declaration means."""
    capabilities = context.client_capabilities
    elicitation = None if capabilities is None else capabilities.elicitation
    return elicitation is not None and (elicitation.form is not None or elicitation.url is None)


def question_of(spec: ToolSpec[Any], request: BaseModel, agent: str, money: str, shown: str) -> str:
    """Return what the user reads. It is the same however often it is asked, since the preview does not change.

    What others wrote (names of tokens, the agent's reason) is quoted, on one line and without control characters.
    """
    assert spec.question is not None
    reason = json.dumps(quotable(str(getattr(request, "reason", "")), REASON_CHARS_MAX), ensure_ascii=False)
    lines = [
        f"{clean_name(agent)} wants to trade ({money} money): {quotable(spec.question(request))}.",
        f"The desk's preview: {shown}" if shown else "",
        f"Its reason: {reason}",
        "Accept to let this order go to the desk, decline to stop it.",
    ]
    return "\n".join(line for line in lines if line)


def quotable(text: str, chars_max: int = SHOWN_CHARS_MAX) -> str:
    """Return the text on one line, printable and bounded: no line of it can pose as one of ours."""
    line = one_line(text, chars_max)
    return "".join(char for char in line if char.isprintable())


async def _word(
    context: Context[Any, Any], question: str, state: str, kept: Confirmations
) -> Word | Literal["failed"] | InputRequiredResult:
    if is_version_at_least(context.protocol_version or "", PART_OF_RESULT_SINCE):
        answer = (context.input_responses or {}).get(ANSWER)
        # The state comes back sealed by the server: an answer to another question does not count.
        if context.request_state == state and isinstance(answer, ElicitResult):
            return answer.action
        asked = ElicitRequest(params=ElicitRequestFormParams(message=question, requested_schema=FORM))
        return InputRequiredResult(input_requests={ANSWER: asked}, request_state=state)
    try:
        with anyio.fail_after(kept.section.answer_wait_s):
            asked_by = context.request_id
            told: ElicitResult = await context.session.elicit_form(question, FORM, related_request_id=asked_by)
    except TimeoutError:
        return "cancel"
    except MCPError:
        return "failed"
    return told.action


def _state(spec: ToolSpec[Any], call: Call, request: BaseModel) -> str:
    """Return what binds an answer to its question: the tool, the agent and every argument."""
    said = [spec.name, call.caller.agent, request.model_dump(mode="json", exclude_none=True)]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

"""The user's own yes to an order, asked for in the client where the client can ask (elicitation), in both eras.

It comes on top of the preview and its one-time id, and takes nothing from the operator's approval of real money. A
client that cannot ask is not asked: the preview binds its order all the same. A repeated key is answered with what it
has brought, without a question. An exit waits for nobody: it is not asked about.
"""

import hashlib
import json
from typing import Any, Final

import anyio
from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from mcp_types.version import is_version_at_least
from pydantic import BaseModel

from memmcp_server.domain.recap import one_line
from memmcp_server.errors import Refused
from memmcp_server.services.confirmations import Confirmations

from .desk import desk_of, document
from .spec import Call, ToolSpec

ROUNDS_SINCE: Final = "2026-07-28"
"""From this version on a question is part of an unfinished result; before, it is a request to the client."""

CONFIRM: Final = "confirm"
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {CONFIRM: {"type": "boolean", "title": "Yes, do this", "default": False}},
    "required": [CONFIRM],
}
PART_CHARS_MAX: Final = 400
"""Of what others wrote: the names of tokens, the agent's name and reason."""

NOT_DONE: Final = "nothing was traded"


async def before_the_order(
    spec: ToolSpec[Any], call: Call, request: BaseModel, context: Context[Any, Any]
) -> BaseModel | InputRequiredResult | None:
    """Return None where the order may go to the desk, its first answer where the key has one, or the question.

    Raises: Refused (no, or no answer in time); TradingUnavailable.
    """
    preview_id: str | None = getattr(request, "preview_id", None)
    if spec.question is None or preview_id is None:
        return None
    kept, desk = call.services.confirmations, desk_of(call.services)
    is_void = kept.is_declined(preview_id)
    if not is_void and not can_ask(context):
        return None
    money = str((await desk.snapshot())["money"])
    if not is_void and not kept.are_asked(money):
        return None
    known = await desk.answered(agent=call.caller.agent, key=call.key)
    if known is not None:
        return document(spec.answer, known)
    if is_void:
        msg = f"the user declined this preview, so {NOT_DONE}"
        raise Refused(msg, field="preview_id", hint="ask the user what they want instead, then preview again")
    question = _question(spec, call, request, money)
    answer = await _answer(context, question, _state(spec, call, request), kept.section.answer_wait_s)
    if isinstance(answer, InputRequiredResult):
        return answer
    if answer.action == "decline":
        kept.decline(preview_id)
    _require_yes(answer)
    return None


def note_preview(kept: Confirmations, answer: BaseModel) -> None:
    """Keep what the desk said of a preview, so that the user sees the same figures as the agent."""
    preview_id = getattr(answer, "preview_id", None)
    if preview_id is not None and getattr(answer, "status", "") == "preview":
        kept.note_shown(preview_id, _quotable(getattr(answer, "message", "")))


def can_ask(context: Context[Any, Any]) -> bool:
    """Return whether the client can show a form to its user, which is also what a bare declaration means."""
    capabilities = context.client_capabilities
    elicitation = None if capabilities is None else capabilities.elicitation
    return elicitation is not None and (elicitation.form is not None or elicitation.url is None)


def _question(spec: ToolSpec[Any], call: Call, request: BaseModel, money: str) -> str:
    """Return what the user reads: the same however often it is asked, since a preview does not change."""
    assert spec.question is not None
    agent, preview_id = _quotable(call.caller.agent), getattr(request, "preview_id", "")
    shown = call.services.confirmations.shown(preview_id)
    reason = json.dumps(_quotable(getattr(request, "reason", "")), ensure_ascii=False)
    wants = _quotable(spec.question(request))
    lines = [f"{money.upper()} money: {agent} wants to {wants}, as previewed ({_quotable(preview_id)})."]
    if shown:
        lines.append(f"The desk's preview: {shown}")
    return "\n".join([*lines, f"Its reason: {reason}"])


def _quotable(text: str) -> str:
    """Return the text on one line, printable and bounded: no part of it can pose as a line of ours."""
    return "".join(char for char in one_line(str(text), PART_CHARS_MAX) if char.isprintable())


def _state(spec: ToolSpec[Any], call: Call, request: BaseModel) -> str:
    """Return what binds an answer to its question: the tool, the agent and every argument."""
    said = [spec.name, call.caller.agent, request.model_dump(mode="json", exclude_none=True)]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


async def _answer(
    context: Context[Any, Any], question: str, state: str, wait_s: float
) -> ElicitResult | InputRequiredResult:
    version = context.protocol_version
    if version is None or not is_version_at_least(version, ROUNDS_SINCE):
        return await _pushed(context, question, wait_s)
    answer = (context.input_responses or {}).get(CONFIRM)
    # The state comes back sealed by the server: an answer to another question does not count.
    if isinstance(answer, ElicitResult) and context.request_state == state:
        return answer
    asked = ElicitRequest(params=ElicitRequestFormParams(message=question, requested_schema=SCHEMA))
    return InputRequiredResult(input_requests={CONFIRM: asked}, request_state=state)


async def _pushed(context: Context[Any, Any], question: str, wait_s: float) -> ElicitResult:
    try:
        with anyio.fail_after(wait_s):
            asked_by = context.request_id
            told: ElicitResult = await context.session.elicit_form(question, SCHEMA, related_request_id=asked_by)
            return told
    except TimeoutError as error:
        msg = f"the user did not answer within {wait_s:g} s, so {NOT_DONE}"
        raise Refused(msg, hint="ask the user, then preview again") from error
    except MCPError as error:
        msg = f"the client could not ask the user ({_quotable(error.error.message)}), so {NOT_DONE}"
        hint = "tell the user; the operator may set MEMMCP_ORDERS__ASK_IN_CLIENT=never"
        raise Refused(msg, hint=hint) from error


def _require_yes(answer: ElicitResult) -> None:
    """Raises: Refused."""
    if answer.action == "accept" and (answer.content or {}).get(CONFIRM) is True:
        return
    said = {"decline": "declined", "cancel": "closed the question"}.get(answer.action, "did not say yes")
    msg = f"the user {said}, so {NOT_DONE}"
    raise Refused(msg, hint="do not repeat it; ask the user what they want instead")

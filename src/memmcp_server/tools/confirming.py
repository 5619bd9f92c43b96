"""The user's own yes to an order, asked for in the client where the client can ask (elicitation).

It comes on top of the preview and its one-time id, and takes nothing from the operator's approval of real money. A
client that cannot ask is not asked: the preview binds its order all the same. What is asked depends on the arguments
alone, so that a client which repeats the call with the answer is asked the same. An exit waits for nobody: it is not
asked about.
"""

import hashlib
from collections import OrderedDict
from typing import Any, Final

import anyio
from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from mcp_types.version import is_version_at_least

from memmcp_server.errors import Refused

ASK_TIMEOUT_S: Final = 50.0
"""Below the life of a preview."""

KEYS_MAX: Final = 1_024
CONFIRM: Final = "confirm"
ROUNDS_SINCE: Final = "2026-07-28"
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {CONFIRM: {"type": "boolean", "title": "Yes, do this", "default": False}},
    "required": [CONFIRM],
}
NOT_DONE: Final = "nothing was traded"


class Confirmations:
    """Asks once for each effect: a repeat with the same key brings the first answer, and no second question."""

    def __init__(self) -> None:
        self._given: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def ask(self, context: Context[Any, Any], who: tuple[str, str], text: str) -> InputRequiredResult | None:
        """Return None when the user said yes or cannot be asked, else what carries the question to the client.

        ``who``: agent and idempotency key. Raises: Refused (no, or no answer in time).
        """
        capabilities = context.client_capabilities
        if capabilities is None or capabilities.elicitation is None or who in self._given:
            return None
        version = context.protocol_version
        if version is not None and is_version_at_least(version, ROUNDS_SINCE):
            asked = _in_rounds(context, text)
            if isinstance(asked, InputRequiredResult):
                return asked
            _require_yes(asked)
        else:
            _require_yes(await _pushed(context, text))
        self._given[who] = None
        while len(self._given) > KEYS_MAX:
            self._given.popitem(last=False)
        return None


def _in_rounds(context: Context[Any, Any], text: str) -> ElicitResult | InputRequiredResult:
    state = hashlib.sha256(text.encode()).hexdigest()
    answer = (context.input_responses or {}).get(CONFIRM)
    if isinstance(answer, ElicitResult) and context.request_state == state:
        return answer
    question = ElicitRequest(params=ElicitRequestFormParams(message=text, requested_schema=SCHEMA))
    return InputRequiredResult(input_requests={CONFIRM: question}, request_state=state)


async def _pushed(context: Context[Any, Any], text: str) -> ElicitResult:
    try:
        with anyio.fail_after(ASK_TIMEOUT_S):
            answer: ElicitResult = await context.session.elicit_form(
                text, SCHEMA, related_request_id=context.request_id
            )
            return answer
    except TimeoutError as error:
        msg = f"the user did not answer within {ASK_TIMEOUT_S:g} s, so {NOT_DONE}"
        raise Refused(msg, hint="ask the user, then preview again") from error
    except MCPError as error:
        msg = f"the client could not ask the user ({error.error.message[:200]}), so {NOT_DONE}"
        raise Refused(msg, hint="ask the user yourself, then preview again") from error


def _require_yes(answer: ElicitResult) -> None:
    """Raises: Refused."""
    if answer.action == "accept" and (answer.content or {}).get(CONFIRM) is True:
        return
    said = {"decline": "declined", "cancel": "closed the question"}.get(answer.action, "did not say yes")
    msg = f"the user {said}, so {NOT_DONE}"
    raise Refused(msg, hint="do not repeat it; ask the user what they want instead")

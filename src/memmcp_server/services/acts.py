"""What agents and operators had the desk do, and what it refused them, as entries of the audit.

An entry holds ids and figures, never words of the caller: why something was asked for is in the order's own trajectory
and in the trading journal, from which it can be forgotten, and what was refused may hold a secret.
"""

import logging
from typing import Final

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.domain.lifecycle import AUDIT_DESK, RecordAudit
from memmcp_server.domain.memory import Provenance
from memmcp_server.errors import MemoryServerError, Refused
from memmcp_server.ports import Journal, TradingDesk

logger = logging.getLogger(__name__)

ASKED: Final = (
    "action",
    "side",
    "mint",
    "amount_sol",
    "amount_token",
    "percent",
    "profile",
    "level",
    "scope",
    "policy",
    "candidate",
    "strategy",
    "stage",
)
TOLD: Final = ("status", "money", "order_id", "trajectory_id", "preview_id", "state")


async def require_state(desk: TradingDesk, expected: str | None, *, actor: str, key: str | None) -> None:
    """Let an act go on only in the state that somebody looked at when it was decided on; None: in any.

    The repeat of what was done is let through, whatever state the first one has led to: it is only answered. Raises:
    Refused where the desk has come into another state since.
    """
    if expected is None or (key is not None and await desk.answered(agent=actor, key=key) is not None):
        return
    state = (await desk.snapshot())["state"]
    if state != expected:
        msg = f"the desk is {state} by now, and this was decided while it was {expected}; nothing was done"
        raise Refused(msg, field="expected_state", hint="look again, and repeat it if it still holds")


async def note_done(journal: Journal, caller: Caller, asked: JsonObject, answer: JsonObject) -> None:
    """Note what the desk answered to an order or a control. A preview did nothing and is not noted."""
    if answer.get("status") in ("preview", "candidates", "checked"):
        return
    detail = {name: asked[name] for name in ASKED if asked.get(name) is not None}
    detail |= {name: answer[name] for name in TOLD if answer.get(name) is not None}
    await _note(journal, caller, detail)


async def note_refused(journal: Journal, caller: Caller, error: MemoryServerError) -> None:
    """Note that a call was refused, by its code alone: its fields may be what they were refused for."""
    await _note(journal, caller, {"status": "refused", "code": error.code})


async def _note(journal: Journal, caller: Caller, detail: JsonObject) -> None:
    by = Provenance(agent=caller.agent, session=caller.session, tool=caller.tool)
    try:
        await journal.commit([RecordAudit(AUDIT_DESK, by, detail={"call": caller.tool, **detail})])
    except MemoryServerError as error:
        # The desk has acted, and its own journal says so: an audit that cannot be written must not undo the answer.
        logger.error("the audit has no entry for %s of %s: %s", caller.tool, caller.agent, error.message)

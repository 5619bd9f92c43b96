"""Tasks about the desk that nobody claimed in time are put before the sidecar; its answer ends them like an agent's.

It asks first and claims afterwards, so that no agent is kept from a task by a sidecar that thinks about it.
"""

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import anyio

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.domain.task import Task, TaskState, TaskView
from memmcp_server.domain.times import NS_PER_S
from memmcp_server.errors import MemoryServerError, Refused
from memmcp_server.ports import Clock, TradingDesk

from .tasks import Tasks

SIDECAR: Final = Caller(agent="sidecar", session="", tool="tasks", role="agent", transport="internal")
KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {"review_loss": "review_loss", "propose_rebalance": "rebalance", "judge_launch": "launch"}
)
"""Tasks that are about the desk, and what kind of question each is."""
WATCH_S: Final = 30.0
RETRY_S: Final = 900
TRIED_MAX: Final = 1_000
QUESTION_MAX: Final = 2_000
EVIDENCE_TEXT_MAX: Final = 800

logger = logging.getLogger(__name__)


class TaskAdviser:
    """Asks about one task at a time, the most urgent first. Without a sidecar it does nothing."""

    def __init__(self, tasks: Tasks, desk: TradingDesk, clock: Clock) -> None:
        self._tasks = tasks
        self._desk = desk
        self._clock = clock
        self._tried_ns: dict[str, int] = {}

    async def run(self) -> None:
        """Look for ever. What goes wrong is tried again later."""
        while True:
            await anyio.sleep(WATCH_S)
            try:
                await self.look()
            except MemoryServerError as error:
                logger.warning("a task is put before the sidecar later: %s", error)

    async def look(self) -> bool:
        """Answer the first task that waits too long; return whether there was one that the sidecar answered."""
        task = await self._overdue()
        if task is None or not await self._has_sidecar():
            return False
        self._note(task)
        view = await self._tasks.get(task.id, SIDECAR)
        found = await self._desk.assess(_question(view), agent=SIDECAR.agent)
        try:
            await self._tasks.claim(task.id, SIDECAR)
            await self._tasks.answer(task.id, _answer(found), SIDECAR, is_done=True, cites=_cited(found, view))
        except Refused as error:  # an agent was faster, which is better
            logger.info("the sidecar's answer to task %s is not needed: %s", task.id, error)
            return False
        return True

    async def _overdue(self) -> Task | None:
        now_ns = self._clock.now_ns()
        waiting, _ = await self._tasks.page(state=TaskState.OPEN, limit=100)
        for task in waiting:
            tried_ns = self._tried_ns.get(task.id)
            is_due = tried_ns is None or now_ns - tried_ns >= RETRY_S * NS_PER_S
            if task.kind in KINDS and task.is_overdue(now_ns) and is_due:
                return task
        return None

    async def _has_sidecar(self) -> bool:
        shown: Any = (await self._desk.snapshot()).get("sidecar")
        return bool(shown and shown.get("asking"))

    def _note(self, task: Task) -> None:
        self._tried_ns.pop(task.id, None)
        if len(self._tried_ns) >= TRIED_MAX:
            del self._tried_ns[next(iter(self._tried_ns))]
        self._tried_ns[task.id] = self._clock.now_ns()


def _question(view: TaskView) -> JsonObject:
    """Return the task as a ``wire.AssessRequest``; what it is about goes along as evidence."""
    task = view.task
    return {
        "schema_version": 1,
        "id": str(task.id)[:128],
        "kind": KINDS[task.kind],
        "question": (f"{task.title}\n{task.text}" if task.text else task.title)[:QUESTION_MAX],
        "mint": "",
        "symbol": "",
        "strategy": "",
        "side": "none",
        "horizon_s": 86_400,
        "market": {},
        "desk": None,
        "evidence": [{"id": str(each.id), "text": each.content[:EVIDENCE_TEXT_MAX]} for each in view.context],
    }


def _answer(found: JsonObject) -> str:
    """Return the answer in words; the reasons are the model's, and quoted."""
    said: Any = found["assessment"]
    reasons = " ".join(f"«{each}»" for each in said["reasons"])
    return (
        f"The sidecar ({found['model']}) answers, because no agent did: stance {said['stance_bps']} bps, a rise has "
        f"{said['probability_bps']} bps, {said['expected_bps']} bps expected, confidence {said['confidence_bps']} bps. "
        f"Its reasons: {reasons}"
    )


def _cited(found: JsonObject, view: TaskView) -> list[str]:
    said: Any = found["assessment"]
    known = {str(each.id) for each in view.context}
    return [each for each in said["evidence_ids"] if each in known]

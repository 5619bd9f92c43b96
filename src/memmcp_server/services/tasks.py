"""Tasks for agents: filed by the operator, an agent or the loop, claimed by one at a time, answered by a memory."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final
from uuid import uuid4

import anyio

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.drafts import DraftFields, DraftLimits, make_draft
from memmcp_server.domain.identifiers import MemoryId, Seq, derived_id
from memmcp_server.domain.lifecycle import UpdateMemory
from memmcp_server.domain.memory import Acknowledgement, MemoryDraft, MemoryFilter, Provenance, Trust
from memmcp_server.domain.task import (
    KIND_ALERT,
    KIND_RESULT,
    KIND_TASK,
    TASKS_NAMESPACE,
    UNFINISHED,
    Task,
    TaskDone,
    TaskFields,
    TaskState,
    TaskView,
    task_of,
)
from memmcp_server.domain.times import NS_PER_S
from memmcp_server.errors import IdempotencyConflict, NotFound, Refused, Unavailable
from memmcp_server.ports import Clock, Journal, SecretScanner

from .episodes import require_readable
from .policies import Policies
from .secrets import refuse_secrets

UNFINISHED_MAX: Final = 500
HELD_MAX: Final = 8
"""So many tasks may one agent hold at a time."""

TRIES_MAX: Final = 8
"""A step that somebody else was faster with is looked at again so often."""

PAGE_LEN: Final = 200
WATCH_S: Final = 1.0
IDLE_WATCH_S: Final = 30.0
RUNTIME: Final = Caller(agent="memmcp", session="", tool="tasks", role="operator", transport="internal")

logger = logging.getLogger(__name__)


class Tasks:
    """Raises everywhere: JournalBusy, JournalUnavailable, StorageFull."""

    def __init__(
        self,
        journal: Journal,
        policies: Policies,
        scanner: SecretScanner,
        clock: Clock,
        limits: DraftLimits | None = None,
    ) -> None:
        self._journal = journal
        self._policies = policies
        self._scanner = scanner
        self._clock = clock
        self._limits = limits or DraftLimits()
        self._wake = anyio.Event()

    async def file(self, fields: TaskFields, caller: Caller) -> TaskDone:
        """Put a task before the agents. The same key by the same caller returns the first one as it stands.

        Raises: InvalidInput, SecretRefused, Refused (a viewer), NotFound (what it cites), IdempotencyConflict.
        """
        _require_hand(caller)
        now_ns = self._clock.now_ns()
        task = fields.task(caller.agent, now_ns)
        refuse_secrets(
            self._scanner,
            {
                "title": fields.title,
                "text": fields.text,
                "kind": fields.kind,
                "idempotency_key": fields.key,
                "agent": caller.agent,
            },
        )
        book = await self._policies.book()
        await require_readable(self._journal, task.context, book, caller)
        key = fields.key or uuid4().hex
        task_id = MemoryId(derived_id("task", caller.role, caller.agent, key))
        held = await self._journal.memory(task_id)
        if held is not None:
            filed = task_of(held)
            _require_same(filed, task)
            return TaskDone(await self._viewed(filed, caller), duplicate=True)
        waiting = await self._unfinished()
        if len(waiting) >= UNFINISHED_MAX:
            msg = f"{len(waiting)} tasks wait already; at most {UNFINISHED_MAX} may"
            raise Refused(msg, hint="cancel some: memmcp task list, memmcp task cancel ID")
        draft = MemoryDraft(
            id=task_id,
            content=task.content(),
            key=key,
            ts_event_ns=now_ns,
            namespace=TASKS_NAMESPACE,
            kind=KIND_TASK,
            tags=task.tags(),
            metadata=task.metadata(),
            provenance=_provenance(caller),
            importance=task.priority,
            cites=task.context,
        )
        [acknowledged] = await self._journal.commit([draft])
        self._wake.set()
        return TaskDone(await self._viewed(await self._task(task_id), caller), acknowledged.duplicate)

    async def claim(self, task_id: str, caller: Caller, lease_s: int | None = None) -> TaskDone:
        """Take a task, alone, until the lease ends; who holds it already holds it longer.

        Raises: NotFound, InvalidInput, Refused naming who holds it.
        """
        _require_hand(caller)
        held = [each for each in await self._unfinished() if self._is_held_by(each, caller.agent)]
        if len(held) >= HELD_MAX and task_id not in {each.id for each in held}:
            msg = f"{caller.agent} holds {len(held)} tasks; at most {HELD_MAX} at a time"
            raise Refused(msg, hint="complete or fail one of them first")
        task, _ = await self._change(task_id, caller, lambda task, now_ns: task.claimed(caller.agent, lease_s, now_ns))
        return TaskDone(await self._viewed(task, caller), duplicate=False)

    async def answer(
        self, task_id: str, text: str, caller: Caller, *, is_done: bool, cites: Sequence[str] = ()
    ) -> TaskDone:
        """End a task with its answer, which becomes a memory that cites the task and what it rests on.

        Raises: NotFound, InvalidInput, SecretRefused, Refused (the caller does not hold it).
        """
        _require_hand(caller)
        refuse_secrets(self._scanner, {"text": text, "agent": caller.agent})
        book = await self._policies.book()
        cited = [MemoryId(each) for each in dict.fromkeys(cites)]
        await require_readable(self._journal, cited, book, caller)
        now = await self._task(task_id)
        state = TaskState.DONE if is_done else TaskState.FAILED
        if now.state is state and now.claimed_by == caller.agent:
            return TaskDone(await self._viewed(now, caller), duplicate=True)
        fields = DraftFields(
            content=text,
            namespace=TASKS_NAMESPACE,
            kind=KIND_RESULT,
            tags=(now.kind, state.value),
            metadata={"task_id": now.id, "title": now.title},
            cites=[now.id, *(each for each in cited if each != now.id)],
            importance=60,
            key=f"answer:{now.id}",
        )
        draft = make_draft(fields, _provenance(caller), self._limits, self._clock.now_ns())
        result_id = MemoryId(derived_id("task-result", now.id))
        draft = replace(draft, id=result_id)
        task, _ = await self._change(
            task_id,
            caller,
            lambda task, now_ns: task.answered(caller.agent, result_id, now_ns, is_done=is_done),
            beside=(draft,),
        )
        return TaskDone(await self._viewed(task, caller), duplicate=False)

    async def cancel(self, task_id: str, reason: str, caller: Caller) -> TaskDone:
        """Take a task back: the operator any, an agent one that it filed. Raises: NotFound, Refused."""
        _require_hand(caller)
        refuse_secrets(self._scanner, {"reason": reason, "agent": caller.agent})
        now = await self._task(task_id)
        if caller.role != "operator" and now.filed_by != caller.agent:
            msg = f"task {now.id} was filed by {now.filed_by}; only he or the operator takes it back"
            raise Refused(msg, field="id", hint="ask the operator: memmcp task cancel ID")
        if now.state is TaskState.CANCELLED:
            return TaskDone(await self._viewed(now, caller), duplicate=True)
        task, _ = await self._change(task_id, caller, lambda task, _now_ns: task.cancelled(reason))
        return TaskDone(await self._viewed(task, caller), duplicate=False)

    async def get(self, task_id: str, caller: Caller) -> TaskView:
        """Return a task with its context and its answer. Raises: NotFound."""
        return await self._viewed(await self._task(task_id), caller)

    async def page(
        self, *, state: TaskState | None = None, kind: str | None = None, cursor: Seq | None = None, limit: int = 20
    ) -> tuple[list[Task], Seq | None]:
        """Return tasks as they stand now and where the next page begins: of one state or kind, else all.

        Those that wait come in order of priority, then age, on one page; others newest change first.
        """
        now_ns = self._clock.now_ns()
        if state in UNFINISHED:
            waiting = [each.at(now_ns) for each in await self._unfinished()]
            wanted = [each for each in waiting if each.state is state and kind in (None, each.kind)]
            return sorted(wanted, key=lambda each: (-each.priority, each.filed_ns))[:limit], None
        tags = tuple(filter(None, (kind, f"state:{state.value}" if state is not None else None)))
        where = MemoryFilter(namespace=TASKS_NAMESPACE, kinds=(KIND_TASK,), tags=tags)
        page = await self._journal.page(where, after=cursor, limit=limit + 1, newest_first=True)
        more = page[limit - 1].seq if len(page) > limit else None
        return [task_of(each).at(now_ns) for each in page[:limit]], more

    async def run(self) -> None:
        """Write down what time alone did to tasks, and tell the operator of those that nobody claims; for ever."""
        while True:
            self._wake = anyio.Event()
            waits_s = WATCH_S if await self.look() else IDLE_WATCH_S
            with anyio.move_on_after(waits_s):
                await self._wake.wait()

    async def look(self) -> bool:
        """Look once at every task that has not ended; return whether any is left."""
        try:
            waiting = await self._unfinished()
            for task in waiting:
                await self._keep_up(task)
        except Unavailable as error:
            logger.warning("tasks: %s", error)
            return True
        return bool(waiting)

    async def _keep_up(self, task: Task) -> None:
        now_ns = self._clock.now_ns()
        if task.at(now_ns) != task:
            task, _ = await self._change(task.id, RUNTIME, lambda each, now: each.at(now))
        if not task.is_told and (task.is_overdue(now_ns) or task.state is TaskState.EXPIRED):
            why = task.note or f"nobody claimed it within {(task.claim_by_ns - task.filed_ns) // NS_PER_S} s"
            told = f"Task {task.id} ({task.kind}: {task.title}) waits for the operator: {why}."
            alert = MemoryDraft(
                content=told,
                key=f"unclaimed:{task.id}",
                ts_event_ns=now_ns,
                namespace=TASKS_NAMESPACE,
                kind=KIND_ALERT,
                tags=(KIND_TASK, task.kind, "unclaimed"),
                metadata={"task_id": task.id},
                provenance=_provenance(RUNTIME),
                importance=70,
                cites=(task.id,),
            )
            await self._change(task.id, RUNTIME, lambda each, _now: replace(each, is_told=True), beside=(alert,))
            logger.warning("%s", told)

    async def _change(
        self,
        task_id: str,
        caller: Caller,
        step: Callable[[Task, int], Task],
        beside: Sequence[MemoryDraft] = (),
    ) -> tuple[Task, Acknowledgement | None]:
        """Take a step from what the task is now; whoever is faster is looked at first. Raises: as ``step``."""
        for _ in range(TRIES_MAX):
            held = await self._task(task_id)
            now_ns = self._clock.now_ns()
            changed = step(held, now_ns)
            if changed == held:
                return held, None
            command = UpdateMemory(
                id=held.id,
                key=uuid4().hex,
                provenance=_provenance(caller),
                tags=changed.tags(),
                metadata=changed.metadata(),
                expected_version=held.version,
            )
            try:
                # The step first: where somebody else was faster, nothing that goes with it is written either.
                acknowledged = await self._journal.commit([command, *beside])
            except IdempotencyConflict as error:
                if error.field != "expected_version":
                    raise
                continue
            self._wake.set()
            return replace(changed, version=acknowledged[0].version), acknowledged[-1]
        msg = f"task {task_id} changes too often just now"
        raise Refused(msg, field="id", hint="ask again in a second")

    async def _task(self, task_id: str) -> Task:
        memory = await self._journal.memory(MemoryId(task_id))
        if memory is None or memory.namespace != TASKS_NAMESPACE or memory.kind != KIND_TASK:
            msg = f"there is no task {task_id[:128]}"
            raise NotFound(msg, field="id", hint="agent_task_list shows tasks with their ids")
        return task_of(memory)

    async def _viewed(self, task: Task, caller: Caller) -> TaskView:
        book = await self._policies.book()
        ids = [*task.context, *([MemoryId(task.result_id)] if task.result_id else [])]
        found = {each.id: each for each in await self._journal.memories(ids)}
        readable = {key: each for key, each in found.items() if book.may_read(caller, each.namespace)}
        context = tuple(readable[each] for each in task.context if each in readable)
        now_ns = self._clock.now_ns()
        return TaskView(task.at(now_ns), now_ns, context, readable.get(MemoryId(task.result_id)))

    async def _unfinished(self) -> list[Task]:
        found: list[Task] = []
        for state in sorted(UNFINISHED):
            where = MemoryFilter(namespace=TASKS_NAMESPACE, kinds=(KIND_TASK,), tags=(f"state:{state.value}",))
            after: Seq | None = None
            while page := await self._journal.page(where, after=after, limit=PAGE_LEN, newest_first=False):
                found += [task_of(each) for each in page]
                after = page[-1].seq
        return found

    def _is_held_by(self, task: Task, agent: str) -> bool:
        return task.at(self._clock.now_ns()).state is TaskState.CLAIMED and task.claimed_by == agent


def _require_hand(caller: Caller) -> None:
    if caller.role == "viewer":
        msg = "a viewer may look at tasks, not file, claim or answer them"
        raise Refused(msg, hint="connect with an agent's or an operator's token")


def _require_same(held: Task, wished: Task) -> None:
    """Raises: IdempotencyConflict where the key stands for another task."""
    if (held.kind, held.title, held.text, held.context) != (wished.kind, wished.title, wished.text, wished.context):
        msg = f"the key stands for task {held.id}, {held.title!r}, not for {wished.title!r}"
        raise IdempotencyConflict(msg, field="idempotency_key", hint="use a new key for another task")


def _provenance(caller: Caller) -> Provenance:
    trust = Trust.SYSTEM if caller is RUNTIME else Trust.AGENT
    return Provenance(agent=caller.agent, session=caller.session, tool=caller.tool, trust=trust)

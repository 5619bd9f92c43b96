"""Work that somebody asks of the connected agents: filed, claimed under a lease, answered.

    open -> claimed -> done | failed
    claimed -> open       the lease ran out; after ``attempts_max`` claims: expired
    open -> expired       nobody answered by ``expires_ns``
    open, claimed -> cancelled

A task is a memory of kind ``task`` in the runtime's namespace ``tasks``. Its state is in its metadata, each step a
version of its own, so that only one of two that want the same step gets it. The answer is a memory that cites the task.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from memmcp_server.errors import InvalidInput, Refused

from .drafts import check_kind, check_line
from .identifiers import JsonObject, MemoryId, Namespace
from .memory import Memory
from .times import NS_PER_S, from_ns

TASKS_NAMESPACE: Final = Namespace("tasks")
KIND_TASK: Final = "task"
KIND_RESULT: Final = "result"
KIND_ALERT: Final = "alert"
TITLE_CHARS_MAX: Final = 200
TEXT_CHARS_MAX: Final = 8_000
CONTEXT_LEN_MAX: Final = 16
LEASE_S_MIN, LEASE_S_DEFAULT, LEASE_S_MAX = 1, 900, 86_400
CLAIM_WITHIN_S_DEFAULT: Final = 3_600
EXPIRES_S_DEFAULT: Final = 86_400
EXPIRES_S_MAX: Final = 30 * 86_400
ATTEMPTS_MAX: Final = 3
PRIORITY_DEFAULT: Final = 50


class TaskState(StrEnum):
    OPEN = "open"
    CLAIMED = "claimed"
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


UNFINISHED: Final = frozenset({TaskState.OPEN, TaskState.CLAIMED})


@dataclass(frozen=True, slots=True)
class Task:
    """``version`` is that of its memory. ``claim_by_ns``: from then on it is overdue, and the operator is told.

    ``claimed_by`` is who holds it, or held it last; ``result_id`` the memory with the answer, "" while there is none.
    """

    id: MemoryId
    version: int
    kind: str
    title: str
    text: str
    filed_by: str
    filed_ns: int
    claim_by_ns: int
    expires_ns: int
    lease_s: int = LEASE_S_DEFAULT
    priority: int = PRIORITY_DEFAULT
    context: tuple[MemoryId, ...] = ()
    state: TaskState = TaskState.OPEN
    claimed_by: str = ""
    lease_until_ns: int = 0
    attempts: int = 0
    result_id: str = ""
    note: str = ""
    is_told: bool = False

    @property
    def is_final(self) -> bool:
        return self.state not in UNFINISHED

    def is_overdue(self, now_ns: int) -> bool:
        """Say whether it should have been claimed by now and is not."""
        return self.state is TaskState.OPEN and now_ns >= self.claim_by_ns

    def at(self, now_ns: int) -> "Task":
        """Return the task as time alone has left it: a lease that ran out has ended, and so has what nobody did."""
        task = self
        if task.state is TaskState.CLAIMED and now_ns >= task.lease_until_ns:
            is_last = task.attempts >= ATTEMPTS_MAX
            note = f"{task.claimed_by} claimed it and did not answer by {_utc(task.lease_until_ns)}"
            task = replace(task, state=TaskState.EXPIRED if is_last else TaskState.OPEN, note=note)
        if task.state is TaskState.OPEN and now_ns >= task.expires_ns:
            task = replace(task, state=TaskState.EXPIRED, note=task.note or "nobody claimed it in time")
        return task

    def claimed(self, agent: str, lease_s: int | None, now_ns: int) -> "Task":
        """Return the task in the hands of the agent; who holds it already has a new lease.

        Raises: InvalidInput, Refused naming who holds it, or how it ended.
        """
        lease = self.lease_s if lease_s is None else lease_s
        if not LEASE_S_MIN <= lease <= LEASE_S_MAX:
            msg = f"lease_s is {lease}; allowed: {LEASE_S_MIN} to {LEASE_S_MAX} seconds"
            raise InvalidInput(msg, field="lease_s")
        task = self.at(now_ns)
        task._require_unfinished()
        is_own = task.state is TaskState.CLAIMED and task.claimed_by == agent
        if task.state is TaskState.CLAIMED and not is_own:
            msg = f"task {task.id} is held by {task.claimed_by} until {_utc(task.lease_until_ns)}"
            raise Refused(msg, field="id", hint="take another one from agent_task_list, or ask again after that time")
        return replace(
            task,
            state=TaskState.CLAIMED,
            claimed_by=agent,
            lease_until_ns=now_ns + lease * NS_PER_S,
            attempts=task.attempts + (not is_own),
            note="",
        )

    def answered(self, agent: str, result_id: str, now_ns: int, *, is_done: bool) -> "Task":
        """Return the task with its answer. Whose lease ran out may still answer as long as nobody else holds it.

        Raises: Refused.
        """
        self._require_unfinished()
        if self.claimed_by != agent:
            task = self.at(now_ns)
            holder = f"it is held by {task.claimed_by}" if task.state is TaskState.CLAIMED else "nobody holds it"
            msg = f"task {self.id} is not yours: {holder}"
            raise Refused(msg, field="id", hint="claim it first with agent_task(action=claim)")
        state = TaskState.DONE if is_done else TaskState.FAILED
        return replace(self, state=state, result_id=result_id, note="")

    def cancelled(self, reason: str) -> "Task":
        """Raises: Refused where it has ended."""
        self._require_unfinished()
        return replace(self, state=TaskState.CANCELLED, note=reason)

    def _require_unfinished(self) -> None:
        if self.is_final:
            msg = f"task {self.id} is {self.state.value} already{f': {self.note}' if self.note else ''}"
            raise Refused(msg, field="id", hint="agent_task_list shows what is open")

    def tags(self) -> tuple[str, ...]:
        return (KIND_TASK, self.kind, f"state:{self.state.value}")

    def metadata(self) -> JsonObject:
        """Return the state as the memory keeps it."""
        return {
            "task": self.kind,
            "title": self.title,
            "filed_by": self.filed_by,
            "claim_by_ns": self.claim_by_ns,
            "expires_ns": self.expires_ns,
            "lease_s": self.lease_s,
            "priority": self.priority,
            "context": list(self.context),
            "state": self.state.value,
            "claimed_by": self.claimed_by,
            "lease_until_ns": self.lease_until_ns,
            "attempts": self.attempts,
            "result_id": self.result_id,
            "note": self.note,
            "is_told": self.is_told,
        }

    def content(self) -> str:
        return f"{self.title}\n\n{self.text}" if self.text else self.title


def task_of(memory: Memory) -> Task:
    """Return the task that a memory is. Raises: InvalidInput for a memory that is none."""
    held: Mapping[str, Any] = memory.metadata
    try:
        title = str(held["title"])
        return Task(
            id=memory.id,
            version=memory.version,
            kind=str(held["task"]),
            title=title,
            text=memory.content.removeprefix(title).lstrip("\n"),
            filed_by=str(held["filed_by"]),
            filed_ns=memory.ts_event_ns,
            claim_by_ns=int(held["claim_by_ns"]),
            expires_ns=int(held["expires_ns"]),
            lease_s=int(held["lease_s"]),
            priority=int(held["priority"]),
            context=tuple(MemoryId(str(each)) for each in held["context"]),
            state=TaskState(str(held["state"])),
            claimed_by=str(held["claimed_by"]),
            lease_until_ns=int(held["lease_until_ns"]),
            attempts=int(held["attempts"]),
            result_id=str(held["result_id"]),
            note=str(held["note"]),
            is_told=bool(held["is_told"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        msg = f"memory {memory.id} is no task"
        raise InvalidInput(msg, field="id", hint="agent_task_list shows tasks with their ids") from error


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task as one caller sees it: ``context`` and ``result`` are the memories that he may read."""

    task: Task
    now_ns: int
    context: tuple[Memory, ...] = ()
    result: Memory | None = None


@dataclass(frozen=True, slots=True)
class TaskDone:
    """``duplicate``: it had been done before, and nothing was changed now."""

    view: TaskView
    duplicate: bool


@dataclass(frozen=True, slots=True)
class TaskFields:
    """A task as it is filed; times in seconds from now."""

    title: str
    kind: str = "task"
    text: str = ""
    context: tuple[str, ...] = ()
    priority: int = PRIORITY_DEFAULT
    lease_s: int = LEASE_S_DEFAULT
    claim_within_s: int = CLAIM_WITHIN_S_DEFAULT
    expires_s: int = EXPIRES_S_DEFAULT
    key: str | None = None

    def task(self, filed_by: str, now_ns: int) -> Task:
        """Return the task, its id still empty. Raises: InvalidInput naming the field, what was given and is allowed."""
        check_line("title", self.title, TITLE_CHARS_MAX, length_min=1)
        check_kind(self.kind)
        if not self.title.strip():
            msg = "title is blank; say in a few words what is to be done"
            raise InvalidInput(msg, field="title")
        if len(self.text) > TEXT_CHARS_MAX:
            msg = f"text has {len(self.text)} characters; at most {TEXT_CHARS_MAX} are allowed"
            raise InvalidInput(msg, field="text", hint="write the rest as a memory and name its id in context")
        context = tuple(MemoryId(each) for each in dict.fromkeys(self.context))
        if len(context) > CONTEXT_LEN_MAX:
            msg = f"context names {len(context)} memories; at most {CONTEXT_LEN_MAX} are allowed"
            raise InvalidInput(msg, field="context")
        for name, least, most in (
            ("priority", 0, 100),
            ("lease_s", LEASE_S_MIN, LEASE_S_MAX),
            ("claim_within_s", 1, EXPIRES_S_MAX),
            ("expires_s", 1, EXPIRES_S_MAX),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                msg = f"{name} is {value}; allowed: {least} to {most}"
                raise InvalidInput(msg, field=name)
        return Task(
            id=MemoryId(""),
            version=0,
            kind=self.kind,
            title=self.title.strip(),
            text=self.text.strip(),
            filed_by=filed_by,
            filed_ns=now_ns,
            claim_by_ns=now_ns + min(self.claim_within_s, self.expires_s) * NS_PER_S,
            expires_ns=now_ns + self.expires_s * NS_PER_S,
            lease_s=self.lease_s,
            priority=self.priority,
            context=context,
        )


def _utc(ts_ns: int) -> str:
    return from_ns(ts_ns).strftime("%Y-%m-%d %H:%M:%S UTC")

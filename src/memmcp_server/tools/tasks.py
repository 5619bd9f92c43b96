"""Tools of tasks: what waits for an agent, and taking, answering or filing one."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, Self

from mcp_types import ToolAnnotations
from pydantic import Field, model_validator

from memmcp_server.domain.identifiers import SEQ_MAX, Seq
from memmcp_server.domain.task import TaskState
from memmcp_server.wire.base import Kind, MemoryIdStr, Request
from memmcp_server.wire.tasks import TaskAnswer, TaskFileRequest, TaskList, TaskStateStr

from .arguments import EffectKey, Identifier
from .spec import Call, ToolSpec

REQUIRED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"file": ("title",), "claim": ("id",), "complete": ("id", "text"), "fail": ("id", "text")}
)
OPTIONAL: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "file": ("kind", "text", "context", "priority", "lease_s"),
        "claim": ("lease_s",),
        "complete": ("cites",),
        "fail": ("cites",),
    }
)


class TaskListArguments(Request):
    state: TaskStateStr = Field(default="open", description="Which ones.")
    kind: Kind | None = Field(default=None, description="E.g. review_loss.")
    limit: int = Field(default=10, ge=1, le=100, description="At most.")
    cursor: int | None = Field(default=None, ge=0, le=SEQ_MAX, description="next_cursor of the last answer.")


class TaskArguments(Request):
    action: Literal["file", "claim", "complete", "fail"] = Field(description="file: title; complete, fail: id, text.")
    id: Identifier | None = Field(default=None, description="Of the task.")
    text: str | None = Field(default=None, description="The wish, the answer, or why not.")
    cites: list[MemoryIdStr] | None = Field(default=None, max_length=64, description="Ids it rests on.")
    title: str | None = Field(default=None, description="file: on one line.")
    kind: Kind | None = Field(default=None, description="file: review_loss, judge_launch ...")
    context: list[MemoryIdStr] | None = Field(default=None, max_length=16, description="file: ids it is about.")
    priority: int | None = Field(default=None, description="file: 0 to 100.")
    lease_s: int | None = Field(default=None, description="How long a claim holds.")
    idempotency_key: EffectKey = None

    @model_validator(mode="after")
    def _fits_its_action(self) -> Self:
        given = [name for name in self.model_fields_set if getattr(self, name) is not None]
        missing = [name for name in REQUIRED[self.action] if name not in given]
        if missing:
            msg = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} required for {self.action}"
            raise ValueError(msg)
        allowed = (*REQUIRED[self.action], *OPTIONAL[self.action])
        foreign = sorted(set(given) - {*allowed, "action", "idempotency_key"})
        if foreign:
            msg = f"{foreign[0]} does not belong to {self.action}, which takes {', '.join(allowed)}"
            raise ValueError(msg)
        return self


async def agent_task_list(call: Call, arguments: TaskListArguments) -> TaskList:
    services = call.services
    cursor = None if arguments.cursor is None else Seq(arguments.cursor)
    found, more = await services.tasks.page(
        state=TaskState(arguments.state), kind=arguments.kind, cursor=cursor, limit=arguments.limit
    )
    return TaskList.of(found, more, services.clock.now_ns())


async def agent_task(call: Call, arguments: TaskArguments) -> TaskAnswer:
    tasks, caller = call.services.tasks, call.caller
    if arguments.action == "file":
        names = {*REQUIRED["file"], *OPTIONAL["file"]}
        wish = TaskFileRequest.model_validate(arguments.model_dump(include=names, exclude_none=True))
        return TaskAnswer.of(await tasks.file(wish.to_fields(call.key), caller))
    task_id = str(arguments.id)
    if arguments.action == "claim":
        return TaskAnswer.of(await tasks.claim(task_id, caller, arguments.lease_s))
    is_done = arguments.action == "complete"
    text, cites = str(arguments.text), arguments.cites or ()
    return TaskAnswer.of(await tasks.answer(task_id, text, caller, is_done=is_done, cites=cites))


def task_tools() -> tuple[ToolSpec[Any], ...]:
    return (
        ToolSpec(
            name="agent_task_list",
            title="List tasks",
            description=(
                "Tasks that the operator, an agent or the desk filed (review a loss, judge a launch), most urgent "
                "first. Use when you start or are idle, then claim one with agent_task. Not for your own plans "
                "(trajectory)."
            ),
            arguments=TaskListArguments,
            answer=TaskList,
            annotations=ToolAnnotations(
                read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
            ),
            body=agent_task_list,
        ),
        ToolSpec(
            name="agent_task",
            title="Work on a task",
            description=(
                "Use claim to take a task alone until its lease ends; returns what is asked and the memories it is "
                "about (quoted data). complete or fail ends it: the text becomes a memory. file asks other agents. An "
                "answer places no order (place_trade)."
            ),
            arguments=TaskArguments,
            answer=TaskAnswer,
            annotations=ToolAnnotations(
                read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
            ),
            body=agent_task,
        ),
    )

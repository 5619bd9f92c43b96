"""The tool of agents' own trajectories: open, step, close with what came of it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, Self, TypeVar

from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field, ValidationError, model_validator

from memmcp_server.wire.base import JsonValue, Kind, NamespaceStr, Request, Tag
from memmcp_server.wire.invalid import invalid_input
from memmcp_server.wire.trajectories import (
    TrajectoryAnswer,
    TrajectoryCloseRequest,
    TrajectoryOpenRequest,
    TrajectoryStepRequest,
)

from .arguments import EffectKey, Identifier
from .spec import Call, ToolSpec

REQUIRED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"open": ("title",), "step": ("id", "content"), "close": ("id", "outcome")}
)
OPTIONAL: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "open": ("id", "kind", "namespace", "tags", "metadata"),
        "step": ("kind", "tags", "metadata", "cites"),
        "close": ("reward", "reward_unit", "text", "lesson", "cites", "metadata"),
    }
)
ALWAYS: Final = ("action", "idempotency_key")

ModelT = TypeVar("ModelT", bound=BaseModel)


class TrajectoryArguments(Request):
    action: Literal["open", "step", "close"] = Field(description="open: title; step: id, content; close: id, outcome.")
    id: Identifier | None = Field(default=None, description="Made for you at open.")
    title: str | None = Field(default=None, description="open: what you set out to do.")
    kind: Kind | None = Field(default=None, description="open: session ...; step: decision, result ...")
    namespace: NamespaceStr | None = Field(default=None, description="open.")
    content: str | None = Field(default=None, description="step: what, and why.")
    outcome: str | None = Field(default=None, description="close: done, failed, won, lost ...")
    reward: int | None = Field(default=None, description="close: below 0 takes credit away.")
    reward_unit: str | None = Field(default=None, description="Of reward.")
    text: str | None = Field(default=None, description="close: what happened.")
    lesson: str | None = Field(default=None, description="close: what to do next time.")
    cites: list[Identifier] | None = Field(default=None, max_length=64, description="Ids it rests on.")
    tags: list[Tag] | None = Field(default=None, max_length=32, description="Labels.")
    metadata: dict[str, JsonValue] | None = Field(default=None, description="JSON facts.")
    idempotency_key: EffectKey = None

    @model_validator(mode="after")
    def _fits_its_action(self) -> Self:
        required = REQUIRED[self.action]
        given = [name for name in self.model_fields_set if getattr(self, name) is not None]
        missing = [name for name in required if name not in given]
        if missing:
            msg = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} required for {self.action}"
            raise ValueError(msg)
        foreign = sorted(set(given) - {*required, *OPTIONAL[self.action], *ALWAYS})
        if foreign:
            takes = ", ".join((*required, *OPTIONAL[self.action]))
            msg = f"{foreign[0]} does not belong to {self.action}, which takes {takes}"
            raise ValueError(msg)
        return self


async def trajectory(call: Call, arguments: TrajectoryArguments) -> TrajectoryAnswer:
    given = arguments.model_dump(exclude={"action"}, exclude_none=True)
    episodes = call.services.episodes
    if arguments.action == "open":
        opened = await episodes.open(_as(TrajectoryOpenRequest, given).to_fields(), call.caller)
        return TrajectoryAnswer.of(opened.id, opened.namespace, opened.acknowledgement, outcome=opened.outcome)
    trajectory_id: str = given.pop("id")
    if arguments.action == "step":
        fields = _as(TrajectoryStepRequest, given).to_fields()
        stepped = await episodes.step(trajectory_id, fields, call.caller)
        return TrajectoryAnswer.of(trajectory_id, stepped.namespace, stepped.acknowledgement)
    given.pop("idempotency_key", None)  # a trajectory is closed once: its id is the key
    closed = await episodes.close(trajectory_id, _as(TrajectoryCloseRequest, given).to_fields(), call.caller)
    return TrajectoryAnswer.of(
        trajectory_id,
        closed.trajectory.namespace,
        closed.acknowledgement,
        outcome=closed.outcome,
        lesson=closed.lesson,
    )


def trajectory_tools() -> tuple[ToolSpec[Any], ...]:
    return (
        ToolSpec(
            name="trajectory",
            title="Record an attempt",
            description=(
                "Keeps the steps of your work with their outcome, so that 'what failed last time' finds them. Use open "
                "when you begin, step for decisions and results (cite what you relied on), close at the end, with a "
                "lesson: what was cited gains or loses credit. The desk records its own trades."
            ),
            arguments=TrajectoryArguments,
            answer=TrajectoryAnswer,
            annotations=ToolAnnotations(
                read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
            ),
            body=trajectory,
        ),
    )


def _as(model: type[ModelT], given: dict[str, Any]) -> ModelT:
    """Return the request, checked as on every door. Raises: InvalidInput."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise invalid_input(error, model) from error

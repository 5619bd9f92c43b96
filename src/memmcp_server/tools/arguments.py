"""The arguments of the tools: wire requests as an agent sees them, each parameter described.

Who writes (agent, session, tool) is taken from the connection, so no argument can claim it.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from memmcp_server.wire.base import IdempotencyKey, JsonValue, Kind, Moment, NamespaceStr, Request, Tag
from memmcp_server.wire.lifecycle import ForgetFilter
from memmcp_server.wire.orders import CloseRequest, ProfileName, RebalanceRequest, TradeRequest
from memmcp_server.wire.telemetry import WindowName

EffectKey = Annotated[
    IdempotencyKey | None,
    Field(description="One effect per key."),
]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^\S+$")]
MintText = Annotated[str, StringConstraints(min_length=2, max_length=64, pattern=r"^\S+$")]


class MemoryWriteArguments(Request):
    content: str = Field(min_length=1, description="The text, self-contained.")
    namespace: NamespaceStr = Field(default="default", description="E.g. default, team, agents/NAME.")
    kind: Kind = Field(default="note", description="note, decision, lesson, fact ...")
    tags: list[Tag] = Field(default_factory=list, max_length=32, description="Labels to filter by.")
    metadata: dict[str, JsonValue] = Field(default_factory=dict, description="At most 16 KiB.")
    ts: Moment | None = Field(default=None, description="When it happened, ISO 8601 with zone; else now.")
    expires_at: Moment | None = Field(default=None, description="When to stop finding it.")
    trajectory_id: Identifier | None = Field(default=None, description="Makes it a step; a new id opens one.")
    cites: list[Identifier] = Field(default_factory=list, max_length=64, description="Ids it rests on.")
    supersedes: list[Identifier] = Field(default_factory=list, max_length=64, description="Ids it replaces.")
    valid_from: Moment | None = Field(default=None, description="Holds since.")
    valid_to: Moment | None = Field(default=None, description="Holds until.")
    importance: int = Field(default=50, ge=0, le=100, description="100 matters most.")
    idempotency_key: IdempotencyKey | None = Field(default=None, description="Else from the content.")


class MemoryUpdateArguments(Request):
    id: Identifier = Field(description="The memory to change.")
    content: str | None = Field(default=None, min_length=1, description="New text.")
    tags: list[Tag] | None = Field(default=None, max_length=32, description="All tags.")
    metadata: dict[str, JsonValue] | None = Field(default=None, description="All metadata.")
    supersedes: list[Identifier] = Field(default_factory=list, max_length=64, description="Ids it replaces.")
    valid_to: Moment | None = Field(default=None, description="Held until.")
    expires_at: Moment | None = Field(default=None, description="When to stop finding it.")
    importance: int | None = Field(default=None, ge=0, le=100, description="100 matters most.")
    pinned: bool | None = Field(default=None, description="Never fades. Your own only.")
    confirm: bool = Field(default=False, description="It still holds.")
    expected_version: int | None = Field(default=None, ge=1, le=2**31 - 1, description="Refuse if changed since.")
    idempotency_key: EffectKey = None


class MemoryForgetArguments(Request):
    id: Identifier | None = Field(default=None, description="With its steps, if any.")
    filter: ForgetFilter | None = Field(default=None, description="All that meet it.")
    preview_id: str | None = Field(default=None, max_length=64, description="From the preview.")
    reason: str = Field(min_length=3, max_length=1_000, description="Why, not what; audited.")
    idempotency_key: EffectKey = None


class MemorySearchArguments(Request):
    query: str = Field(min_length=1, max_length=4_000, description="In plain words.")
    namespace: str | None = Field(default=None, max_length=128, description="a/: all below a.")
    kinds: list[Kind] = Field(default_factory=list, max_length=16, description="Any of these.")
    tags: list[Tag] = Field(default_factory=list, max_length=16, description="All of these.")
    agent: str | None = Field(default=None, max_length=128, description="Who wrote it.")
    since: Moment | None = Field(default=None, description="ISO 8601 with zone.")
    until: Moment | None = Field(default=None, description="Happened before.")
    as_of: Moment | None = Field(default=None, description="As known at that time.")
    valid_at: Moment | None = Field(default=None, description="What holds then; else now.")
    limit: int = Field(default=10, ge=1, le=100, description="Hits at most.")
    max_tokens: int | None = Field(default=None, ge=50, le=100_000, description="For whole texts.")
    cursor: str | None = Field(default=None, max_length=200, description="next_cursor of the last answer.")
    detail: Literal["concise", "full"] = Field(default="concise", description="full adds metadata and source.")


class TelemetryArguments(Request):
    window: WindowName | None = Field(default=None, description="Adds the change over 1h, 24h, 7d, all.")
    detail: Literal["concise", "full"] = Field(default="concise", description="full: the whole snapshot.")


class DigestArguments(Request):
    strategy: str | None = Field(default=None, max_length=64, description="One strategy; default all.")
    window: WindowName = Field(default="all", description="1h, 24h, 7d, ... or all.")


class PlaceTradeArguments(TradeRequest):
    idempotency_key: EffectKey = None


class ClosePositionArguments(CloseRequest):
    idempotency_key: EffectKey = None


class RebalanceArguments(RebalanceRequest):
    idempotency_key: EffectKey = None


class WhyArguments(Request):
    order_id: Identifier | None = Field(default=None, description="The chain of this order.")
    trajectory_id: Identifier | None = Field(default=None, description="The chain of this trade.")
    mint: MintText | None = Field(default=None, description="Why this token was not bought.")
    since: Moment | None = Field(default=None, description="ISO 8601 with zone.")
    until: Moment | None = Field(default=None, description="Its end.")

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        given = [name for name in ("order_id", "trajectory_id", "mint") if getattr(self, name) is not None]
        if len(given) > 1:
            msg = f"give at most one of order_id, trajectory_id and mint, not {' and '.join(given)}"
            raise ValueError(msg)
        return self


class ControlArguments(Request):
    action: Literal["stop_entries", "reduce_only", "flatten_and_halt", "resume", "profile"] = Field(
        description="stop_entries keeps positions; reduce_only refuses adds too; flatten_and_halt sells all."
    )
    reason: str = Field(min_length=3, max_length=1_000, description="Why; kept.")
    profile: ProfileName | None = Field(default=None, description="A safer one.")
    idempotency_key: EffectKey = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.profile is not None) != (self.action == "profile"):
            msg = "profile is required for action profile and belongs to no other"
            raise ValueError(msg)
        return self

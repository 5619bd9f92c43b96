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
    Field(description="Repeat with the same key after a time-out: one effect."),
]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^\S+$")]
MintText = Annotated[str, StringConstraints(min_length=2, max_length=64, pattern=r"^\S+$")]


class MemoryWriteArguments(Request):
    content: str = Field(min_length=1, description="The text, self-contained: it is found by meaning and by words.")
    namespace: NamespaceStr = Field(default="default", description="Project, e.g. default, team, agents/name.")
    kind: Kind = Field(default="note", description="note, decision, lesson, digest, fact or your own lower-case word.")
    tags: list[Tag] = Field(default_factory=list, max_length=32, description="Exact labels to filter by later.")
    metadata: dict[str, JsonValue] = Field(default_factory=dict, description="JSON facts, at most 16 KiB.")
    ts: Moment | None = Field(default=None, description="When it happened, ISO 8601 with zone; default now.")
    expires_at: Moment | None = Field(default=None, description="When to stop finding it, ISO 8601 with zone.")
    trajectory_id: Identifier | None = Field(default=None, description="Makes it a step; an unknown id opens one.")
    cites: list[Identifier] = Field(default_factory=list, max_length=64, description="Ids it rests on.")
    supersedes: list[Identifier] = Field(default_factory=list, max_length=64, description="Ids it replaces as wrong.")
    valid_from: Moment | None = Field(default=None, description="Since when the fact holds; default always.")
    valid_to: Moment | None = Field(default=None, description="Until when it holds.")
    importance: int = Field(default=50, ge=0, le=100, description="0 fades first, 100 matters most.")
    idempotency_key: IdempotencyKey | None = Field(default=None, description="Default: derived from the content.")


class MemoryUpdateArguments(Request):
    id: Identifier = Field(description="The memory to change.")
    content: str | None = Field(default=None, min_length=1, description="New text.")
    tags: list[Tag] | None = Field(default=None, max_length=32, description="All tags from now on.")
    metadata: dict[str, JsonValue] | None = Field(default=None, description="All metadata from now on.")
    supersedes: list[Identifier] = Field(default_factory=list, max_length=64, description="Ids it replaces as wrong.")
    valid_to: Moment | None = Field(default=None, description="Until when it held.")
    expires_at: Moment | None = Field(default=None, description="When to stop finding it.")
    importance: int | None = Field(default=None, ge=0, le=100, description="0 fades first, 100 matters most.")
    pinned: bool | None = Field(default=None, description="Keep: no expiry, fading or merging. Your own only.")
    confirm: bool = Field(default=False, description="You checked it and it still holds.")
    expected_version: int | None = Field(default=None, ge=1, le=2**31 - 1, description="Refuse if changed since.")
    idempotency_key: EffectKey = None


class MemoryForgetArguments(Request):
    id: Identifier | None = Field(default=None, description="A trajectory takes its steps along.")
    filter: ForgetFilter | None = Field(default=None, description="All that meet it; previews first.")
    preview_id: str | None = Field(default=None, max_length=64, description="Forget exactly what was previewed.")
    reason: str = Field(min_length=3, max_length=1_000, description="Why, not what; audited.")
    idempotency_key: EffectKey = None


class MemorySearchArguments(Request):
    query: str = Field(min_length=1, max_length=4_000, description="What to find, in plain words.")
    namespace: str | None = Field(default=None, max_length=128, description="One project; a/ means all below a.")
    kinds: list[Kind] = Field(default_factory=list, max_length=16, description="Any of these kinds.")
    tags: list[Tag] = Field(default_factory=list, max_length=16, description="All of these tags.")
    agent: str | None = Field(default=None, max_length=128, description="Written by this agent.")
    since: Moment | None = Field(default=None, description="Happened at or after, ISO 8601 with zone.")
    until: Moment | None = Field(default=None, description="Happened before, ISO 8601 with zone.")
    as_of: Moment | None = Field(default=None, description="Only what was known at that time.")
    valid_at: Moment | None = Field(default=None, description="What holds at that time; default now.")
    limit: int = Field(default=10, ge=1, le=100, description="Hits at most.")
    max_tokens: int | None = Field(default=None, ge=50, le=100_000, description="Hard budget of the answer.")
    cursor: str | None = Field(default=None, max_length=200, description="next_cursor of the last answer.")
    detail: Literal["concise", "full"] = Field(default="concise", description="full adds metadata, source, version.")


class TelemetryArguments(Request):
    window: WindowName | None = Field(default=None, description="Adds the change of equity over e.g. 1h, 24h, 7d, all.")
    detail: Literal["concise", "full"] = Field(default="concise", description="full adds the whole snapshot.")


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
    mint: MintText | None = Field(default=None, description="The funnel of this token: why it was not bought.")
    since: Moment | None = Field(default=None, description="Start of the funnel, ISO 8601 with zone.")
    until: Moment | None = Field(default=None, description="Its end, so that one cycle can be looked at.")

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        given = [name for name in ("order_id", "trajectory_id", "mint") if getattr(self, name) is not None]
        if len(given) > 1:
            msg = f"give at most one of order_id, trajectory_id and mint, not {' and '.join(given)}"
            raise ValueError(msg)
        return self


class ControlArguments(Request):
    action: Literal["stop_entries", "reduce_only", "flatten_and_halt", "resume", "profile"] = Field(
        description="stop_entries keeps positions; reduce_only also refuses adds; flatten_and_halt sells all; profile "
        "goes to a safer one. resume is the operator's."
    )
    reason: str = Field(min_length=3, max_length=1_000, description="Why; kept in the journal.")
    profile: ProfileName | None = Field(default=None, description="Of action profile: its name.")
    idempotency_key: EffectKey = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.profile is not None) != (self.action == "profile"):
            msg = "profile is required for action profile and belongs to no other"
            raise ValueError(msg)
        return self

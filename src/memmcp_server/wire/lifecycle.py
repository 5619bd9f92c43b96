"""Forgetting and the audit as JSON."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from memmcp_server.domain.forgetting import ForgetOrder, ForgetPreview, Forgotten, Proof
from memmcp_server.domain.identifiers import SEQ_MAX, JsonObject, MemoryId
from memmcp_server.domain.lifecycle import AuditEntry
from memmcp_server.domain.memory import MemoryFilter
from memmcp_server.domain.times import from_ns, instant_ns

from .base import JsonValue, Kind, MemoryIdStr, Moment, Request, Tag, Wire

IDS_MAX = 256
ORDER_HINT = "Nothing is forgotten yet. Show this, then send the same call with preview_id."
MORE_HINT = "More meet the filter than one order takes: preview again after this one."
PENDING_HINT = "It is forgotten and found no more; its files are cleaned in the background, see the audit."
COPIES_HINT = "Copies at these paths may still hold it; deleting them is the operator's."


class ForgetFilter(Request):
    """All conditions must be met; at least one is needed."""

    namespace: str | None = Field(default=None, max_length=128, description="a/ means all below a.")
    kinds: list[Kind] = Field(default_factory=list, max_length=16)
    tags: list[Tag] = Field(default_factory=list, max_length=16)
    agent: str | None = Field(default=None, max_length=128, description="Of the last version.")
    since: Moment | None = Field(default=None)
    until: Moment | None = Field(default=None)

    def to_filter(self) -> MemoryFilter:
        """Raises: InvalidInput (a time without zone)."""
        return MemoryFilter(
            namespace=self.namespace,
            kinds=tuple(self.kinds),
            tags=tuple(self.tags),
            agent=self.agent,
            since_ns=instant_ns("filter.since", self.since),
            until_ns=instant_ns("filter.until", self.until),
        )


class ForgetRequest(Request):
    """Memories by id, or a filter: first for a preview, then with its ``preview_id`` as the order."""

    id: MemoryIdStr | None = None
    ids: list[MemoryIdStr] | None = Field(default=None, min_length=1, max_length=IDS_MAX)
    filter: ForgetFilter | None = None
    preview_id: str | None = Field(default=None, min_length=1, max_length=64)
    reason: str = Field(min_length=3, max_length=1_000, description="Why; kept in the audit for ever.")
    agent: str | None = Field(default=None, max_length=128)

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        named = [name for name in ("id", "ids") if getattr(self, name) is not None]
        asked = [name for name in ("filter", "preview_id") if getattr(self, name) is not None]
        if len(named) + bool(asked) != 1:
            given = " and ".join((*named, *asked)) or "none"
            msg = f"give one of id, ids and filter (then filter with preview_id); given: {given}"
            raise ValueError(msg)
        return self

    def to_order(self) -> ForgetOrder:
        """Raises: InvalidInput (a time without zone)."""
        ids = self.ids or [] if self.id is None else [self.id]
        return ForgetOrder(
            reason=self.reason,
            ids=tuple(MemoryId(each) for each in ids),
            where=None if self.filter is None else self.filter.to_filter(),
            preview_id=self.preview_id,
        )


class ProofDocument(Wire):
    """``state``: proved, pending (``waits_for`` says what for) or residues. ``copies``: back-ups and exports."""

    state: Literal["proved", "pending", "residues"]
    waits_for: str | None
    journal: dict[str, JsonValue] | None
    index: dict[str, JsonValue] | None
    copies: list[str]
    langfuse: str

    @classmethod
    def of(cls, proof: Proof) -> Self:
        return cls(
            state=proof.state,
            waits_for=proof.waits_for or None,
            journal=_figures(proof.journal),
            index=_figures(proof.index),
            copies=list(proof.copies),
            langfuse=proof.langfuse,
        )


class PreviewDocument(Wire):
    """``steps`` and ``pinned`` are among the count; ``held`` and ``not_yours`` meet the filter too, and stay."""

    preview_id: str
    expires_at: datetime
    namespaces: dict[str, int]
    kinds: dict[str, int]
    steps: int
    pinned: int
    held: int
    not_yours: int
    oldest: datetime | None
    newest: datetime | None
    complete: bool

    @classmethod
    def of(cls, preview: ForgetPreview) -> Self:
        return cls(
            preview_id=preview.preview_id,
            expires_at=from_ns(preview.expires_at_ns),
            namespaces=dict(preview.namespaces),
            kinds=dict(preview.kinds),
            steps=preview.steps,
            pinned=preview.pinned,
            held=preview.held,
            not_yours=preview.foreign,
            oldest=None if preview.oldest_ns is None else from_ns(preview.oldest_ns),
            newest=None if preview.newest_ns is None else from_ns(preview.newest_ns),
            complete=preview.is_complete,
        )


class ForgetAnswer(Wire):
    """``count``: what an order would forget (status preview), or what was forgotten now; ``already``: before."""

    status: Literal["preview", "forgotten"]
    count: int
    already: int = 0
    preview: PreviewDocument | None = None
    proof: ProofDocument | None = None
    hint: str | None = None

    @classmethod
    def of(cls, outcome: ForgetPreview | Forgotten) -> Self:
        if isinstance(outcome, ForgetPreview):
            hint = ORDER_HINT if outcome.is_complete else f"{ORDER_HINT} {MORE_HINT}"
            return cls(status="preview", count=outcome.count, preview=PreviewDocument.of(outcome), hint=hint)
        proof = outcome.proof
        hints = [PENDING_HINT] if proof.state == "pending" else []
        hints += [COPIES_HINT] if proof.copies else []
        return cls(
            status="forgotten",
            count=outcome.count,
            already=outcome.already,
            proof=ProofDocument.of(proof),
            hint=" ".join(hints) or None,
        )


class AuditQuery(Request):
    action: str | None = Field(
        default=None, max_length=32, description="forget, purge, merge, restore, policy, backup, export, desk ..."
    )
    id: str | None = Field(default=None, max_length=128, description="Of one memory, with the purges that covered it.")
    cursor: int | None = Field(default=None, ge=0, le=SEQ_MAX, description="next_cursor of the last answer.")
    limit: int = Field(default=100, ge=1, le=500)


class AuditDocument(Wire):
    """One thing that was done. It never holds content; ``detail`` has ids, counts and places."""

    seq: int
    at: datetime
    action: str
    id: str | None
    namespace: str | None
    kind: str
    agent: str
    reason: str
    detail: dict[str, Any]

    @classmethod
    def of(cls, entry: AuditEntry) -> Self:
        return cls(
            seq=entry.seq,
            at=from_ns(entry.at_ns),
            action=entry.action,
            id=entry.memory_id,
            namespace=entry.namespace,
            kind=entry.kind,
            agent=entry.agent,
            reason=entry.reason,
            detail=dict(entry.detail),
        )


class AuditAnswer(Wire):
    """Newest first. ``next_cursor`` None: these were the last."""

    entries: list[AuditDocument]
    next_cursor: int | None


def _figures(detail: JsonObject | None) -> dict[str, JsonValue] | None:
    """Return the figures of a purge without what the answer says elsewhere."""
    if detail is None:
        return None
    elsewhere = ("part", "copies", "langfuse")
    return {name: value for name, value in detail.items() if name not in elsewhere and value != ""}

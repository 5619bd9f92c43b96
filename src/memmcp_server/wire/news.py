"""Changes and headlines as JSON."""

from datetime import datetime
from typing import Any, Final, Self

from pydantic import Field

from memmcp_server.domain.lifecycle import LinkKind
from memmcp_server.domain.news import ChangePage, Headline, Look, Told
from memmcp_server.domain.times import from_ns

from .base import JsonValue, Request, Wire
from .memory import memory_url

FIRST_HINT: Final = "You are new here; this many lessons, decisions and results came before: use memory_search."
PARTIAL_HINT: Final = "You looked so long ago that more may have happened: use memory_search."


class ChangesQuery(Request):
    cursor: str | None = Field(
        default=None, max_length=64, description="next_cursor of the last answer, 'start' or 'now'; default 'start'."
    )
    name: str | None = Field(
        default=None,
        max_length=64,
        description="Keeps the place of a reader: passing a cursor acknowledges it, without one reading goes on there.",
    )
    namespace: str | None = Field(default=None, max_length=128, description="Exact, or a subtree when it ends in '/'.")
    limit: int = Field(default=100, ge=1, le=500)
    wait_s: float = Field(
        default=0.0,
        ge=0,
        le=300,
        description="Wait so long for a change when there is none yet; news.wait_s_max may end it sooner.",
    )


class ChangeDocument(Wire):
    """One change. ``action``: write, update, close (of a trajectory), forget, merge, restore, contradict, policy ...

    The fields of a memory are null where something was done to one; what was forgotten has no text any more.
    """

    seq: int
    action: str
    at: datetime
    id: str | None
    version: int | None
    namespace: str | None
    kind: str
    agent: str
    trust: str | None
    ts: datetime | None
    content: str | None
    tags: list[str] | None
    trajectory_id: str | None
    superseded: bool | None = Field(description="Whether another version or memory has taken its place by now.")
    supersedes: list[str]
    contradicts: list[str]
    reason: str | None
    detail: dict[str, JsonValue] | None
    url: str | None

    @classmethod
    def of(cls, told: Told, content_chars_max: int | None = None) -> Self:
        """``content_chars_max`` cuts long texts; the address has them whole."""
        change = told.change
        memory, entry = change.memory, change.audit
        fields: dict[str, Any] = dict.fromkeys(cls.model_fields)
        fields |= {"seq": change.seq, "supersedes": [], "contradicts": []}
        if memory is not None:
            updated = "close" if memory.kind == "trajectory" else "update"
            fields |= {
                "action": "write" if memory.version == 1 else updated,
                "at": from_ns(memory.known_at_ns),
                "id": memory.id,
                "version": memory.version,
                "namespace": memory.namespace,
                "kind": memory.kind,
                "agent": memory.provenance.agent,
                "trust": memory.provenance.trust.value,
                "ts": from_ns(memory.ts_event_ns),
                "content": memory.content[:content_chars_max],
                "tags": list(memory.tags),
                "trajectory_id": memory.trajectory_id,
                "superseded": memory.superseded_at_ns is not None,
                "supersedes": [link.to_id for link in told.links if link.kind is LinkKind.SUPERSEDES],
                "contradicts": [
                    link.to_id if link.from_id == memory.id else link.from_id
                    for link in told.links
                    if link.kind is LinkKind.CONTRADICTS
                ],
                "url": memory_url(memory.id),
            }
        elif entry is not None:
            fields |= {
                "action": entry.action,
                "at": from_ns(entry.at_ns),
                "id": entry.memory_id,
                "namespace": entry.namespace,
                "kind": entry.kind,
                "agent": entry.agent,
                "reason": entry.reason,
                "detail": dict(entry.detail),
            }
        return cls(**fields)


class ChangesAnswer(Wire):
    """``horizon``: the newest seq of the journal. ``more``: there is more to read at once."""

    changes: list[ChangeDocument]
    next_cursor: str
    horizon: int
    more: bool

    @classmethod
    def of(cls, page: ChangePage, content_chars_max: int | None = None) -> Self:
        return cls(
            changes=[ChangeDocument.of(told, content_chars_max) for told in page.told],
            next_cursor=page.next_cursor,
            horizon=page.horizon,
            more=page.more,
        )


class NewsItem(Wire):
    """``says`` is what a memory begins with: text of others, quoted. Of the last three one may say what it does."""

    id: str
    kind: str
    agent: str
    when: str
    says: str
    trust: str | None = None
    supersedes: str | None = None
    contradicts: str | None = None
    updates: bool | None = None

    @classmethod
    def of(cls, headline: Headline) -> Self:
        item = cls(
            id=headline.id,
            kind=headline.kind,
            agent=headline.agent,
            when=_minute(headline.at_ns),
            says=headline.says,
            trust="untrusted" if headline.is_untrusted else None,
        )
        match headline.revision:
            case "supersedes":
                item.supersedes = headline.revises[0]
            case "contradicts":
                item.contradicts = headline.revises[0]
            case "updates":
                item.updates = True
        return item


class NewsBlock(Wire):
    """What others did since the caller looked last. ``more``: how many of ``count`` are not listed."""

    since: str | None = None
    count: int
    items: list[NewsItem] | None = None
    more: int | None = None
    hint: str | None = None

    @classmethod
    def of(cls, look: Look, items_max: int) -> Self:
        count = len(look.headlines)
        if look.is_first:
            return cls(count=count, hint=FIRST_HINT)
        items = [NewsItem.of(headline) for headline in look.headlines[:items_max]]
        return cls(
            since=None if look.since_ns is None else _minute(look.since_ns),
            count=count,
            items=items or None,
            more=count - len(items) or None,
            hint=PARTIAL_HINT if look.is_partial else None,
        )


def _minute(ts_ns: int) -> str:
    return f"{from_ns(ts_ns):%Y-%m-%dT%H:%MZ}"

"""What the memory holds, as JSON: short enough that an agent can afford to look before it searches."""

from datetime import datetime
from typing import Literal, Self

from pydantic import Field

from memmcp_server.domain.memory import MemoryFilter
from memmcp_server.domain.recap import one_line
from memmcp_server.domain.summary import Count, Shown, Summary, SummaryBy, SummaryQuery
from memmcp_server.domain.times import from_ns, instant_ns

from .base import Kind, Moment, Request, Wire
from .memory import memory_url

EXCERPT_CHARS_MAX = 160


class SummaryRequest(Request):
    namespace: str | None = Field(default=None, max_length=129, description="Exact, or a subtree when it ends in '/'.")
    kind: Kind | None = None
    agent: str | None = Field(default=None, max_length=128)
    since: Moment | None = Field(default=None, description="Happened at or after (ISO 8601 with zone).")
    until: Moment | None = Field(default=None, description="Happened before.")
    by: Literal["kind", "agent", "namespace", "strategy"] = "kind"
    limit: int = Field(default=5, ge=1, le=50, description="Memories of each list.")

    def to_query(self) -> SummaryQuery:
        """Return the query in the journal's units. Raises: InvalidInput (a time without a zone)."""
        where = MemoryFilter(
            namespace=self.namespace,
            kinds=() if self.kind is None else (self.kind,),
            agent=self.agent,
            since_ns=instant_ns("since", self.since),
            until_ns=instant_ns("until", self.until),
        )
        return SummaryQuery(where, self.by, self.limit)


class CountView(Wire):
    """``newest`` is when the last of them was written."""

    name: str
    count: int
    newest: datetime

    @classmethod
    def of(cls, count: Count) -> Self:
        return cls(name=count.name, count=count.number, newest=from_ns(count.newest_ns))


class MemoryBrief(Wire):
    """The beginning of a memory on one line; its address has all of it."""

    id: str
    url: str
    kind: str
    namespace: str
    agent: str
    ts: datetime
    text: str
    importance: int
    pinned: bool = False
    stale: list[str] | None = Field(default=None, description="Why what it rests on does not stand any more.")

    @classmethod
    def of(cls, shown: Shown, base_url: str = "") -> Self:
        memory = shown.memory
        return cls(
            id=memory.id,
            url=memory_url(memory.id, base_url),
            kind=memory.kind,
            namespace=memory.namespace,
            agent=memory.provenance.agent,
            ts=from_ns(memory.ts_event_ns),
            text=one_line(memory.content, EXCERPT_CHARS_MAX),
            importance=memory.importance,
            pinned=memory.pinned,
            stale=list(shown.stale) or None,
        )


class SummaryAnswer(Wire):
    """``total`` and ``counts`` are of current memories; the lists leave out what has expired or does not hold now."""

    by: SummaryBy
    total: int
    counts: list[CountView]
    groups_left_out: bool = Field(default=False, description="There are more groups than are listed.")
    highlights: list[MemoryBrief] = Field(description="Pinned first, then by importance, then the newest.")
    newest: list[MemoryBrief]
    digests: list[MemoryBrief] = Field(description="The newest digests, and whether they are stale.")

    @classmethod
    def of(cls, summary: Summary, base_url: str = "") -> Self:
        return cls(
            by=summary.by,
            total=summary.total,
            counts=[CountView.of(count) for count in summary.counts],
            groups_left_out=summary.groups_left_out,
            highlights=[MemoryBrief.of(each, base_url) for each in summary.highlights],
            newest=[MemoryBrief.of(each, base_url) for each in summary.newest],
            digests=[MemoryBrief.of(each, base_url) for each in summary.digests],
        )

"""What the memory holds: counts by kind, agent, namespace or strategy, what weighs most, the newest, the digests."""

from collections.abc import Sequence
from dataclasses import replace

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.drafts import check_namespace
from memmcp_server.domain.evidence import staleness
from memmcp_server.domain.memory import Memory, MemoryFilter
from memmcp_server.domain.summary import STRATEGIES, Count, Shown, Summary, SummaryQuery
from memmcp_server.errors import InvalidInput
from memmcp_server.ports import Clock, Journal

from .policies import Policies

GROUPS_MAX = 50
SHOWN_MAX = 50
KIND_DIGEST = "digest"
SPARE = 3
"""So many times more are read than are shown: some have expired, or do not hold now."""


class Summaries:
    def __init__(self, journal: Journal, policies: Policies, clock: Clock) -> None:
        self._journal = journal
        self._policies = policies
        self._clock = clock

    async def of(self, query: SummaryQuery, caller: Caller) -> Summary:
        """Return what there is for the caller under these conditions. The window bounds when it happened.

        Raises: InvalidInput, JournalBusy, JournalUnavailable.
        """
        _check(query)
        hidden = (await self._policies.book()).hidden_from(caller)
        where = replace(_within(query), hidden=hidden)
        counts = await self._counts(query, where)
        now_ns = self._clock.now_ns()
        held = replace(where, valid_at_ns=now_ns)
        spare = SPARE * query.limit
        highlights = _alive(await self._journal.highlights(held, limit=spare), now_ns, query.limit)
        newest = _alive(await self._journal.page(held, after=None, limit=spare, newest_first=True), now_ns, query.limit)
        digests: list[Memory] = []
        if not where.kinds or KIND_DIGEST in where.kinds:
            of_digests = replace(held, kinds=(KIND_DIGEST,))
            digests = await self._journal.page(of_digests, after=None, limit=spare, newest_first=True)
        return Summary(
            by=query.by,
            total=await self._journal.count(where),
            counts=tuple(counts[:GROUPS_MAX]),
            groups_left_out=len(counts) > GROUPS_MAX,
            highlights=await self._shown(highlights, now_ns),
            newest=await self._shown(newest, now_ns),
            digests=await self._shown(_alive(digests, now_ns, query.limit), now_ns),
        )

    async def newest(self, query: SummaryQuery, caller: Caller) -> tuple[Shown, ...]:
        """Return the newest memories under these conditions alone: it counts nothing.

        Raises: InvalidInput, JournalBusy, JournalUnavailable.
        """
        _check(query)
        now_ns = self._clock.now_ns()
        hidden = (await self._policies.book()).hidden_from(caller)
        held = replace(query.where, hidden=hidden, valid_at_ns=now_ns)
        page = await self._journal.page(held, after=None, limit=SPARE * query.limit, newest_first=True)
        return await self._shown(_alive(page, now_ns, query.limit), now_ns)

    async def counted(self, query: SummaryQuery, caller: Caller) -> tuple[int, list[Count]]:
        """Return how many memories there are under these conditions, and by what: no more groups than ``GROUPS_MAX``
        and one.

        Raises: InvalidInput, JournalBusy, JournalUnavailable.
        """
        _check(query)
        hidden = (await self._policies.book()).hidden_from(caller)
        where = replace(_within(query), hidden=hidden)
        return await self._journal.count(where), await self._counts(query, where)

    async def _counts(self, query: SummaryQuery, where: MemoryFilter) -> list[Count]:
        if query.by != "strategy":
            return await self._journal.counts(where, query.by, limit=GROUPS_MAX + 1)
        counts = await self._journal.counts(where, "namespace", limit=GROUPS_MAX + 1)
        return [replace(count, name=count.name.removeprefix(STRATEGIES)) for count in counts]

    async def _shown(self, memories: Sequence[Memory], now_ns: int) -> tuple[Shown, ...]:
        """Say of each whether what it cites still stands as it did."""
        links = await self._journal.links([memory.id for memory in memories])
        cited = sorted({link.to_id for link in links})
        present = await self._journal.all_versions(cited) if cited else {}
        lasts = {memory_id: versions[-1] for memory_id, versions in present.items()}
        return tuple(Shown(memory, staleness(memory.id, links, lasts, now_ns)) for memory in memories)


def _alive(memories: Sequence[Memory], now_ns: int, limit: int) -> list[Memory]:
    return [memory for memory in memories if not memory.is_expired_at(now_ns)][:limit]


def _within(query: SummaryQuery) -> MemoryFilter:
    """Return the conditions; by strategy without a namespace means all strategies."""
    if query.by == "strategy" and query.where.namespace is None:
        return replace(query.where, namespace=STRATEGIES)
    return query.where


def _check(query: SummaryQuery) -> None:
    if not 1 <= query.limit <= SHOWN_MAX:
        msg = f"limit is {query.limit}; allowed are 1 to {SHOWN_MAX}"
        raise InvalidInput(msg, field="limit")
    namespace = query.where.namespace
    if namespace is not None:
        check_namespace(namespace.removesuffix("/"))
        if query.by == "strategy" and not namespace.startswith(STRATEGIES):
            msg = f"namespace is {namespace}, which holds no strategies; they are below {STRATEGIES}"
            raise InvalidInput(msg, field="namespace", hint="leave it out, or count by namespace")
    since_ns, until_ns = query.where.since_ns, query.where.until_ns
    if since_ns is not None and until_ns is not None and since_ns >= until_ns:
        msg = "since is not before until, so that nothing can lie between them"
        raise InvalidInput(msg, field="since")

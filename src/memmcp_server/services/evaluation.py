"""Golden queries, asked of a memory: how much of what must be found is found, and whether another index finds less."""

from collections.abc import AsyncIterator, Callable, Sequence

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.golden import (
    RECALL_DEPTHS,
    Came,
    CaseOutcome,
    GoldenCase,
    GoldenSet,
    Scores,
    fingerprint_of,
    scores_of,
)
from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.domain.memory import MemoryFilter
from memmcp_server.domain.search import SearchQuery
from memmcp_server.errors import Unavailable
from memmcp_server.ports import Clock, GoldenStore, SecretScanner, VectorIndex

from .memories import Memories
from .secrets import refuse_secrets

CONTENT_CHARS_MAX = 300
CAME_MAX = 5
INTERNAL = Caller("memmcp", "", "eval", "operator", "internal")


class Evaluation:
    """``memories_of`` gives the search over one generation of the index."""

    def __init__(
        self,
        index: VectorIndex,
        memories_of: Callable[[VectorIndex], Memories],
        store: GoldenStore,
        clock: Clock,
        scanner: SecretScanner,
    ) -> None:
        self._scanner = scanner
        self._index = index
        self._memories_of = memories_of
        self._store = store
        self._clock = clock

    async def run(self, cases: Sequence[GoldenCase], *, limit: int) -> list[CaseOutcome]:
        """Ask the searched generation. Raises: InvalidInput (a query is not one), JournalBusy, JournalUnavailable."""
        memories = self._memories_of(self._index)
        return [outcome async for outcome in asked(memories, cases, limit=limit)]

    async def kept(self) -> GoldenSet | None:
        """Return the set that migrations are held against. Raises: Unavailable (it is there and cannot be read)."""
        return await self._store.load()

    async def keep(self, cases: Sequence[GoldenCase]) -> GoldenSet:
        """Ask the cases and keep them with what they came to as the baseline, in place of the set before.

        Raises: as ``run``; InvalidInput (there is a secret in one), Unavailable (the baseline would be that of words
        alone, or the file cannot be written).
        """
        refuse_secrets(self._scanner, {"cases": [_texts_of(case) for case in cases]})
        status = await self._index.status()
        if status.state != "ready":
            msg = f"the index is {status.state} ({status.detail}), so its baseline would be too low"
            raise Unavailable(msg, hint="save when `memmcp status` says that the index is ready")
        scores = scores_of(await self.run(cases, limit=RECALL_DEPTHS[-1]))
        golden = GoldenSet(tuple(cases), scores, status.model, self._clock.now_ns())
        await self._store.save(golden)
        return golden

    async def objection(self) -> str:
        """Return what speaks against searching the next generation from now on, empty for nothing.

        The kept queries are asked of both. Where the searched one has lost its model (another was configured and the
        old one is not at hand) it finds less than it did, so that the next one must reach the kept baseline too.
        """
        golden = await self.kept()
        if golden is None:
            return ""
        now = await self._scores(golden, self._index)
        then = await self._scores(golden, self._index.beside())
        if then.is_worse_than(now):
            return f"the golden queries find less there: {_pair(then)}, now {_pair(now)}"
        status = await self._index.status()
        if status.state != "ready" and then.is_worse_than(golden.baseline):
            return f"the golden queries find less there: {_pair(then)}, when they were saved {_pair(golden.baseline)}"
        return ""

    async def _scores(self, golden: GoldenSet, index: VectorIndex) -> Scores:
        memories = self._memories_of(index)
        return scores_of([outcome async for outcome in asked(memories, golden.cases, limit=RECALL_DEPTHS[-1])])


async def asked(memories: Memories, cases: Sequence[GoldenCase], *, limit: int) -> AsyncIterator[CaseOutcome]:
    """Yield what came of each case, one search at a time, so that other searches get their turn."""
    for case in cases:
        where = MemoryFilter(namespace=case.namespace, kinds=case.kinds, as_of_ns=case.as_of_ns)
        result = await memories.search(SearchQuery(case.query, where, max(limit, RECALL_DEPTHS[-1])), INTERNAL)
        found = [each.memory for each in result.found]
        ranks = tuple(
            next((rank for rank, memory in enumerate(found, 1) if each.is_met_by(memory.id, memory.content)), None)
            for each in case.expect
        )
        came = tuple(
            Came(each.memory.id, each.memory.content[:CONTENT_CHARS_MAX], each.why) for each in result.found[:CAME_MAX]
        )
        yield CaseOutcome(case, ranks, came)


def is_same_set(golden: GoldenSet | None, cases: Sequence[GoldenCase]) -> bool:
    return golden is not None and fingerprint_of(golden.cases) == fingerprint_of(cases)


def _texts_of(case: GoldenCase) -> JsonObject:
    """Return what of a case goes to disk."""
    return {"query": case.query, "note": case.note, "expect": [each.contains or each.id for each in case.expect]}


def _pair(scores: Scores) -> str:
    return f"recall@5 {scores.recall_at_5:.3f}, recall@10 {scores.recall_at_10:.3f}"

"""The searchers that the benchmark compares, all over the same memories and with the same vectors."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from qdrant_edge import Bm25

from memmcp_server.adapters.index.documents import parse_point, point_document
from memmcp_server.adapters.index.edge_store import EdgeStore
from memmcp_server.adapters.index.engine import IndexEngine
from memmcp_server.adapters.index.texts import CONTEXT_MAX, point_of
from memmcp_server.adapters.index.word_vectors import Bm25Words
from memmcp_server.domain.dates import date_of
from memmcp_server.domain.memory import Memory, MemoryFilter
from memmcp_server.ports import Embedder
from memmcp_server.services.ranking import (
    HITS_WANTED,
    Ranked,
    blocks,
    is_called_for,
    is_nothing_relevant,
    previous_of,
    rank,
    shortlist,
)

from .cases import Corpus

Scores = NDArray[np.float32]
Searcher = Callable[[Corpus, str], tuple[list[str], bool]]
"""Returns memory ids, best first, and whether the answer is that nothing is relevant."""

SHOWN = 20
LIST_DEPTH = 100
BATCH = 256


class CachingEmbedder:
    """Embeds each text once per run: what is measured is the ranking."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[str, list[float]] = {}

    @property
    def name(self) -> str:
        return self._embedder.name

    @property
    def dimension(self) -> int:
        return self._embedder.dimension

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        unknown = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known.update(zip(unknown, self._embedder.embed(unknown) if unknown else [], strict=True))
        return [self._known[text] for text in texts]


class Setting:
    """The memories of some corpora in one index, each corpus in its own namespace."""

    def __init__(self, corpora: Sequence[Corpus], embedder: CachingEmbedder, directory: Path) -> None:
        self.embedder = embedder
        self.memories = {corpus.name: list(corpus.memories) for corpus in corpora}
        self.engine = IndexEngine(EdgeStore(directory / "index"), Bm25Words(), embedder.name, embedder.dimension)
        self.engine.open()
        self.engine.adopt(embedder)
        for corpus in corpora:
            before = _threads(corpus)
            points = [parse_point(point_document(point_of(each, before[each.id]))) for each in corpus.memories]
            for start in range(0, len(points), BATCH):
                self.engine.upsert(points[start : start + BATCH])

    def close(self) -> None:
        self.engine.close()


def searchers(setting: Setting) -> Mapping[str, Searcher]:
    """Return the searchers by name: the halves, their fusions as others do it and as we did it, ours."""
    words = _PlainWords(setting, lambda memory: memory.content)
    dated = _PlainWords(setting, lambda memory: f"{_dated(memory)}\n{' '.join([memory.kind, *memory.tags])}")
    meaning = _PlainMeaning(setting, lambda memory: memory.content)
    meaning_dated = _PlainMeaning(setting, _dated)
    return {
        "words only": _ordered(words),
        "meaning only": _ordered(meaning),
        "rank fusion, k = 60": _fused(words, meaning, 60),
        "the former default": _fused(dated, meaning_dated, 10),
        "default": _Default(setting),
    }


class _Default:
    """The index engine and the service's ranking, as the daemon joins them."""

    def __init__(self, setting: Setting) -> None:
        self._engine = setting.engine
        self._memories = {memory.id: memory for memories in setting.memories.values() for memory in memories}

    def __call__(self, corpus: Corpus, query: str) -> tuple[list[str], bool]:
        where, now_ns = MemoryFilter(namespace=corpus.memories[0].namespace), time.time_ns()
        hits = self._engine.search(query, where, limit=HITS_WANTED, now_ns=now_ns)
        ranked: list[Ranked] = []
        for block in blocks(query, shortlist(hits, previous_of(hits)), now_ns):
            if len(ranked) < SHOWN:
                ranked += rank(query, block, self._memories, now_ns=now_ns)
        is_empty = is_nothing_relevant(hits) and not is_called_for(query, ranked)
        return [each.memory.id for each in ranked[:SHOWN]], is_empty


class _PlainWords:
    """BM25 with the library's own parameters, over each memory alone."""

    def __init__(self, setting: Setting, text_of: Callable[[Memory], str]) -> None:
        self._bm25 = Bm25()
        self._postings: dict[str, dict[int, list[tuple[int, float]]]] = {}
        self._sizes = {name: len(memories) for name, memories in setting.memories.items()}
        for name, memories in setting.memories.items():
            postings = self._postings.setdefault(name, {})
            for row, memory in enumerate(memories):
                vector = self._bm25.embed_document(text_of(memory))
                for index, weight in zip(vector.indices, vector.values, strict=True):
                    postings.setdefault(index, []).append((row, weight))

    def __call__(self, name: str, query: str) -> Scores:
        scores = np.zeros(self._sizes[name], np.float32)
        for index in self._bm25.embed_query(query).indices:
            found = self._postings[name].get(index, [])
            idf = math.log(1 + (len(scores) - len(found) + 0.5) / (len(found) + 0.5))
            for row, weight in found:
                scores[row] += idf * weight
        return scores


class _PlainMeaning:
    """The cosine of the query and each memory that has a vector."""

    def __init__(self, setting: Setting, text_of: Callable[[Memory], str]) -> None:
        self._embedder = setting.embedder
        self._vectors: dict[str, Scores] = {}
        for name, memories in setting.memories.items():
            vectors = np.zeros((len(memories), self._embedder.dimension), np.float32)
            rows = [row for row, memory in enumerate(memories) if memory.embed]
            vectors[rows] = self._embedder.embed([text_of(memories[row]) for row in rows])
            self._vectors[name] = vectors

    def __call__(self, name: str, query: str) -> Scores:
        cosines: Scores = self._vectors[name] @ np.asarray(self._embedder.embed([query])[0], np.float32)
        return cosines


Side = Callable[[str, str], Scores]


def _ordered(side: Side) -> Searcher:
    def search(corpus: Corpus, query: str) -> tuple[list[str], bool]:
        best = _best(side(corpus.name, query), SHOWN)
        return [corpus.memories[row].id for row in best], not best

    return search


def _fused(words: Side, meaning: Side, k: int) -> Searcher:
    def search(corpus: Corpus, query: str) -> tuple[list[str], bool]:
        sums: dict[int, float] = {}
        for side in (words, meaning):
            for place, row in enumerate(_best(side(corpus.name, query), LIST_DEPTH)):
                sums[row] = sums.get(row, 0.0) + 1 / (k + place)
        best = sorted(sums, key=lambda row: (-sums[row], row))[:SHOWN]
        return [corpus.memories[row].id for row in best], not best

    return search


def _best(scores: Scores, count: int) -> list[int]:
    return [int(row) for row in np.argsort(-scores, kind="stable")[:count] if scores[row] > 0]


def _dated(memory: Memory) -> str:
    day = date_of(memory.ts_event_ns)
    return f"{day.written() if day else ''}: {memory.content}"


def _threads(corpus: Corpus) -> dict[str, list[Memory]]:
    """Return for each memory those before it in its thread, the nearest first."""
    so_far: dict[str, list[Memory]] = {}
    before: dict[str, list[Memory]] = {}
    for memory in corpus.memories:
        thread = corpus.thread_of.get(memory.id)
        held = so_far.setdefault(thread, []) if thread is not None else []
        before[memory.id] = held[::-1][:CONTEXT_MAX]
        held.append(memory)
    return before

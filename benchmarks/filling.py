"""Memories by the ten thousand, the same for everybody: texts, vectors, a data directory filled with them.

A text is 30 words out of 2,000 and the number of its memory. Embedding 100,000 of them would take half an hour, so the
model embeds 256 texts (and the probe by which an index knows its model), and the vector of any other text is one of
those turned a little, by a seed that comes from the text: distinct, of unit length, the same in every run.
"""

import asyncio
import random
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from memmcp_server.adapters.embedding.fastembed_embedder import FastembedEmbedder, load_embedder
from memmcp_server.adapters.index.documents import parse_point, point_document
from memmcp_server.adapters.index.edge_store import EdgeStore
from memmcp_server.adapters.index.engine import PROBE_TEXT, IndexEngine
from memmcp_server.adapters.index.lock import acquire
from memmcp_server.adapters.index.options import WorkerOptions
from memmcp_server.adapters.index.texts import point_of
from memmcp_server.adapters.index.word_vectors import Bm25Words
from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.config import EmbeddingSection, JournalSection, QdrantSection
from memmcp_server.domain.identifiers import Namespace
from memmcp_server.domain.memory import MemoryDraft, Provenance
from memmcp_server.domain.outbox import SINK_QDRANT

BASE_LEN = 256
NOISE = 0.02
"""Of each number; those of a unit vector of 384 are about 0.05."""

BATCH = 2_000
COMMIT = 250
TEXT_WORDS = 30
SYLLABLES = "ba ce di fo gu ha je ki lo mu na pe ri so tu va we xi yo zu".split()  # noqa: SIM905 - shorter so
VOCABULARY = [f"{a}{b}{c}" for a in SYLLABLES for b in SYLLABLES for c in SYLLABLES[:5]]
TS_NS = 1_700_000_000_000_000_000


class WallClock:
    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_s(self) -> float:
        return time.monotonic()


def text_of(number: int) -> str:
    words = random.Random(number).choices(VOCABULARY, k=TEXT_WORDS)
    return f"Memory m{number:06d}: {' '.join(words)}"


def query_of(number: int) -> str:
    """Return five words in a row of that memory's text: found by words, by a part of the text, and by its vector."""
    return " ".join(text_of(number).split()[3:8])


class Prepared:
    """An embedder that makes no effort: what the vector of a text is comes from the text's checksum."""

    def __init__(self, base: "np.ndarray[tuple[int, int], np.dtype[np.float32]]", name: str) -> None:
        self._base = base
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    @property
    def dimension(self) -> int:
        return int(self._base.shape[1])

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [self.vector(text) for text in texts]

    def vector(self, text: str) -> list[float]:
        if text == PROBE_TEXT:
            return [float(value) for value in self._base[0]]
        # The day that the index puts before a text is no part of it: a peer is given the same vector.
        seed = zlib.crc32(text[text.find("Memory m") :].encode() if "Memory m" in text else text.encode())
        chance = np.random.default_rng(seed)
        turned = self._base[1 + seed % (len(self._base) - 1)] + chance.normal(0, NOISE, self.dimension)
        return [float(value) for value in turned / np.linalg.norm(turned)]


def real_embedder(models_dir: Path, threads: int = 1) -> FastembedEmbedder:
    return load_embedder(EmbeddingSection(allow_download=False, threads=threads), models_dir)


def make_base(file: Path, count: int = BASE_LEN) -> Prepared:
    """Have the model embed the base texts, and keep the vectors in the file for other processes."""
    with tempfile.TemporaryDirectory() as models_dir:
        embedder = real_embedder(Path(models_dir))
        vectors = embedder.embed([PROBE_TEXT, *(text_of(-number) for number in range(1, count + 1))])
    np.save(file, np.asarray(vectors, dtype=np.float32))
    return load_base(file)


def load_base(file: Path) -> Prepared:
    return Prepared(np.load(file), EmbeddingSection().model)


def fill(data_dir: Path, numbers: range, prepared: Prepared, namespace_of: Callable[[int], str]) -> float:
    """Put the memories into the journal and the index of a data directory that no daemon serves; return seconds.

    The journal's own commits and the index's own engine, in this process and in large batches: what a daemon finds
    afterwards is what it would have made itself, but for the vectors.
    """
    began_s = time.perf_counter()
    options = WorkerOptions(data_dir, QdrantSection(), EmbeddingSection())
    held = acquire(options.lock_path, 5.0)
    engine = IndexEngine(EdgeStore(options.index_dir), Bm25Words(), prepared.name, prepared.dimension)
    try:
        engine.open()
        engine.adopt(prepared)
        asyncio.run(_fill(data_dir, numbers, engine, namespace_of))
    finally:
        engine.close()
        held.close()
    return time.perf_counter() - began_s


async def _fill(data_dir: Path, numbers: range, engine: IndexEngine, namespace_of: Callable[[int], str]) -> None:
    async with open_journal(JournalSection(), data_dir, WallClock()) as journal:
        for start in range(numbers.start, numbers.stop, BATCH):
            batch = range(start, min(start + BATCH, numbers.stop))
            drafts = [_draft(number, namespace_of(number)) for number in batch]
            await asyncio.gather(
                *(journal.commit(drafts[begin : begin + COMMIT]) for begin in range(0, len(drafts), COMMIT))
            )
            entries = await journal.outbox_due(SINK_QDRANT, now_ns=time.time_ns(), limit=2 * BATCH)
            memories = await journal.memories([entry.memory_id for entry in entries])
            engine.upsert([parse_point(point_document(point_of(memory))) for memory in memories])
            await journal.outbox_delivered([entry.id for entry in entries])


def _draft(number: int, namespace: str) -> MemoryDraft:
    return MemoryDraft(
        content=text_of(number),
        key=f"fill-{number}",
        ts_event_ns=TS_NS + number * 1_000_000,
        namespace=Namespace(namespace),
        kind="note",
        tags=("bench",),
        metadata={"number": number},
        provenance=Provenance(agent="bench"),
    )

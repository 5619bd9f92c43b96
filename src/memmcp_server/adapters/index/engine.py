"""One generation of the index: points in, hits out, with whatever model there is. Synchronous.

``generations`` holds one or two of them and sees to it that writes come one at a time; searches may run meanwhile.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby, islice
from pathlib import Path
from typing import Literal, Protocol

from memmcp_server.domain.dates import dates_as_words, spoken_dates
from memmcp_server.domain.identifiers import JsonObject, MemoryId
from memmcp_server.domain.memory import MemoryFilter
from memmcp_server.ports import Embedder, IndexHit

from .conditions import admits, conditions, corpus_of, expires, lacks_vector, of_memories, payload_of, validity_of
from .documents import PointDocument
from .fusion import Fused, Side, fuse
from .payloads import KnownPayloads
from .store import (
    TERMS_MAX,
    Identity,
    NewPoint,
    PointStore,
    Query,
    SparseVector,
    StoreDamaged,
    StoredPoint,
    StoreUnavailable,
)
from .versions import Revalidate, Write, reconcile

PROBE_TEXT = "The quick brown fox bought a token and sold it at a loss."
PROBE_COSINE_MIN = 0.98  # the int8 file against fp32 weights of the same model: 0.998 at worst
SEARCH_DEPTH_MIN = 200
"""Points a side. 100 lost 0.005 of recall at 10 on conversations of 600 turns, 300 gained as much."""
POPULATIONS_MAX = 1_024
POPULATION_DRIFT = 0.2
"""How far the index may have grown or shrunk before a corpus is counted again."""
RECOUNT_S = 30.0
"""How long the number of points is reckoned on: to count takes 80 ns a point. Others may write to a shared server."""
VERSIONS_PAGE = 1_000
REBUILD = "run `memmcp index rebuild`"

ModelState = Literal["loading", "ready", "missing"]
StoreState = Literal["opening", "open", "unreachable", "damaged"]


class NotReady(Exception):
    """The same call may work later; nothing was written."""


class WordVectors(Protocol):
    """Text to sparse vectors: ``qdrant_edge.Bm25`` for both stores, so that they agree on what a word is."""

    def of_document(self, text: str, context: Sequence[str] = ()) -> SparseVector: ...

    def of_query(self, text: str) -> SparseVector: ...


class IndexEngine:
    def __init__(
        self, store: PointStore, words: WordVectors, model: str, dimension: int | None, path: str = ""
    ) -> None:
        self._store = store
        self._words = words
        self._wanted = Identity(model, dimension, path=path)
        self._identity: Identity | None = None
        self._embedder: Embedder | None = None
        self._model_state: ModelState = "loading"
        self._model_detail = "the model is loading"
        self._store_state: StoreState = "opening"
        self._store_detail = "the index is opening"
        self._mismatch = ""
        self._points = 0
        self._counted_s = 0.0
        self._missing = 0
        self._may_expire = True
        self._populations: dict[str, tuple[int, int]] = {}
        self._payloads = KnownPayloads(store.payloads)

    def open(self) -> None:
        """Open the store. Failing is a state, not an error: ``status`` tells it, a later call tries again."""
        try:
            self._identity = self._store.open(self._wanted)
            self._payloads.forget()
            self._store_state, self._store_detail = "open", ""
            self._count()
            self._compare()
        except StoreDamaged as problem:
            self._identity = None
            self._store_state, self._store_detail = "damaged", f"{problem}; {REBUILD}"
        except StoreUnavailable as problem:
            self.suspect(str(problem))

    def suspect(self, reason: str) -> None:
        """Note that the store failed a call; ``open`` should be tried again."""
        self._store_state, self._store_detail = "unreachable", reason

    @property
    def should_open(self) -> bool:
        return self._store_state in {"opening", "unreachable"}

    @property
    def is_up(self) -> bool:
        return self._store_state == "open"

    @property
    def identity(self) -> Identity | None:
        """What the store really holds, None until it was opened."""
        return self._identity

    @property
    def points(self) -> int:
        return self._points

    @property
    def unvectored(self) -> int:
        """Points that were written while no model was there."""
        return self._missing

    @property
    def has_model(self) -> bool:
        return self._usable_embedder() is not None

    @property
    def is_loading(self) -> bool:
        return self._model_state == "loading"

    def adopt(self, embedder: Embedder, path: str = "") -> None:
        """Use this model from now on, if it is the one the index was made with. Raises: StoreUnavailable."""
        self._embedder = embedder
        self._wanted = identity_with(embedder, path)
        self._model_state, self._model_detail = "ready", ""
        self._compare()

    def give_up_model(self, reason: str) -> None:
        self._model_state, self._model_detail = "missing", f"words only: {reason}"

    def vectors_for(self, documents: Sequence[PointDocument]) -> dict[str, tuple[float, ...]]:
        """Return the vectors, by text, that ``upsert`` will need for these; writes nothing, so it may run beside it.

        Raises: NotReady, StoreUnavailable.
        """
        self._require_store()
        self._require_writable(documents)
        embedder = self._usable_embedder()
        if embedder is None or not documents:
            return {}
        stored = {point.id: point for point in self._points_of_memories({each.memory_id for each in documents})}
        lacking = [each for each in documents if _lacks_vector(each, stored.get(each.point_id))]
        texts = list(dict.fromkeys(each.text_dense for each in lacking if each.text_dense is not None))
        return dict(zip(texts, map(tuple, embedder.embed(texts)), strict=True)) if texts else {}

    def upsert(
        self, documents: Sequence[PointDocument], vectors: Mapping[str, tuple[float, ...]] | None = None
    ) -> None:
        """Store the versions durably. ``vectors``: some that were made before, by text.

        Raises: NotReady, StoreUnavailable.
        """
        self._require_store()
        self._require_writable(documents)
        embedder = self._usable_embedder()
        writes: list[Write] = []
        changes: list[Revalidate] = []
        ordered = sorted(documents, key=lambda document: (document.memory_id, document.version))
        stored = self._stored({document.memory_id for document in ordered})
        for memory_id, versions in groupby(ordered, key=lambda document: document.memory_id):
            new, changed = reconcile(list(versions), stored.get(memory_id, []), has_model=embedder is not None)
            writes.extend(new)
            changes.extend(changed)
        points = self._points_of(writes, embedder, stored, vectors or {})
        if points:
            self._store.write(points)
        for change in changes:
            self._store.set_payload(change.point_id, validity_of(change.known_to_ns))
        self._payloads.forget([*(point.id for point in points), *(change.point_id for change in changes)])
        if points or changes:
            self._store.flush()
            self._reckon(
                new=len({point.id for point in points} - {each.id for known in stored.values() for each in known})
            )
            self._may_expire |= any(point.payload["expires_at_ns"] is not None for point in points)
            if self._missing or any(point.payload["dense"] == "missing" for point in points):
                self._missing = self._store.count(lacks_vector())

    def remove(self, memory_ids: Sequence[str]) -> None:
        """Raises: NotReady, StoreUnavailable."""
        self._require_store()
        if memory_ids:
            self._store.remove(of_memories(list(memory_ids)))
            self._payloads.forget()
            self._store.flush()
            self._count()

    def purge(self, *, begin: bool) -> bool:
        """Do a slice of ``PointStore.purge``. Raises: NotReady, StoreUnavailable."""
        self._require_store()
        return self._store.purge(begin=begin)

    def files(self) -> list[Path]:
        """Return the files of the store. Raises: NotReady, StoreUnavailable."""
        self._require_store()
        return self._store.files()

    def clear(self) -> None:
        """Begin anew with the present model, whatever was there. Raises: StoreUnavailable."""
        self._identity = self._store.reset(self._wanted)
        self._payloads.forget()
        self._populations.clear()
        self._store_state, self._store_detail, self._mismatch = "open", "", ""
        self._count()

    def search(self, query: str, where: MemoryFilter, *, limit: int, now_ns: int) -> list[IndexHit]:
        """Raises: NotReady, StoreUnavailable."""
        self._require_store()
        embedder = self._usable_embedder()
        dense = tuple(embedder.embed([query])[0]) if embedder is not None and query.strip() else None
        at_ns = now_ns if where.as_of_ns is None else where.as_of_ns
        spoken = (date.words() for date in spoken_dates(query, at_ns))
        words = self._words.of_query("\n".join([dates_as_words(query), *spoken]))
        asked = Query(
            dense=dense,
            words=words if words.indices else None,
            where=conditions(where, now_ns, may_expire=self._may_expire),
            limit=max(SEARCH_DEPTH_MIN, limit),
            corpus=corpus_of(where),
        )
        if asked.dense is None and asked.words is None:
            return []
        found = self._fused(asked, limit)
        return [_hit(each) for each in found if admits(where, now_ns, each.payload)]

    def _fused(self, asked: Query, count: int) -> list[Fused]:
        answer = self._store.search(asked)
        near = Side(answer.dense, len(answer.dense) == asked.limit) if asked.dense is not None else None
        said = Side(answer.words, len(answer.words) == asked.limit) if asked.words is not None else None
        ideal = self._ideal(asked, answer.idf) if asked.words is not None else 0.0
        return fuse(near, said, ideal=ideal, count=count, payloads=self._payloads.of)

    def _ideal(self, asked: Query, idf: Mapping[int, float]) -> float:
        """Return what a memory would score that says every word of the query once; a word nobody says is the rarest."""
        assert asked.words is not None
        terms = asked.words.indices[:TERMS_MAX]
        rarest = math.log(2 * self._population(asked.corpus) + 2)
        known = sum(idf.get(term, rarest) for term in terms)
        return known * len(asked.words.indices) / len(terms)

    def _population(self, corpus: JsonObject | None) -> int:
        """Return how many points the corpus has, about: counting 100,000 takes as long as the search itself."""
        if corpus is None:
            return self._points
        name = str(corpus)
        counted, points = self._populations.get(name, (0, -1))
        if points < 0 or abs(self._points - points) > POPULATION_DRIFT * points:
            if len(self._populations) >= POPULATIONS_MAX:
                self._populations.clear()
            counted = self._store.count(corpus)
            self._populations[name] = (counted, self._points)
        return counted

    def similar(self, point_id: str, where: MemoryFilter, *, limit: int, now_ns: int) -> list[IndexHit] | None:
        """Return what lies nearest to a point, itself left out; None when it is not there or has no vector.

        Raises: NotReady, StoreUnavailable.
        """
        self._require_store()
        vector = self._store.vector(point_id)
        if vector is None:
            return None
        asked = Query(vector, None, conditions(where, now_ns, may_expire=self._may_expire), limit + 1)
        near = self._fused(asked, limit + 1)
        others = (each for each in near if each.id != point_id and admits(where, now_ns, each.payload))
        # The cosine itself is the score: likeness is not relevance to a question.
        return [replace(_hit(each), score=each.dense or 0.0) for each in islice(others, limit)]

    def status(self) -> JsonObject:
        """Return the document of ``ports.IndexStatus``."""
        details = [self._store_detail, self._model_detail, self._mismatch]
        if self._missing and self._model_state == "ready":
            details.append(f"{self._missing} memories have no vector yet (written while no model was there)")
        return {
            "state": self._state(),
            "backend": self._store.backend,
            "model": self._wanted.model,
            "points": self._points,
            "detail": "; ".join(detail for detail in details if detail),
        }

    def held(self, memory_ids: Sequence[str]) -> list[StoredPoint]:
        """Return every version that is there of the memories. Raises: NotReady, StoreUnavailable."""
        self._require_store()
        return self._points_of_memories(set(memory_ids)) if memory_ids else []

    def page(self, *, after: str | None, limit: int, lacking_vector: bool) -> tuple[list[str], str | None]:
        """Return the memories of the next points, and where to go on (None: these were the last).

        Raises: NotReady, StoreUnavailable.
        """
        self._require_store()
        where = lacks_vector() if lacking_vector else {"must": []}
        found, following = self._store.page(where, after=after, limit=limit)
        return list(dict.fromkeys(str(point.payload["memory_id"]) for point in found)), following

    def close(self) -> None:
        self._store.close()

    def _state(self) -> str:
        if self._store_state in {"unreachable", "damaged"}:
            return "down"
        if self._store_state == "opening" or self._model_state == "loading":
            return "starting"
        return "degraded" if self._mismatch or self._model_state == "missing" else "ready"

    def _compare(self) -> None:
        """Decide whether the index can hold the vectors of the present model."""
        found, wanted = self._identity, self._wanted
        if found is None:
            return
        problem = difference(found, wanted)
        self._mismatch = f"words only: {problem}" if problem else ""
        is_other = problem or found.recipe != wanted.recipe
        if is_other and self._points == 0 and self._embedder is not None:
            self.clear()  # nothing is lost: it was made before the model was known, or has been emptied
        elif not problem and self._embedder is not None and (not found.probe or found.path != wanted.path):
            self._identity = replace(found, probe=wanted.probe, path=wanted.path)
            self._store.write_identity(self._identity)

    def _usable_embedder(self) -> Embedder | None:
        return self._embedder if self._model_state == "ready" and not self._mismatch else None

    def _require_store(self) -> None:
        if self._identity is None:
            raise NotReady(self._store_detail)

    def _require_writable(self, documents: Sequence[PointDocument]) -> None:
        if self._model_state == "loading" and any(document.text_dense is not None for document in documents):
            raise NotReady(self._model_detail)

    def _points_of_memories(self, memory_ids: set[str]) -> list[StoredPoint]:
        found: list[StoredPoint] = []
        after: str | None = None
        while True:
            page, after = self._store.page(of_memories(sorted(memory_ids)), after=after, limit=VERSIONS_PAGE)
            found.extend(page)
            if after is None:
                return found

    def _stored(self, memory_ids: set[str]) -> dict[str, list[StoredPoint]]:
        found: dict[str, list[StoredPoint]] = {}
        for point in self._points_of_memories(memory_ids) if memory_ids else []:
            found.setdefault(str(point.payload["memory_id"]), []).append(point)
        return found

    def _points_of(
        self,
        writes: Sequence[Write],
        embedder: Embedder | None,
        stored: Mapping[str, Sequence[StoredPoint]],
        made: Mapping[str, tuple[float, ...]],
    ) -> list[NewPoint]:
        there = {point.id: point for points in stored.values() for point in points}
        wanted = [each.document for each in writes if each.document.text_dense not in made]
        unchanged = [each for each in wanted if not _lacks_vector(each, there.get(each.point_id))]
        vectors = {**made, **self._kept_vectors(unchanged)}
        texts = list(dict.fromkeys(t for each in wanted if (t := each.text_dense) is not None and t not in vectors))
        if embedder is not None and texts:
            vectors |= zip(texts, map(tuple, embedder.embed(texts)), strict=True)
        points: list[NewPoint] = []
        for write in writes:
            text = write.document.text_dense
            dense = vectors.get(text) if text is not None else None
            says = "no" if text is None else "missing" if dense is None else "yes"
            payload = payload_of(write.document, write.known_to_ns, says)
            words = self._words.of_document(write.document.text_lexical, write.document.context)
            points.append(NewPoint(write.document.point_id, dense, words, payload))
        return points

    def _kept_vectors(self, documents: Sequence[PointDocument]) -> dict[str, tuple[float, ...]]:
        """Return, by text, the vectors of points whose words change but whose embedded text does not."""
        kept: dict[str, tuple[float, ...]] = {}
        for document in documents:
            vector = None if document.text_dense is None else self._store.vector(document.point_id)
            if vector is not None and document.text_dense is not None:
                kept[document.text_dense] = vector
        return kept

    def _reckon(self, *, new: int) -> None:
        """Know how many points there are after a write, counting them only now and then."""
        if time.monotonic() - self._counted_s < RECOUNT_S:
            self._points += new
        else:
            self._points, self._counted_s = self._store.count(), time.monotonic()

    def _count(self) -> None:
        self._points, self._counted_s = self._store.count(), time.monotonic()
        self._missing = self._store.count(lacks_vector()) if self._points else 0
        self._may_expire = bool(self._points and self._store.count(expires()))


def _hit(found: Fused) -> IndexHit:
    payload = found.payload
    previous = payload.get("previous_id")
    return IndexHit(
        memory_id=MemoryId(str(payload["memory_id"])),
        version=int(str(payload["version"])),
        score=found.score,
        dense=found.dense,
        lexical=found.words,
        share=found.share,
        meaning=found.meaning,
        previous_id=MemoryId(previous) if isinstance(previous, str) else None,
    )


def identity_with(embedder: Embedder, path: str) -> Identity:
    """Return the identity of an index that this model makes."""
    return Identity(embedder.name, embedder.dimension, tuple(embedder.embed([PROBE_TEXT])[0]), path=path)


def _lacks_vector(document: PointDocument, point: StoredPoint | None) -> bool:
    """Say whether a vector must be made for the document: its text is to be embedded and was not, or was another."""
    if document.text_dense is None:
        return False
    if point is None or point.payload.get("dense") != "yes":
        return True
    return point.payload.get("dense_print") != document.dense_print


def difference(found: Identity, wanted: Identity) -> str:
    """Return what speaks against using these vectors together, or an empty string."""
    if found.model.lower() != wanted.model.lower():
        return f"the index was made with {found.model}, configured is {wanted.model}"
    if wanted.dimension is not None and found.dimension != wanted.dimension:
        return f"the index holds vectors of {found.dimension} numbers, the model makes {wanted.dimension}"
    if found.probe and wanted.probe:
        cosine = _cosine(found.probe, wanted.probe)
        if cosine < PROBE_COSINE_MIN:
            return f"another model of the same name made the index (cosine of the probe text {cosine:.3f})"
    return ""


def _cosine(left: Sequence[float], right: Sequence[float]) -> float:
    norms = math.sqrt(sum(a * a for a in left)) * math.sqrt(sum(b * b for b in right))
    return sum(a * b for a, b in zip(left, right, strict=True)) / norms if norms > 0 else 0.0

"""PointStore on the embedded engine (qdrant-edge, pinned to 0.9: beta).

The shard is opened by one process only: a second open damages the first, so the worker holds ``index.lock`` before it
makes this store. HNSW is off: exact search takes 19 ms at 100,000 points, building the graph would hold the interpreter
lock for minutes. ``flush`` is the only fsync there is; when it fails the write-ahead log still has everything, so the
shard is closed, loaded and flushed again.
"""

import errno
import logging
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from memmcp_server.domain.identifiers import Json, JsonObject

from .conditions import INTEGER_FIELDS, KEYWORD_FIELDS, PAYLOAD_FIELDS, TENANT_FIELDS, is_current
from .identity_file import read_identity, write_identity
from .shard_copy import ShardCopy, sweep, take_place
from .store import (
    DENSE,
    WORDS,
    Answer,
    Identity,
    Match,
    NewPoint,
    Query,
    SparseVector,
    StoreDamaged,
    StoredPoint,
    StoreUnavailable,
    dense_of,
    idf_of,
    terms_of,
)

HNSW_OFF = 10**9
VACUUM_AFTER_REMOVALS = 5_000
DISK_FULL = f"os error {errno.ENOSPC}"
"""How the engine's messages name it."""

_log = logging.getLogger(__name__)


class EdgeStore:
    """Provides points from one shard under ``directory``. The lock keeps a search off a shard being reopened."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._shard_path = directory / "shard"
        self._identity_path = directory / "identity.json"
        self._lock = threading.Lock()
        self._shard: Any = None
        self._copy: ShardCopy | None = None
        self._removals = 0

    @property
    def backend(self) -> str:
        return "qdrant-edge"

    def open(self, wanted: Identity) -> Identity:
        self.close()
        with _translating():
            self._directory.mkdir(parents=True, exist_ok=True)
            take_place(self._directory)
            sweep(self._directory)
        if self._shard_path.exists():
            try:
                return self._load()
            except StoreDamaged as problem:
                # Only a projection: what is damaged is made anew from the journal (``services.index_health``).
                _log.warning("%s; it is replaced by an empty one", problem)
                return self.reset(wanted)
        return self._create(wanted)

    def _load(self) -> Identity:
        """Raises: StoreDamaged, StoreUnavailable (a full disk is no damage)."""
        identity = read_identity(self._identity_path)
        if identity is None:
            message = "the index has a shard but no identity.json"
            raise StoreDamaged(message)
        try:
            with _translating(panics=True):
                self._shard = edge.EdgeShard.load(str(self._shard_path))
        except StoreUnavailable as problem:
            if DISK_FULL in str(problem):
                raise
            message = f"the shard cannot be opened: {problem}"
            raise StoreDamaged(message) from problem
        return identity

    def write_identity(self, identity: Identity) -> None:
        with _translating():
            write_identity(self._identity_path, identity)

    def find(self, where: JsonObject, limit: int) -> list[StoredPoint]:
        return self.page(where, after=None, limit=limit)[0]

    def page(self, where: JsonObject, *, after: str | None, limit: int) -> tuple[list[StoredPoint], str | None]:
        asked = edge.ScrollRequest(offset=after, limit=limit, filter=_filter(where), with_payload=list(PAYLOAD_FIELDS))
        with self._lock, _translating():
            records, following = self._open_shard().scroll(asked)
        found = [StoredPoint(str(record.id), record.payload or {}) for record in records]
        return found, None if following is None else str(following)

    def write(self, points: Sequence[NewPoint]) -> None:
        current = [_point(point) for point in points if point.payload["known_to_ns"] is None]
        superseded = [_point(point) for point in points if point.payload["known_to_ns"] is not None]
        with self._lock, _translating():
            if current:
                self._update(edge.UpdateOperation.upsert_points(current, condition=_filter(is_current())))
            if superseded:
                self._update(edge.UpdateOperation.upsert_points(superseded))

    def set_payload(self, point_id: str, changes: JsonObject) -> None:
        with self._lock, _translating():
            self._open_shard().update(edge.UpdateOperation.set_payload([point_id], changes))
            self._beside(lambda copy: copy.follow_payload(point_id, changes))

    def remove(self, where: JsonObject) -> None:
        with self._lock, _translating():
            shard, condition = self._open_shard(), _filter(where)
            self._removals += shard.count(edge.CountRequest(exact=True, filter=condition))
            self._update(edge.UpdateOperation.delete_points_by_filter(condition))
            if self._removals >= VACUUM_AFTER_REMOVALS:
                self._removals = 0
                shard.optimize()  # without HNSW this only takes out what was deleted

    def purge(self, *, begin: bool) -> bool:
        if begin:
            self._drop_copy()
        try:
            with _translating():
                if self._copy is None:
                    self._copy = self._copy_begun()
                if not self._copy.copy_slice(self._scroll):
                    return False
                self._copy.complete()
                self._copy = None
                with self._lock:
                    self._open_shard().close()
                    self._shard = None
                    take_place(self._directory)
                    self._shard = edge.EdgeShard.load(str(self._shard_path))
                sweep(self._directory)
        except StoreUnavailable:
            self._drop_copy()
            raise
        return True

    def _copy_begun(self) -> ShardCopy:
        try:
            identity = read_identity(self._identity_path)
        except StoreDamaged as problem:
            raise StoreUnavailable(str(problem)) from problem
        dimension = None if identity is None else identity.dimension
        return ShardCopy(self._directory, lambda path: _made(path, dimension))

    def _scroll(self, asked: Any) -> tuple[Any, Any]:
        with self._lock:
            records, following = self._open_shard().scroll(asked)
        return records, following

    def _update(self, operation: Any) -> None:
        self._open_shard().update(operation)
        self._beside(lambda copy: copy.follow(operation))

    def _beside(self, change: Callable[[ShardCopy], None]) -> None:
        """Make the change in the copy too, while there is one; a copy that fails is given up, which harms no write."""
        if self._copy is not None:
            try:
                with _translating():
                    change(self._copy)
            except StoreUnavailable as problem:
                _log.warning("the copy of the shard is given up: %s", problem)
                self._drop_copy()

    def _drop_copy(self) -> None:
        copy, self._copy = self._copy, None
        if copy is not None:
            with _translating():
                copy.close()

    def files(self) -> list[Path]:
        with _translating():
            return [path for path in sorted(self._directory.rglob("*")) if path.is_file()]

    def flush(self) -> None:
        try:
            with _translating():
                self._open_shard().flush()
        except StoreUnavailable:
            self._reopen()
            with _translating():
                self._open_shard().flush()

    def search(self, query: Query) -> Answer:
        asked: list[Any] = []
        if query.dense is not None:
            asked.append(_request(edge.Query.Nearest(list(query.dense), using=DENSE), query))
        if query.words is not None:
            asked.append(_request(edge.Query.Nearest(_sparse(query.words), using=WORDS), query, _population(query)))
        terms = terms_of(query)
        asked.extend(_term_request(term, query) for term in terms)
        with self._lock, _translating():
            answers = iter(self._open_shard().query_batch(edge.QueryBatchRequest(asked)))
        dense = _matches(next(answers)) if query.dense is not None else []
        words = _matches(next(answers)) if query.words is not None else []
        best = [(term, *_only(found[0])) for term, found in zip(terms, answers, strict=True) if found]
        return Answer(dense, words, idf_of(best))

    def payloads(self, point_ids: Sequence[str]) -> dict[str, Mapping[str, Json]]:
        with self._lock, _translating():
            # All of the payload: to pick fields out of it takes the engine twice as long.
            records = self._open_shard().retrieve(list(point_ids), with_payload=True, with_vector=False)
        return {str(record.id): _kept(record.payload or {}) for record in records}

    def vector(self, point_id: str) -> tuple[float, ...] | None:
        with self._lock, _translating():
            records = self._open_shard().retrieve([point_id], with_payload=False, with_vector=True)
        return dense_of(records[0].vector) if records else None

    def count(self, where: JsonObject | None = None) -> int:
        condition = None if where is None else _filter(where)
        with self._lock, _translating():
            return int(self._open_shard().count(edge.CountRequest(exact=True, filter=condition)))

    def reset(self, identity: Identity) -> Identity:
        self.close()
        with _translating():
            take_place(self._directory)
            sweep(self._directory)
            if self._shard_path.exists():
                shutil.rmtree(self._shard_path)
        return self._create(identity)

    def close(self) -> None:
        self._drop_copy()
        with self._lock:
            shard, self._shard = self._shard, None
            if shard is not None:
                with _translating():
                    shard.close()

    def _create(self, identity: Identity) -> Identity:
        """Make the shard aside and rename it, so that a crash leaves either none or a whole one."""
        draft, begun = self._directory / "shard.new", identity.begun()
        with _translating():
            write_identity(self._identity_path, begun)
            if draft.exists():
                shutil.rmtree(draft)
            draft.mkdir()
            _made(draft, identity.dimension).close()
            draft.replace(self._shard_path)
            self._shard = edge.EdgeShard.load(str(self._shard_path))
        return begun

    def _reopen(self) -> None:
        self.close()
        with self._lock, _translating():
            self._shard = edge.EdgeShard.load(str(self._shard_path))

    def _open_shard(self) -> Any:
        if self._shard is None:
            message = "the shard is not open"
            raise StoreUnavailable(message)
        return self._shard


class _translating:  # noqa: N801 - reads as what it does
    """Turn the engine's errors into StoreUnavailable. It raises bare Exception: that very class, and no child of it,
    is translated here (and OSError, from the files beside the shard). ``panics``: also those of its native code, which
    elsewhere end the process, since nobody knows what they left behind.
    """

    def __init__(self, *, panics: bool = False) -> None:
        self._panics = panics

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: object) -> None:
        is_panic = self._panics and kind is not None and kind.__name__ == "PanicException"
        if is_panic or kind is Exception or (kind is not None and issubclass(kind, OSError)):
            raise StoreUnavailable(str(problem)) from problem


def _made(path: Path, dimension: int | None) -> Any:
    """Return a new, empty shard in an empty directory."""
    shard = edge.EdgeShard.create(str(path), _configuration(dimension))
    for field in KEYWORD_FIELDS:
        keyword = edge.KeywordIndexParams(is_tenant=field in TENANT_FIELDS)
        shard.update(edge.UpdateOperation.create_field_index(field, keyword))
    for field in INTEGER_FIELDS:
        shard.update(edge.UpdateOperation.create_field_index(field, edge.PayloadSchemaType.Integer))
    shard.flush()
    return shard


def _configuration(dimension: int | None) -> Any:
    dense = {} if dimension is None else {DENSE: edge.EdgeVectorParams(size=dimension, distance=edge.Distance.Cosine)}
    return edge.EdgeConfig(
        vectors=dense,
        sparse_vectors={WORDS: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=HNSW_OFF),
    )


def _request(nearest: Any, query: Query, params: Any = None) -> Any:
    return edge.QueryRequest(
        limit=query.limit, query=nearest, filter=_filter(query.where), with_payload=False, params=params
    )


def _term_request(term: int, query: Query) -> Any:
    return edge.QueryRequest(
        limit=1,
        query=edge.Query.Nearest(edge.SparseVector([term], [1.0]), using=WORDS),
        filter=None if query.corpus is None else _filter(query.corpus),
        with_payload=False,
        with_vector=[WORDS],
        params=_population(query),
    )


def _kept(payload: Mapping[str, Json]) -> dict[str, Json]:
    return {name: payload.get(name) for name in PAYLOAD_FIELDS}


def _population(query: Query) -> Any:
    """Return what makes a word's rarity that within the query's corpus."""
    if query.corpus is None:
        return None
    return edge.SearchParams(idf=edge.IdfParams(corpus=_filter(query.corpus)))


def _matches(answer: Any) -> list[Match]:
    return [Match(str(point.id), float(point.score)) for point in answer]


def _only(point: Any) -> tuple[float, SparseVector]:
    words = point.vector[WORDS]
    return float(point.score), SparseVector(tuple(words.indices), tuple(words.values))


def _point(point: NewPoint) -> Any:
    vectors: dict[str, Any] = {WORDS: _sparse(point.words)}
    if point.dense is not None:
        vectors[DENSE] = list(point.dense)
    return edge.Point(point.id, vectors, dict(point.payload))


def _sparse(vector: SparseVector) -> Any:
    return edge.SparseVector(list(vector.indices), list(vector.values))


def _filter(where: JsonObject) -> Any:
    return edge.Filter(must=_conditions(where.get("must", [])), must_not=_conditions(where.get("must_not", [])))


def _conditions(parts: Json) -> list[Any]:
    assert isinstance(parts, list)
    return [_condition(part) for part in parts if isinstance(part, dict)]


def _condition(part: Mapping[str, Json]) -> Any:
    key, match, bounds = part["key"], part.get("match"), part.get("range")
    assert isinstance(key, str)
    if isinstance(bounds, dict):
        return edge.FieldCondition(key, range=edge.RangeFloat(**{name: _float(to) for name, to in bounds.items()}))
    assert isinstance(match, dict)
    if "any" in match:
        return edge.FieldCondition(key, match=edge.MatchAny(_strings(match["any"])))
    value = match["value"]
    assert isinstance(value, str)  # the engine matches no booleans: 0 of 3 in a trial
    return edge.FieldCondition(key, match=edge.MatchValue(value))


def _float(value: Json) -> float:
    assert isinstance(value, int)
    return float(value)


def _strings(values: Json) -> list[str]:
    assert isinstance(values, list)
    return [value for value in values if isinstance(value, str)]

"""PointStore on a Qdrant server, or on the client's own in-memory engine (``:memory:``, for tests).

Imported only when an address is configured: the client's import takes over a second.
"""

import logging
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException

from memmcp_server.config import QdrantSection
from memmcp_server.domain.identifiers import Json, JsonObject

from .conditions import PAYLOAD_FIELDS, is_current
from .identity_file import document_of, identity_of
from .server_settings import CollectionSettings, missing
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

IN_MEMORY = ":memory:"
VERSION_MIN = (1, 19)
"""Of the server: the first that judges how rare a word is within a namespace alone, as every search asks."""

MEASURED_EVERY = 10_000
"""Points that are written between two looks at how many there are."""

_log = logging.getLogger(__name__)


class Connection:
    """Provides one client to every collection. Calls to the in-memory engine, which knows no threads, take turns; to a
    server they do not, so that no search waits for a write."""

    def __init__(self, section: QdrantSection) -> None:
        if section.url is None:
            message = "qdrant.url is not set"
            raise ValueError(message)
        self._section = section
        self.settings = CollectionSettings(section)
        self._url = section.url
        self._lock = threading.Lock()
        self._client: QdrantClient | None = None

    @property
    def is_in_memory(self) -> bool:
        return self._url == IN_MEMORY

    @contextmanager
    def client(self, *, connect: bool = False) -> Iterator[QdrantClient]:
        """Lend the client; ``connect`` makes it where there is none yet. Raises: StoreUnavailable."""
        with _translating():
            if self.is_in_memory:
                with self._lock:
                    yield self._lent(connect=connect)
                return
            with self._lock:
                client = self._lent(connect=connect)
            yield client

    def _lent(self, *, connect: bool) -> QdrantClient:
        if self._client is None:
            if not connect:
                message = f"{self._url} has not been reached yet"
                raise StoreUnavailable(message)
            self._client = self._connect()
        return self._client

    def close(self) -> None:
        with self._lock, _translating():
            client, self._client = self._client, None
            if client is not None:
                client.close()

    def _connect(self) -> QdrantClient:
        if self.is_in_memory:
            return QdrantClient(IN_MEMORY)
        key = self._section.api_key.get_secret_value() if self._section.api_key is not None else None
        timeout_s = max(1, round(self._section.timeout_s))
        client = QdrantClient(url=self._url, api_key=key, timeout=timeout_s, check_compatibility=False)
        try:
            version = client.info().version
        except (ApiException, QdrantException):
            client.close()
            raise
        if _numbers(version) < VERSION_MIN:
            least = ".".join(map(str, VERSION_MIN))
            _log.warning("the server is Qdrant %s; with one before %s words are judged amiss", version[:40], least)
        return client


class ClientStore:
    """Provides points from one collection. Closing it leaves the connection to the other collections."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._settings = connection.settings
        self._name = name
        self._unmeasured = 0

    @property
    def backend(self) -> str:
        return "qdrant-memory" if self._connection.is_in_memory else "qdrant-server"

    def open(self, wanted: Identity) -> Identity:
        with self._connection.client(connect=True) as client:
            if client.collection_exists(self._name):
                found = client.get_collection(self._name)
                identity = _known_identity(found.config.metadata or {})
                self._bring_up(client, found)
                return identity
            return self._create(client, wanted)

    def write_identity(self, identity: Identity) -> None:
        with self._ready() as client:
            client.update_collection(self._name, metadata={"memmcp": document_of(identity)})

    def find(self, where: JsonObject, limit: int) -> list[StoredPoint]:
        return self.page(where, after=None, limit=limit)[0]

    def page(self, where: JsonObject, *, after: str | None, limit: int) -> tuple[list[StoredPoint], str | None]:
        with self._ready() as client:
            records, following = client.scroll(
                self._name,
                scroll_filter=_filter(where),
                limit=limit,
                offset=after,
                with_payload=list(PAYLOAD_FIELDS),
                consistency=self._settings.consistency,
            )
        found = [StoredPoint(str(record.id), record.payload or {}) for record in records]
        return found, None if following is None else str(following)

    def write(self, points: Sequence[NewPoint]) -> None:
        current = [_point(point) for point in points if point.payload["known_to_ns"] is None]
        superseded = [_point(point) for point in points if point.payload["known_to_ns"] is not None]
        ordering = self._settings.ordering
        with self._ready() as client:
            if current:
                # Whichever comes second decides, so replicas must not see the two in different orders.
                client.upsert(self._name, current, wait=True, ordering=ordering, update_filter=_filter(is_current()))
            if superseded:
                client.upsert(self._name, superseded, wait=True, ordering=ordering)
        self._unmeasured += len(points)
        if self._unmeasured >= MEASURED_EVERY and not self._connection.is_in_memory:
            self._measure()

    def set_payload(self, point_id: str, changes: JsonObject) -> None:
        with self._ready() as client:
            client.set_payload(
                self._name, payload=dict(changes), points=[point_id], wait=True, ordering=self._settings.ordering
            )

    def remove(self, where: JsonObject) -> None:
        with self._ready() as client:
            selector = models.FilterSelector(filter=_filter(where))
            client.delete(self._name, points_selector=selector, wait=True, ordering=self._settings.ordering)

    def flush(self) -> None:
        """Nothing to do: the server answers a waiting write when its log has it."""

    def search(self, query: Query) -> Answer:
        asked: list[models.QueryRequest] = []
        if query.dense is not None:
            asked.append(_request(list(query.dense), DENSE, query, self._dense_search()))
        if query.words is not None:
            asked.append(_request(_sparse(query.words), WORDS, query, _population(query)))
        terms = terms_of(query)
        asked.extend(_term_request(term, query) for term in terms)
        with self._ready() as client:
            answers = iter(client.query_batch_points(self._name, asked, consistency=self._settings.consistency))
        dense = _matches(next(answers)) if query.dense is not None else []
        words = _matches(next(answers)) if query.words is not None else []
        best = [(term, *_only(found.points[0])) for term, found in zip(terms, answers, strict=True) if found.points]
        return Answer(dense, words, idf_of(best))

    def payloads(self, point_ids: Sequence[str]) -> dict[str, Mapping[str, Json]]:
        with self._ready() as client:
            records = client.retrieve(
                self._name,
                list(point_ids),
                with_payload=list(PAYLOAD_FIELDS),
                consistency=self._settings.consistency,
            )
        return {str(record.id): record.payload or {} for record in records}

    def vector(self, point_id: str) -> tuple[float, ...] | None:
        with self._ready() as client:
            records = client.retrieve(self._name, [point_id], with_payload=False, with_vectors=[DENSE])
        return dense_of(records[0].vector) if records else None

    def count(self, where: JsonObject | None = None) -> int:
        with self._ready() as client:
            return client.count(self._name, count_filter=None if where is None else _filter(where), exact=True).count

    def purge(self, *, begin: bool) -> bool:
        """Nothing more than what ``remove`` asked for: the interface of a server has no word for its files."""
        with self._ready():
            return True

    def files(self) -> list[Path]:
        return []

    def reset(self, identity: Identity) -> Identity:
        with self._connection.client(connect=True) as client:
            client.delete_collection(self._name)
            return self._create(client, identity)

    def close(self) -> None:
        """Nothing to do: a collection is not held open."""

    def _dense_search(self) -> models.SearchParams | None:
        # The in-memory engine compares exactly, and warns about any other wish.
        return None if self._connection.is_in_memory else self._settings.dense_search()

    def _ready(self) -> AbstractContextManager[QdrantClient]:
        return self._connection.client()

    def _create(self, client: QdrantClient, wanted: Identity) -> Identity:
        identity = wanted.begun()
        creation = self._settings.creation(identity.dimension)
        client.create_collection(self._name, **creation, metadata={"memmcp": document_of(identity)})
        if not self._connection.is_in_memory:  # its engine ignores payload indexes, and warns about it
            for field, index in self._settings.indexes().items():
                client.create_payload_index(self._name, field, index, wait=True)
        return identity

    def _bring_up(self, client: QdrantClient, found: models.CollectionInfo) -> None:
        """Give a collection that was made earlier what it lacks. It is searched meanwhile, and whatever a server does
        not take is no reason to go without it."""
        if self._connection.is_in_memory:
            return
        if said := self._settings.lacks_shards(found.config):
            _log.warning("collection %s: %s", self._name, said)
        indexes = self._settings.indexes()
        with self._trying("its settings"):
            for field in missing(list(indexes), found.payload_schema):
                client.create_payload_index(self._name, field, indexes[field], wait=False)
            if changes := self._settings.changes(found.config):
                client.update_collection(self._name, **changes)
        self._shrink(client, found)

    def _measure(self) -> None:
        self._unmeasured = 0
        with self._trying("its size"), self._ready() as client:
            self._shrink(client, client.get_collection(self._name))

    def _shrink(self, client: QdrantClient, found: models.CollectionInfo) -> None:
        points = found.points_count or 0
        small = self._settings.quantization(points, found.config)
        if small is None:
            return
        with self._trying("int8 vectors"):
            client.update_collection(self._name, quantization_config=small)
            _log.info("collection %s has %d points: its vectors are kept as int8 from now on", self._name, points)

    @contextmanager
    def _trying(self, what: str) -> Iterator[None]:
        """What was stored stays stored: a server that refuses this is tried again at the next occasion."""
        try:
            yield
        except (ApiException, QdrantException, ValueError, StoreUnavailable) as problem:
            _log.warning("collection %s goes on without %s: %s", self._name, what, _first_line(problem))


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except (ApiException, QdrantException, OSError, ValueError, RuntimeError) as problem:
        raise StoreUnavailable(_first_line(problem)) from problem


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _first_line(problem: Exception) -> str:
    text = str(problem).strip() or type(problem).__name__
    return text.splitlines()[0][:300]


def _known_identity(metadata: dict[str, Any]) -> Identity:
    try:
        return identity_of(metadata.get("memmcp"))
    except StoreDamaged as problem:
        message = "the collection was not made by memMCP; name another one in qdrant.collection"
        raise StoreDamaged(message) from problem


def _request(query: Any, using: str, asked: Query, params: models.SearchParams | None = None) -> models.QueryRequest:
    return models.QueryRequest(
        query=query,
        using=using,
        filter=_filter(asked.where),
        limit=asked.limit,
        with_payload=False,
        params=params,
    )


def _term_request(term: int, asked: Query) -> models.QueryRequest:
    return models.QueryRequest(
        query=models.SparseVector(indices=[term], values=[1.0]),
        using=WORDS,
        filter=None if asked.corpus is None else _filter(asked.corpus),
        limit=1,
        with_payload=False,
        with_vector=[WORDS],
        params=_population(asked),
    )


def _population(asked: Query) -> models.SearchParams | None:
    """Return what makes a word's rarity that within the query's corpus."""
    if asked.corpus is None:
        return None
    return models.SearchParams(idf=models.IdfCorpusParams(corpus=_filter(asked.corpus)))


def _matches(answer: models.QueryResponse) -> list[Match]:
    return [Match(str(point.id), float(point.score)) for point in answer.points]


def _only(point: models.ScoredPoint) -> tuple[float, SparseVector]:
    vectors = point.vector
    words = vectors[WORDS] if isinstance(vectors, dict) else None
    if not isinstance(words, models.SparseVector):
        message = "the collection's answer lacks the words it was asked for"
        raise StoreUnavailable(message)
    return float(point.score), SparseVector(tuple(words.indices), tuple(words.values))


def _point(point: NewPoint) -> models.PointStruct:
    vectors: dict[str, Any] = {WORDS: _sparse(point.words)}
    if point.dense is not None:
        vectors[DENSE] = list(point.dense)
    return models.PointStruct(id=point.id, vector=vectors, payload=dict(point.payload))


def _sparse(vector: SparseVector) -> models.SparseVector:
    return models.SparseVector(indices=list(vector.indices), values=list(vector.values))


def _filter(where: JsonObject) -> models.Filter:
    return models.Filter.model_validate(where)

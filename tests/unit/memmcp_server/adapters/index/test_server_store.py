"""The index on a Qdrant server: what arrives there, over the real client and a socket, and how it lives through changes
of settings and of the model.
"""

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from tests.doubles.hash_embedder import HashEmbedder
from tests.doubles.memories import T0_NS, a_memory
from tests.doubles.qdrant_server import KEY, QdrantServer, running_qdrant

from memmcp_server.adapters.index import client_store
from memmcp_server.adapters.index.catalogue import ClientCatalogue
from memmcp_server.adapters.index.client_store import Connection
from memmcp_server.adapters.index.conditions import INTEGER_FIELDS, KEYWORD_FIELDS
from memmcp_server.adapters.index.documents import PointDocument, parse_point, point_document
from memmcp_server.adapters.index.engine import NotReady
from memmcp_server.adapters.index.generations import LINGER_S, Generations
from memmcp_server.adapters.index.store import Identity, StoreUnavailable
from memmcp_server.adapters.index.texts import point_of
from memmcp_server.adapters.index.word_vectors import Bm25Words
from memmcp_server.config import QdrantSection
from memmcp_server.domain.memory import Memory, MemoryFilter
from memmcp_server.ports import Embedder

OLD = HashEmbedder(16, "double/old")
NEW = HashEmbedder(24, "double/new", salt="new")
MEMORIES = (a_memory("a", "alpha kangaroo"), a_memory("b", "bravo kangaroo"))
WORDS = Bm25Words()
EVERYTHING: dict[str, Any] = {
    "shards": 6,
    "replicas": 3,
    "write_consistency": 2,
    "write_ordering": "strong",
    "read_consistency": "majority",
    "on_disk": ("vectors", "words", "graph", "payload", "payload_indexes"),
    "quantize_from": 500,
    "hnsw_m": 24,
    "hnsw_payload_m": 16,
    "hnsw_ef_construct": 200,
    "hnsw_ef": 96,
}


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def server() -> Iterator[QdrantServer]:
    with running_qdrant() as server:
        yield server


class Daemon:
    """An index worker's inside, on a server."""

    def __init__(self, server: QdrantServer, embedder: Embedder = OLD, **settings: Any) -> None:
        section = QdrantSection(url=server.url, api_key=SecretStr(KEY), timeout_s=5, **settings)
        self.clock = Clock()
        catalogue = ClientCatalogue(Connection(section), section.collection)
        self.index = Generations(catalogue, WORDS, Identity(embedder.name, embedder.dimension), self.clock)
        self.index.open()
        self.index.adopt(embedder)

    def found(self, query: str = "kangaroo") -> set[str]:
        hits = self.index.search("active", query, MemoryFilter(), limit=10, now_ns=T0_NS)
        return {hit.memory_id for hit in hits}

    def poll(self) -> None:
        """As the worker does every few seconds."""
        if self.index.should_open:
            self.index.open()


@pytest.fixture(autouse=True)
def _key_over_http() -> Iterator[None]:
    with pytest.warns(UserWarning, match="Api key is used with an insecure connection"):
        yield


def documents(*memories: Memory) -> list[PointDocument]:
    return [parse_point(point_document(point_of(memory))) for memory in memories]


def changed(server: QdrantServer) -> list[dict[str, Any]]:
    """Return the changes of settings that the collection was asked to make."""
    return [each.body for each in server.asked("PATCH", "/collections/memmcp") if "metadata" not in each.body]


def collections(server: QdrantServer) -> set[str]:
    return {each.name for each in server.engine.get_collections().collections}


@pytest.mark.requirement("Q5")
def test_every_setting_arrives_at_the_server_as_it_documents_it(server: QdrantServer) -> None:
    daemon = Daemon(server, **EVERYTHING)
    daemon.index.upsert(documents(*MEMORIES))
    assert daemon.found() == {"a", "b"}

    [made] = [each.body for each in server.asked("PUT", "/collections/memmcp")]
    assert made.pop("metadata")["memmcp"]["model"] == "double/old"
    assert made == {
        "vectors": {"dense": {"size": 16, "distance": "Cosine", "on_disk": True}},
        "sparse_vectors": {"words": {"modifier": "idf", "index": {"on_disk": True}}},
        "shard_number": 6,
        "replication_factor": 3,
        "write_consistency_factor": 2,
        "on_disk_payload": True,
        "hnsw_config": {"m": 24, "payload_m": 16, "ef_construct": 200, "on_disk": True},
    }
    [written] = server.asked("PUT", "/collections/memmcp/points")
    assert written.query == {"wait": "true", "ordering": "strong"}
    asked = server.asked("POST", "/points/query/batch")[-1]
    assert asked.query == {"consistency": "majority"}
    dense = next(each for each in asked.body["searches"] if each["using"] == "dense")
    assert dense["params"] == {"hnsw_ef": 96, "quantization": {"rescore": True, "oversampling": 2.0}}


def test_what_is_not_set_is_left_to_the_server(server: QdrantServer) -> None:
    Daemon(server)

    [made] = [each.body for each in server.asked("PUT", "/collections/memmcp")]
    del made["metadata"]
    assert made == {
        "vectors": {"dense": {"size": 16, "distance": "Cosine"}},
        "sparse_vectors": {"words": {"modifier": "idf"}},
    }


@pytest.mark.requirement("Q5")
def test_the_pointer_to_the_generations_lies_on_as_many_peers_as_the_points(server: QdrantServer) -> None:
    daemon = Daemon(server, replicas=3, write_consistency=2)

    daemon.index.begin()

    [made] = [each.body for each in server.asked("PUT", "/collections/memmcp-generations")]
    assert (made["replication_factor"], made["write_consistency_factor"]) == (3, 2)


@pytest.mark.requirement("Q5")
def test_every_filtered_field_has_a_payload_index_and_the_namespaces_are_tenants(server: QdrantServer) -> None:
    server.refuse["PUT", "/index"] = 503
    Daemon(server)  # its collection is made, and none of the indexes
    assert server.schema["memmcp"] == {}
    server.refuse.clear()

    Daemon(server, on_disk=("payload_indexes",))

    there = server.schema["memmcp"]
    assert set(there) == {*KEYWORD_FIELDS, *INTEGER_FIELDS}
    assert there["namespace"] == {"type": "keyword", "is_tenant": True, "on_disk": True}
    assert there["current"] == {"type": "keyword", "is_tenant": True, "on_disk": True}
    assert there["kind"] == {"type": "keyword", "on_disk": True}
    assert there["ts_event_us"] == {"type": "integer", "on_disk": True}
    before = len(server.asked("PUT", "/index"))
    Daemon(server)
    assert len(server.asked("PUT", "/index")) == before


@pytest.mark.requirement("Q5")
def test_other_settings_change_the_collection_that_is_there_once(
    server: QdrantServer, caplog: pytest.LogCaptureFixture
) -> None:
    Daemon(server).index.upsert(documents(*MEMORIES))

    with caplog.at_level(logging.WARNING):
        assert Daemon(server, **EVERYTHING).found() == {"a", "b"}

    assert changed(server) == [
        {
            "params": {"replication_factor": 3, "write_consistency_factor": 2},
            "vectors": {"dense": {"on_disk": True}},
            "sparse_vectors": {"words": {"modifier": "idf", "index": {"on_disk": True}}},
            "hnsw_config": {"m": 24, "payload_m": 16, "ef_construct": 200, "on_disk": True},
        }
    ]
    assert "qdrant.shards is 6: `memmcp index rebuild`" in caplog.text
    again = Daemon(server, **EVERYTHING)
    assert len(changed(server)) == 1

    again.index.begin()
    [made] = [each.body for each in server.asked("PUT", "/collections/memmcp-gen-2")]
    assert made["shard_number"] == 6


@pytest.mark.requirement("Q5")
def test_a_large_collection_keeps_its_vectors_as_int8(server: QdrantServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_store, "MEASURED_EVERY", 2)
    daemon = Daemon(server, quantize_from=500)
    server.points_told = 499
    daemon.index.upsert(documents(*MEMORIES))
    assert changed(server) == []

    server.points_told = 500
    server.refuse["PATCH", "/collections/memmcp"] = 500
    daemon.index.upsert(documents(a_memory("c", "cold"), a_memory("d", "dull")))  # what it refuses costs no write
    server.refuse.clear()
    daemon.index.upsert(documents(a_memory("e", "east"), a_memory("f", "far")))
    daemon.index.upsert(documents(a_memory("g", "good"), a_memory("h", "high")))
    Daemon(server, quantize_from=500)

    assert changed(server) == 2 * [
        {"quantization_config": {"scalar": {"type": "int8", "quantile": 0.99, "always_ram": True}}}
    ]
    assert daemon.found() >= {"a", "b"}


def test_no_size_is_large_where_int8_is_not_wanted(server: QdrantServer) -> None:
    Daemon(server, quantize_from=0)
    server.points_told = 10**9

    daemon = Daemon(server, quantize_from=0)

    assert changed(server) == []
    daemon.found()
    searches = server.asked("POST", "/points/query/batch")[-1].body["searches"]
    assert all("quantization" not in (each.get("params") or {}) for each in searches)


@pytest.mark.requirement("Q5")
def test_a_search_does_not_wait_for_a_write(server: QdrantServer) -> None:
    daemon = Daemon(server)
    daemon.index.upsert(documents(*MEMORIES))
    server.writes_may_go.clear()
    late = threading.Thread(target=lambda: daemon.index.upsert(documents(a_memory("c", "charlie kangaroo"))))
    late.start()

    assert daemon.found() == {"a", "b"}

    assert late.is_alive()
    server.writes_may_go.set()
    late.join(5)
    assert daemon.found() == {"a", "b", "c"}


@pytest.mark.requirement("Q5")
def test_another_model_or_more_shards_come_without_a_search_that_fails_on_any_daemon(server: QdrantServer) -> None:
    first, second = Daemon(server, NEW), Daemon(server, NEW)
    first.index.upsert(documents(*MEMORIES))
    ended, failures, answers = threading.Event(), list[str](), [0, 0]

    def search(number: int, daemon: Daemon) -> None:
        while not ended.is_set():
            try:
                if not daemon.found() >= {"a", "b"}:
                    failures.append("not all was found")
            except (NotReady, StoreUnavailable) as problem:
                failures.append(repr(problem))
            answers[number] += 1

    def more() -> None:
        """Have both search on."""
        before = list(answers)
        pause = threading.Event()
        while not failures and (answers[0] < before[0] + 3 or answers[1] < before[1] + 3):
            pause.wait(0.005)

    threads = [threading.Thread(target=search, args=pair) for pair in enumerate((first, second))]
    for thread in threads:
        thread.start()
    try:
        first.index.begin()
        first.index.fill(documents(*MEMORIES))
        more()
        first.index.switch()
        first.index.upsert(documents(a_memory("d", "delta kangaroo")))
        more()
        assert second.found() == {"a", "b", "d"}  # it has not seen the switch yet
        assert collections(server) == {"memmcp", "memmcp-gen-2", "memmcp-generations"}
        second.poll()
        assert second.found() == {"a", "b", "d"}
        first.clock.now_s += LINGER_S
        first.poll()
        assert collections(server) == {"memmcp-gen-2", "memmcp-generations"}
        more()
    finally:
        ended.set()
        for thread in threads:
            thread.join(5)
    assert failures == []
    assert not first.index.should_open


@pytest.mark.parametrize(("version", "is_told"), [("1.18.4", True), ("1.19.0", False), ("2.0.0-dev", False)])
def test_a_server_that_is_too_old_is_told_of(
    server: QdrantServer, caplog: pytest.LogCaptureFixture, version: str, is_told: bool
) -> None:
    server.version = version
    Daemon(server)
    assert (f"is Qdrant {version}; with one before 1.19" in caplog.text) is is_told


def test_more_confirmations_than_replicas_are_refused_by_name(server: QdrantServer) -> None:
    Daemon(server)
    with pytest.raises(ValidationError, match="write_consistency is 3; it is at most replicas, which is 2"):
        QdrantSection(replicas=2, write_consistency=3)

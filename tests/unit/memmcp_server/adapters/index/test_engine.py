"""The engine on a real embedded shard: which model's vectors it holds, and what it does with a damaged shard."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.doubles.hash_embedder import HashEmbedder
from tests.doubles.memories import T0_NS, a_memory

from memmcp_server.adapters.index.conditions import payload_of
from memmcp_server.adapters.index.documents import PointDocument, parse_point, point_document
from memmcp_server.adapters.index.edge_store import EdgeStore
from memmcp_server.adapters.index.engine import IndexEngine, NotReady
from memmcp_server.adapters.index.store import (
    RECIPE,
    TERMS_MAX,
    Identity,
    NewPoint,
    StoreDamaged,
    StoreUnavailable,
)
from memmcp_server.adapters.index.texts import point_of
from memmcp_server.adapters.index.word_vectors import Bm25Words
from memmcp_server.domain.identifiers import JsonObject, Namespace
from memmcp_server.domain.memory import Memory, MemoryFilter
from memmcp_server.ports import Embedder, IndexHit

ANY = MemoryFilter()


class CountingEmbedder(HashEmbedder):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def embed(self, texts: list[str]) -> list[list[float]]:  # type: ignore[override]
        self.texts.extend(texts)
        return super().embed(texts)


class Desk:
    """Opens and closes engines on one directory, as restarts of the worker do."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._open: list[IndexEngine] = []

    def engine(self, embedder: Embedder | None = None, model: str = "double/hash") -> IndexEngine:
        self.close()
        dimension = None if embedder is None else embedder.dimension
        engine = IndexEngine(EdgeStore(self.directory), Bm25Words(), model, dimension)
        engine.open()
        if embedder is not None:
            engine.adopt(embedder)
        self._open.append(engine)
        return engine

    def close(self) -> None:
        while self._open:
            self._open.pop().close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "index")
    yield desk
    desk.close()


def documents(*memories: Memory) -> list[PointDocument]:
    return [parse_point(point_document(point_of(memory))) for memory in memories]


def hits(engine: IndexEngine, query: str, where: MemoryFilter = ANY) -> list[IndexHit]:
    return engine.search(query, where, limit=10, now_ns=T0_NS)


def state(engine: IndexEngine) -> tuple[object, object]:
    status = engine.status()
    return status["state"], status["detail"]


def test_what_is_written_survives_a_restart_with_the_identity_of_its_model(desk: Desk) -> None:
    desk.engine(HashEmbedder()).upsert(documents(a_memory("m", "five SOL")))

    again = desk.engine(HashEmbedder())

    assert state(again) == ("ready", "")
    assert [hit.memory_id for hit in hits(again, "five SOL")] == ["m"]
    identity = json.loads((desk.directory / "identity.json").read_text("utf-8"))
    assert (identity["model"], identity["dimension"], len(identity["probe"])) == ("double/hash", 64, 64)
    assert (identity["recipe"], len(identity["token"])) == (RECIPE, 32)


def test_another_model_of_the_same_name_is_found_out_by_the_probe_text(desk: Desk) -> None:
    desk.engine(HashEmbedder()).upsert(documents(a_memory("m", "five SOL")))

    other = desk.engine(HashEmbedder(salt="other weights"))

    assert other.status()["state"] == "degraded"
    assert "another model of the same name" in str(other.status()["detail"])
    assert [hit.dense for hit in hits(other, "five SOL")] == [None]
    other.upsert(documents(a_memory("n", "six SOL")))  # what is new is found by its words meanwhile
    assert [hit.memory_id for hit in hits(other, "six")] == ["n"]


def test_another_dimension_is_refused_until_the_index_is_cleared(desk: Desk) -> None:
    desk.engine(HashEmbedder(64)).upsert(documents(a_memory("m", "five SOL")))

    wider = desk.engine(HashEmbedder(96))
    assert "vectors of 64 numbers, the model makes 96" in str(wider.status()["detail"])
    wider.clear()

    assert state(wider) == ("ready", "")
    wider.upsert(documents(a_memory("m", "five SOL")))
    assert [hit.memory_id for hit in hits(wider, "SOL")] == ["m"]


def test_an_empty_index_takes_the_model_that_comes(desk: Desk) -> None:
    desk.engine(HashEmbedder(64))

    assert state(desk.engine(HashEmbedder(96))) == ("ready", "")


def test_while_the_model_loads_only_texts_that_need_none_are_taken(desk: Desk) -> None:
    engine = desk.engine()

    with pytest.raises(NotReady, match="loading"):
        engine.upsert(documents(a_memory("m", "five SOL")))
    engine.upsert(documents(a_memory("s", "step", embed=False)))

    assert engine.status()["state"] == "starting"
    assert [hit.memory_id for hit in hits(engine, "step")] == ["s"]


def test_a_version_that_is_there_is_not_embedded_again(desk: Desk) -> None:
    embedder = CountingEmbedder()
    engine = desk.engine(embedder)
    engine.upsert(documents(a_memory("m", "five SOL")))
    embedder.texts.clear()

    engine.upsert(documents(a_memory("m", "five SOL", superseded_at_ns=T0_NS + 9)))

    assert embedder.texts == []
    assert hits(engine, "five SOL") == []
    assert [hit.version for hit in hits(engine, "five SOL", MemoryFilter(as_of_ns=T0_NS + 8))] == [1]


def test_a_version_whose_words_are_made_differently_is_written_anew_and_keeps_its_vector(desk: Desk) -> None:
    embedder = CountingEmbedder()
    engine = desk.engine(embedder)
    memory = a_memory("m", "five SOL")
    engine.upsert(documents(memory))
    embedder.texts.clear()

    engine.upsert([parse_point(point_document(point_of(memory, [a_memory("before", "the desk was paused")])))])

    assert embedder.texts == []
    assert hits(engine, "paused")[0].lexical is not None
    assert hits(engine, "five SOL")[0].dense == pytest.approx(0.8, abs=0.2)
    assert engine.status()["points"] == 1


def test_a_version_whose_words_change_while_no_model_is_there_keeps_its_vector(desk: Desk) -> None:
    desk.engine(HashEmbedder()).upsert(documents(a_memory("m", "five SOL")))
    engine = desk.engine(model="double/hash")
    engine.give_up_model("gone")

    engine.upsert(
        [parse_point(point_document(point_of(a_memory("m", "five SOL"), [a_memory("before", "the desk was paused")])))]
    )

    again = desk.engine(HashEmbedder())
    assert again.unvectored == 0
    assert hits(again, "five SOL")[0].dense is not None


@pytest.mark.parametrize("damage", ["segments", "identity", "identity-missing", "config", "panic"])
def test_a_damaged_shard_is_replaced_by_an_empty_one(desk: Desk, damage: str) -> None:
    desk.engine(HashEmbedder()).upsert(documents(a_memory("m", "five SOL")))
    desk.close()
    shard = desk.directory / "shard"
    match damage:
        case "segments":
            shutil.rmtree(shard / "segments")
            (shard / "segments").write_text("not a directory", encoding="utf-8")
        case "identity":
            (desk.directory / "identity.json").write_text('{"format": 1', encoding="utf-8")
        case "identity-missing":
            (desk.directory / "identity.json").unlink()
        case "config":
            (shard / "edge_config.json").write_text("{", encoding="utf-8")
        case "panic":  # the engine's native code ends in a panic over such a file
            statuses = list(shard.glob("segments/*/vector_storage-dense/deleted/status.dat"))
            assert statuses
            for status in statuses:
                os.truncate(status, 8)

    engine = desk.engine(HashEmbedder())

    assert state(engine) == ("ready", "")
    assert engine.status()["points"] == 0
    assert hits(engine, "five SOL") == []
    engine.upsert(documents(a_memory("m", "five SOL")))
    assert state(engine) == ("ready", "")
    assert [hit.memory_id for hit in hits(desk.engine(HashEmbedder()), "SOL")] == ["m"]


def test_a_half_made_shard_is_made_again(desk: Desk) -> None:
    (desk.directory / "shard.new").mkdir(parents=True)
    (desk.directory / "shard.new" / "rest").touch()

    assert state(desk.engine(HashEmbedder())) == ("ready", "")


def test_a_directory_that_cannot_be_made_is_a_state_and_tried_again(desk: Desk) -> None:
    desk.directory.write_text("in the way", encoding="utf-8")
    engine = desk.engine()

    assert engine.status()["state"] == "down"
    assert engine.should_open
    desk.directory.unlink()
    engine.open()
    assert not engine.should_open
    assert engine.status()["state"] == "starting"


def test_a_point_that_is_current_never_replaces_one_that_is_superseded(tmp_path: Path) -> None:
    """The store's own guard, for the day when two daemons write to one server."""
    engine = IndexEngine(store := EdgeStore(tmp_path), Bm25Words(), "double/hash", 64)
    engine.open()
    engine.adopt(HashEmbedder())
    [ended] = documents(a_memory("m", "five SOL", superseded_at_ns=T0_NS + 9))
    engine.upsert([ended])
    words = Bm25Words().of_document("five SOL")

    store.write([NewPoint(ended.point_id, None, words, payload_of(ended, None, "no"))])

    assert store.find({"must": []}, 5)[0].payload["known_to_ns"] == T0_NS + 9
    engine.close()


def test_a_closed_store_says_unavailable(tmp_path: Path) -> None:
    store = EdgeStore(tmp_path)

    with pytest.raises(StoreUnavailable):
        store.count()


def talk(*memories: Memory) -> list[PointDocument]:
    """The memories as turns of one thread, each with what stands before it."""
    points = [point_of(memory, memories[:place][::-1]) for place, memory in enumerate(memories)]
    return [parse_point(point_document(point)) for point in points]


def test_a_turn_is_found_by_what_it_answers_and_says_what_stands_before_it(desk: Desk) -> None:
    engine = desk.engine()
    engine.give_up_model("none here")
    engine.upsert(talk(a_memory("q", "Ada: Who joined you in Lisbon?"), a_memory("a", "Bo: My sister, for a week.")))

    found = {hit.memory_id: hit for hit in hits(engine, "Lisbon")}

    assert found["q"].score > found["a"].score > 0
    assert (found["q"].previous_id, found["a"].previous_id) == (None, "q")
    assert hits(engine, "Ada")[0].memory_id == "q"
    assert [hit.memory_id for hit in hits(engine, "Ada")] == ["q"]


def test_words_that_nobody_says_count_as_missed(desk: Desk) -> None:
    engine = desk.engine(HashEmbedder())
    engine.upsert(documents(*(a_memory(f"m{number}", f"pool depth report {number}") for number in range(20))))

    asked = hits(engine, "pool depth report 4")[0]
    unknown = hits(engine, "zebra crossing quarrel pool")[0]

    assert (asked.memory_id, asked.share) == ("m4", 1.0)
    assert unknown.share is not None
    assert unknown.share < 0.2


def test_a_word_is_rare_or_common_within_its_namespace(desk: Desk) -> None:
    engine = desk.engine(HashEmbedder())
    many = [a_memory(f"o{number}", "slippage", namespace=Namespace("other")) for number in range(30)]
    few = [a_memory(f"m{number}", f"report {number}") for number in range(10)]
    engine.upsert(documents(*many, *few, a_memory("x", "slippage report"), a_memory("y", "slippage of a report")))

    where = MemoryFilter(namespace="default")
    lexical = {hit.memory_id: hit.lexical or 0.0 for hit in hits(engine, "slippage", where)}
    everywhere = {hit.memory_id: hit.lexical or 0.0 for hit in engine.search("slippage", ANY, limit=60, now_ns=T0_NS)}

    assert lexical["x"] > 2 * everywhere["x"]


def test_yesterday_in_a_text_and_in_a_query_is_a_date(desk: Desk) -> None:
    engine = desk.engine()
    engine.give_up_model("none here")
    engine.upsert(documents(a_memory("said", "I saw it yesterday"), a_memory("other", "I saw it once")))

    day_before = "13 November 2023"  # T0 is 14 November 2023
    assert hits(engine, day_before)[0].memory_id == "said"
    assert hits(engine, "what happened yesterday?")[0].memory_id == "said"


def test_a_query_longer_than_the_words_whose_rarity_is_asked_is_judged_by_those(desk: Desk) -> None:
    engine = desk.engine(HashEmbedder())
    text = " ".join(f"word{number}" for number in range(3 * TERMS_MAX))
    engine.upsert(documents(a_memory("m", text), a_memory("n", "something else")))

    best = hits(engine, text)[0]

    assert best.memory_id == "m"
    assert 0 < best.score <= 1


def test_an_index_of_the_first_version_says_that_it_was_made_with_the_first_recipe(desk: Desk) -> None:
    desk.engine(HashEmbedder()).upsert(documents(a_memory("m", "five SOL")))
    path = desk.directory / "identity.json"
    document = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({name: document[name] for name in ("format", "model", "dimension", "probe")}), "utf-8")

    engine = desk.engine(HashEmbedder())

    assert engine.identity is not None
    assert (engine.identity.recipe, engine.identity.token) == (1, "")
    assert state(engine) == ("ready", "")


class CountingStore(EdgeStore):
    counts = 0

    def count(self, where: JsonObject | None = None) -> int:
        self.counts += where is None
        return super().count(where)


def test_the_points_are_known_after_each_write_without_counting_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CountingStore(tmp_path / "index")
    engine = IndexEngine(store, Bm25Words(), "double/hash", None)
    engine.open()
    engine.adopt(HashEmbedder())
    try:
        opened = store.counts
        for number in range(20):
            engine.upsert(documents(a_memory(f"m{number}", "new"), a_memory(f"m{number // 2}", "known")))
            assert engine.points == EdgeStore.count(store)
        assert store.counts == opened

        monkeypatch.setattr("memmcp_server.adapters.index.engine.RECOUNT_S", 0.0)
        [others] = documents(a_memory("theirs", "written by another daemon"))
        words = Bm25Words().of_document("written by another daemon")
        store.write([NewPoint(others.point_id, None, words, payload_of(others, None, "no"))])
        engine.upsert(documents(a_memory("mine", "the last")))
        assert engine.points == EdgeStore.count(store) == 22
    finally:
        engine.close()


class DamagedStore(EdgeStore):
    """A store that cannot mend itself, such as a collection of others on a server."""

    def open(self, wanted: Identity) -> Identity:
        raise StoreDamaged(f"not made for {wanted.model}")


def test_a_store_that_stays_damaged_is_a_state_that_a_rebuild_repairs(tmp_path: Path) -> None:
    engine = IndexEngine(DamagedStore(tmp_path), Bm25Words(), HashEmbedder().name, HashEmbedder().dimension)
    engine.open()
    engine.adopt(HashEmbedder())

    assert engine.status()["state"] == "down"
    assert "index rebuild" in str(engine.status()["detail"])
    assert not engine.should_open
    with pytest.raises(NotReady):
        hits(engine, "five SOL")
    engine.clear()
    engine.upsert(documents(a_memory("m", "five SOL")))
    assert state(engine) == ("ready", "")


def test_a_full_disk_is_no_damage(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.engine(HashEmbedder()).upsert(documents(a_memory("m", "five SOL")))
    desk.close()

    def fail(_path: str) -> None:
        raise Exception("IO Error: No space left on device (os error 28)")

    with monkeypatch.context() as full:
        full.setattr("qdrant_edge.EdgeShard.load", fail)
        engine = desk.engine(HashEmbedder())
        assert engine.status()["state"] == "down"
        assert engine.should_open
    engine.open()
    assert [hit.memory_id for hit in hits(engine, "SOL")] == ["m"]


def test_what_came_later_changes_no_score_of_a_search_as_of_then(desk: Desk) -> None:
    engine = desk.engine(HashEmbedder())
    engine.upsert(documents(a_memory("m", "pool report"), a_memory("n", "wallet report")))
    then = MemoryFilter(as_of_ns=T0_NS + 5_000)
    before = hits(engine, "pool quarrel", then)

    later = [a_memory(f"l{number}", "pool quarrel", known_at_ns=T0_NS + 9_000, seq=2) for number in range(9)]
    engine.upsert(documents(*later))

    assert [hit.memory_id for hit in before] == ["m", "n"]
    assert hits(engine, "pool quarrel", then) == before
    assert len(hits(engine, "pool quarrel")) == 10

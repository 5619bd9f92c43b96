"""Two generations of one index, embedded and over the Qdrant client: which is searched, and what a crash leaves."""

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models
from tests.doubles.hash_embedder import HashEmbedder
from tests.doubles.memories import T0_NS, a_memory
from tests.support.memory_disk import memory_directory

from memmcp_server.adapters.index.catalogue import Catalogue, ClientCatalogue, EdgeCatalogue, Pointer
from memmcp_server.adapters.index.client_store import Connection
from memmcp_server.adapters.index.documents import PointDocument, parse_point, point_document, point_id_of
from memmcp_server.adapters.index.engine import NotReady
from memmcp_server.adapters.index.generations import Generations, Which
from memmcp_server.adapters.index.store import Identity
from memmcp_server.adapters.index.texts import point_of
from memmcp_server.adapters.index.word_vectors import Bm25Words
from memmcp_server.config import QdrantSection
from memmcp_server.domain.memory import Memory, MemoryFilter
from memmcp_server.ports import Embedder

ANY = MemoryFilter()
OLD = HashEmbedder(64, "double/old")
NEW = HashEmbedder(96, "double/new", salt="new")
MEMORIES = (a_memory("a", "alpha kangaroo"), a_memory("b", "bravo kangaroo"), a_memory("c", "charlie wombat"))


class Place:
    """Where generations live across restarts of the worker."""

    def __init__(self, directory: Path, kind: str) -> None:
        self.directory = directory
        self.is_edge = kind == "edge"
        self.connection = Connection(QdrantSection(url=":memory:", collection="memmcp"))
        self._open: list[Generations] = []

    def catalogue(self) -> Catalogue:
        if self.is_edge:
            return EdgeCatalogue(self.directory)
        catalogue = ClientCatalogue(self.connection, "memmcp")
        catalogue.close = lambda: None  # type: ignore[method-assign]  # in memory all would be gone
        return catalogue

    def start(self, embedder: Embedder, *, loaded: bool = True) -> Generations:
        """Begin as a new worker does; ``loaded`` false: the configured model is still on its way."""
        self.crash()
        generations = Generations(self.catalogue(), Bm25Words(), Identity(embedder.name, embedder.dimension))
        generations.open()
        if loaded:
            generations.adopt(embedder)
        self._open.append(generations)
        return generations

    def crash(self) -> None:
        """Let go of everything. What is kept then is only what a killed worker would have kept: nothing is flushed
        here that was not flushed before.
        """
        while self._open:
            self._open.pop().close()

    def numbers(self) -> set[int]:
        """Which generations are there."""
        if self.is_edge:
            found = {int(path.name[4:]) for path in self.directory.glob("gen-*")}
            return found | ({1} if (self.directory / "shard").exists() else set())
        with self.connection.client(connect=True) as client:
            names = {each.name for each in client.get_collections().collections}
        return {n for n in range(1, 20) if ("memmcp" if n == 1 else f"memmcp-gen-{n}") in names}


@pytest.fixture
def disk() -> Iterator[Path]:
    with memory_directory() as directory:
        yield directory


@pytest.fixture(params=["edge", "client"])
def place(request: pytest.FixtureRequest, disk: Path) -> Iterator[Place]:
    place = Place(disk / "index", request.param)
    yield place
    place.crash()


def documents(*memories: Memory) -> list[PointDocument]:
    return [parse_point(point_document(point_of(memory))) for memory in memories]


def found(generations: Generations, query: str, which: Which = "active") -> dict[str, bool]:
    """Return the memories that were found by their words, with whether the model found them too."""
    hits = generations.search(which, query, ANY, limit=10, now_ns=T0_NS)
    return {hit.memory_id: hit.dense is not None for hit in hits if hit.lexical is not None}


def status(generations: Generations) -> dict[str, Any]:
    return dict(generations.status())


def filled(place: Place) -> Generations:
    """An index made with the old model, opened with the new one."""
    place.start(OLD).upsert(documents(*MEMORIES))
    return place.start(NEW)


@pytest.mark.requirement("M9")
def test_another_model_is_told_and_the_old_one_serves_until_the_switch(place: Place) -> None:
    generations = filled(place)
    assert "made with double/old, configured is double/new" in status(generations)["wants"]
    wanted = generations.old_model()
    assert wanted is not None
    assert (wanted.model, wanted.dimension) == ("double/old", 64)

    generations.adopt_old(OLD)
    assert generations.old_model() is None
    assert (status(generations)["state"], status(generations)["model"]) == ("ready", "double/old")
    generations.begin()
    generations.fill(documents(*MEMORIES[:2]))
    generations.upsert(documents(a_memory("d", "delta kangaroo")))

    assert found(generations, "kangaroo") == {"a": True, "b": True, "d": True}
    assert found(generations, "kangaroo", "next") == {"a": True, "b": True, "d": True}
    assert found(generations, "wombat", "next") == {}
    generations.switch()
    after = status(generations)
    assert (after["generation"], after["next"], after["model"], after["wants"]) == (2, None, "double/new", "")
    assert found(generations, "kangaroo") == {"a": True, "b": True, "d": True}
    assert place.numbers() == {2}

    again = place.start(NEW)
    assert (status(again)["generation"], status(again)["points"]) == (2, 3)
    assert found(again, "kangaroo") == {"a": True, "b": True, "d": True}


def test_without_the_old_model_its_words_serve_and_new_memories_are_not_lost(place: Place) -> None:
    generations = filled(place)

    generations.adopt_old(None, "double/old is not at hand")
    generations.begin()
    generations.upsert(documents(a_memory("d", "delta kangaroo")))

    assert status(generations)["state"] == "degraded"
    assert "double/old is not at hand" in status(generations)["detail"]
    assert status(generations)["unvectored"] == 0  # nothing could be done about it here
    assert found(generations, "kangaroo") == {"a": False, "b": False, "d": False}
    assert found(generations, "kangaroo", "next") == {"d": True}


def test_an_old_model_that_makes_other_vectors_now_is_not_used(place: Place) -> None:
    generations = filled(place)

    generations.adopt_old(HashEmbedder(64, "double/old", salt="other weights"))

    assert status(generations)["state"] == "degraded"
    assert found(generations, "kangaroo") == {"a": False, "b": False}


@pytest.mark.requirement("M9")
def test_a_removal_reaches_both_generations(place: Place) -> None:
    generations = filled(place)
    generations.adopt_old(OLD)
    generations.begin()
    generations.fill(documents(*MEMORIES))

    generations.remove(["a"])

    assert set(found(generations, "kangaroo")) == set(found(generations, "kangaroo", "next")) == {"b"}
    with pytest.raises(NotReady):
        place.start(NEW, loaded=False).begin()


@pytest.mark.requirement("M9")
def test_a_filling_goes_on_after_a_crash_where_it_was(place: Place) -> None:
    generations = filled(place)
    generations.begin()
    generations.fill(documents(*MEMORIES[:1]))
    token = status(generations)["next"]["token"]

    again = place.start(NEW)
    again.begin()

    assert (status(again)["next"]["token"], status(again)["next"]["points"]) == (token, 1)
    again.fill(documents(*MEMORIES))
    again.switch()
    assert set(found(again, "kangaroo")) == {"a", "b"}


def test_a_next_generation_that_nothing_was_made_of_yet_is_made_at_the_next_start(place: Place) -> None:
    generations = filled(place)
    catalogue = place.catalogue()
    catalogue.write(Pointer(1, 2, 2))  # killed right after the pointer was moved
    del generations

    again = place.start(NEW)

    assert status(again)["next"]["points"] == 0
    again.fill(documents(*MEMORIES))
    again.switch()
    assert set(found(again, "wombat")) == {"c"}


def test_what_a_crash_after_the_switch_left_behind_is_removed(place: Place) -> None:
    generations = filled(place)
    generations.begin()
    generations.fill(documents(*MEMORIES))
    place.crash()
    place.catalogue().write(Pointer(2, None, 2))  # killed before the old one was removed
    assert place.numbers() == {1, 2}

    again = place.start(NEW)

    assert place.numbers() == {2}
    assert set(found(again, "kangaroo")) == {"a", "b"}
    again.begin()
    assert status(again)["next"]["generation"] == 3  # a number is never given twice


def test_a_generation_begun_for_a_model_that_is_not_wanted_any_more_is_given_up(place: Place) -> None:
    generations = filled(place)
    generations.begin()
    generations.fill(documents(*MEMORIES))

    back = place.start(OLD)

    assert (status(back)["next"], status(back)["wants"], status(back)["state"]) == (None, "", "ready")
    assert place.numbers() == {1}
    assert found(back, "kangaroo") == {"a": True, "b": True}


def test_giving_up_leaves_the_searched_generation_and_takes_no_number_twice(place: Place) -> None:
    generations = filled(place)
    generations.begin()

    generations.abandon()

    assert place.numbers() == {1}
    with pytest.raises(NotReady, match="no other generation"):
        generations.switch()
    with pytest.raises(NotReady, match="no other generation"):
        generations.fill(documents(*MEMORIES))
    generations.begin()
    assert status(generations)["next"]["generation"] == 3


@pytest.mark.requirement("M9")
def test_an_older_recipe_of_texts_is_told_and_searched_meanwhile(place: Place) -> None:
    generations = place.start(OLD)
    generations.upsert(documents(*MEMORIES))
    store = place.catalogue().store(1)
    if place.is_edge:
        path = place.directory / "identity.json"
        path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "recipe": 1}), "utf-8")
    else:
        store.write_identity(replace(store.open(Identity("x", 1)), recipe=1))

    again = place.start(OLD)

    assert "text recipe 1" in status(again)["wants"]
    assert found(again, "kangaroo") == {"a": True, "b": True}
    again.begin()
    again.fill(documents(*MEMORIES))
    again.switch()
    assert status(again)["wants"] == ""


def test_a_live_write_does_not_wait_for_the_model_that_fills(place: Place) -> None:
    class SlowEmbedder(HashEmbedder):
        """Runs until it is let go once a text of the filling has come."""

        def __init__(self) -> None:
            super().__init__(96, "double/new")
            self.began, self.let_go = threading.Event(), threading.Event()

        def embed(self, texts: Any) -> list[list[float]]:
            if any("wombat" in text for text in texts):
                self.began.set()
                assert self.let_go.wait(10)
            return super().embed(texts)

    slow = SlowEmbedder()
    place.start(OLD).upsert(documents(*MEMORIES))
    generations = place.start(slow)
    generations.adopt_old(OLD)
    generations.begin()
    filling = threading.Thread(target=generations.fill, args=(documents(MEMORIES[2]),))
    filling.start()
    assert slow.began.wait(10)

    generations.upsert(documents(a_memory("live", "live kangaroo")))
    generations.remove(["a"])

    assert set(found(generations, "kangaroo")) == {"b", "live"}
    slow.let_go.set()
    filling.join(10)
    assert set(found(generations, "wombat", "next")) == {"c"}


def test_a_generation_that_is_gone_by_the_time_its_vectors_are_made_takes_nothing(place: Place) -> None:
    generations = filled(place)
    generations.begin()

    class Abandoning(HashEmbedder):
        def embed(self, texts: Any) -> list[list[float]]:
            if any("kangaroo" in text for text in texts):
                threading.Thread(target=generations.abandon).start()
                while status(generations)["next"] is not None:
                    pass
            return super().embed(texts)

    generations.adopt(Abandoning(96, "double/new", salt="new"))
    generations._next.adopt(Abandoning(96, "double/new", salt="new"))  # type: ignore[union-attr]

    with pytest.raises(NotReady, match="is gone"):
        generations.fill(documents(*MEMORIES))
    assert status(generations)["state"] != "down"


def test_searches_go_on_through_a_switch(place: Place) -> None:
    generations = filled(place)
    generations.adopt_old(OLD)
    generations.begin()
    generations.fill(documents(*MEMORIES))
    ended, wrong = threading.Event(), []

    def search() -> None:
        while not ended.is_set():
            if set(found(generations, "kangaroo")) != {"a", "b"}:
                wrong.append("not all were found")

    searching = threading.Thread(target=search)
    searching.start()
    generations.switch()
    generations.begin()
    generations.abandon()
    ended.set()
    searching.join(10)

    assert wrong == []
    assert status(generations)["state"] == "ready"


def test_a_status_is_never_half_of_one_generation_and_half_of_another(place: Place) -> None:
    generations = filled(place)
    generations.adopt_old(OLD)
    ended, seen = threading.Event(), set()

    def look() -> None:
        while not ended.is_set():
            said = status(generations)
            seen.add((said["generation"], said["model"], said["next"] is not None and said["next"]["generation"]))

    looking = threading.Thread(target=look)
    looking.start()
    generations.begin()
    generations.fill(documents(*MEMORIES))
    generations.switch()
    generations.begin()
    generations.abandon()
    ended.set()
    looking.join(10)

    assert seen <= {
        (1, "double/old", False),
        (1, "double/old", 2),
        (2, "double/new", False),
        (2, "double/new", 3),
    }


def test_an_emptied_next_generation_has_another_token(disk: Path) -> None:
    place = Place(disk / "index", "edge")
    generations = filled(place)
    generations.begin()
    generations.fill(documents(*MEMORIES))
    token = status(generations)["next"]["token"]
    place.crash()
    shutil.rmtree(disk / "index" / "gen-2" / "shard" / "segments")
    (disk / "index" / "gen-2" / "shard" / "segments").touch()

    again = place.start(NEW)

    assert status(again)["next"]["points"] == 0
    assert status(again)["next"]["token"] != token
    place.crash()


@pytest.mark.parametrize(
    "text", ["", "{", '{"format": 1}', '{"format": 9, "active": 2, "next": null, "last": 2}', "[]"]
)
def test_a_damaged_pointer_leaves_the_older_generation_searched(disk: Path, text: str) -> None:
    place = Place(disk / "index", "edge")
    generations = filled(place)
    generations.begin()
    place.crash()
    (disk / "index" / "generations.json").write_text(text, "utf-8")

    again = place.start(OLD)

    assert (status(again)["generation"], status(again)["next"]) == (1, None)
    assert found(again, "kangaroo") == {"a": True, "b": True}
    again.begin()
    assert status(again)["next"]["generation"] == 3
    place.crash()


def test_a_directory_that_belongs_to_nobody_is_not_touched(disk: Path) -> None:
    place = Place(disk / "index", "edge")
    place.start(OLD).upsert(documents(*MEMORIES))
    for name in ("gen-x", "gen-02", "gen-"):
        (disk / "index" / name).mkdir()

    place.start(OLD)

    assert {path.name for path in (disk / "index").iterdir()} >= {"gen-x", "gen-02", "gen-"}
    place.crash()


def test_a_collection_of_somebody_else_is_neither_used_nor_removed() -> None:
    connection = Connection(QdrantSection(url=":memory:", collection="memmcp"))
    with connection.client(connect=True) as client:
        client.create_collection("memmcp", vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT))
        client.create_collection("memmcp-gen-7", vectors_config={}, metadata={"theirs": 1})
    generations = Generations(ClientCatalogue(connection, "memmcp"), Bm25Words(), Identity("double/new", 96))
    generations.open()
    generations.adopt(NEW)
    assert (status(generations)["state"], generations.should_open) == ("down", False)

    generations.begin()
    generations.fill(documents(*MEMORIES))
    generations.switch()

    assert set(found(generations, "kangaroo")) == {"a", "b"}
    with connection.client() as client:
        names = {each.name for each in client.get_collections().collections}
    assert names == {"memmcp", "memmcp-gen-2", "memmcp-gen-7", "memmcp-generations"}


class SharedCatalogue(ClientCatalogue):
    """As on a server that several daemons use."""

    @property
    def is_shared(self) -> bool:
        return True

    def close(self) -> None:
        """The other daemons go on."""


def test_a_second_daemon_follows_the_generations_that_the_first_one_makes() -> None:
    connection = Connection(QdrantSection(url=":memory:", collection="memmcp"))

    def daemon() -> Generations:
        configured = Identity(NEW.name, NEW.dimension)
        generations = Generations(SharedCatalogue(connection, "memmcp"), Bm25Words(), configured)
        generations.open()
        generations.adopt(NEW)
        return generations

    first, second = daemon(), daemon()
    first.upsert(documents(*MEMORIES))
    assert not second.should_open
    first.begin()
    assert second.should_open
    second.open()
    assert status(second)["next"]["token"] == status(first)["next"]["token"]

    second.upsert(documents(a_memory("d", "delta kangaroo")))
    first.fill(documents(*MEMORIES))
    first.switch()
    assert set(found(second, "kangaroo")) == {"a", "b", "d"}  # the old one stays until all have followed
    second.open()

    assert set(found(second, "kangaroo")) == set(found(first, "kangaroo")) == {"a", "b", "d"}
    assert (status(second)["state"], status(second)["generation"]) == ("ready", 2)
    assert not second.should_open


def purged(generations: Generations) -> None:
    begin = True
    while not generations.purge(begin=begin):
        begin = False


def residues(generations: Generations, *memory_ids: str) -> object:
    return generations.residues([point_id_of(memory_id, 1) for memory_id in memory_ids])["residues"]


@pytest.mark.requirement("M8")
def test_a_purge_goes_through_both_generations(place: Place) -> None:
    generations = filled(place)
    generations.begin()
    generations.fill(documents(*MEMORIES))
    generations.remove(["a"])
    assert residues(generations, "a") == (1 if place.is_edge else 0)
    purged(generations)
    assert residues(generations, "a") == 0
    assert residues(generations, "b") == (1 if place.is_edge else 0)
    assert set(found(generations, "kangaroo")) == set(found(generations, "kangaroo", "next")) == {"b"}
    generations.switch()
    purged(generations)
    assert set(found(generations, "kangaroo")) == {"b"}


@pytest.mark.requirement("M8")
def test_what_was_removed_while_a_generation_is_filled_is_not_filled_in_again(place: Place) -> None:
    generations = filled(place)
    generations.begin()
    late = documents(*MEMORIES)  # read from the journal before one of them was forgotten
    generations.remove(["a"])
    generations.fill(late)
    assert set(found(generations, "kangaroo", "next")) == {"b"}
    assert generations.residues([point_id_of("a", 1)])["residues"] == (1 if place.is_edge else 0)  # the first had it
    generations.abandon()
    generations.begin()
    generations.fill(late)
    assert set(found(generations, "kangaroo", "next")) == {"a", "b"}


@pytest.mark.requirement("M8")
def test_what_a_purge_left_behind_goes_with_its_generation(place: Place) -> None:
    generations = filled(place)
    generations.begin()
    generations.fill(documents(*MEMORIES))
    if place.is_edge:
        (place.directory / "shard.old").mkdir()
    generations.switch()
    assert not (place.directory / "shard.old").exists()
    assert place.numbers() == {2}

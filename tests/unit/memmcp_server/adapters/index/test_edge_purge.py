"""A shard made anew: nothing of removed points is in the files, whatever is written meanwhile and wherever it dies."""

import math
import shutil
import struct
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.memory_disk import memory_directory

from memmcp_server.adapters.index import shard_copy
from memmcp_server.adapters.index.conditions import FOREVER_US, of_memories, validity_of
from memmcp_server.adapters.index.edge_store import EdgeStore
from memmcp_server.adapters.index.residues import residues_of
from memmcp_server.adapters.index.store import Identity, NewPoint, Query, SparseVector, StoreUnavailable

pytestmark = pytest.mark.requirement("M8")
IDENTITY = Identity("model", 4)
GONE, KEPT = b"tag-that-goes", b"tag-that-stays"


def point_id(number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))


def a_point(number: int, tag: bytes = KEPT, known_to_ns: int | None = None) -> NewPoint:
    payload = {
        "memory_id": f"m{number}",
        "version": 1,
        "tags": [tag.decode()],
        "namespace": ["default"],
        **({"known_to_us": FOREVER_US, "known_to_ns": None} if known_to_ns is None else validity_of(known_to_ns)),
    }
    dense = (1.0, number / 100, 0.5, 0.25)
    words = SparseVector((7, 1_000 + number), (1 + number / 1_000, 2.0))  # no two score alike
    return NewPoint(point_id(number), dense, words, payload)


@pytest.fixture
def disk() -> Iterator[Path]:
    with memory_directory() as directory:
        yield directory


@pytest.fixture
def store(disk: Path) -> EdgeStore:
    """A shard with points that were removed (odd numbers) and others (even ones)."""
    store = EdgeStore(disk)
    store.open(IDENTITY)
    store.write([a_point(number, GONE if number % 2 else KEPT) for number in range(200)])
    store.flush()
    store.remove(of_memories([f"m{number}" for number in range(1, 200, 2)]))
    store.flush()
    return store


def holding(store: EdgeStore, *pieces: bytes) -> list[str]:
    """Return the files that hold any of the pieces."""

    def holds(path: Path) -> bool:
        data = path.read_bytes()
        return any(piece in data for piece in pieces)

    return [path.name for path in store.files() if holds(path)]


def purged(store: EdgeStore) -> None:
    while not store.purge(begin=False):
        pass


def vector_of(number: int) -> bytes:
    """Return the dense vector as the engine keeps it: of length one, four bytes a number."""
    numbers = (1.0, number / 100, 0.5, 0.25)
    length = math.sqrt(sum(each * each for each in numbers))
    return struct.pack("<4f", *(each / length for each in numbers))


def test_removed_points_stay_in_the_files_until_a_purge(store: EdgeStore) -> None:
    removed = [point_id(number) for number in range(1, 200, 2)]
    assert len(holding(store, GONE)) >= 3  # payload, its index, the log: this is what the purge is for
    assert residues_of(store.files(), removed)["residues"] == 100
    assert holding(store, *(vector_of(number)[:12] for number in (1, 99, 199)))
    purged(store)
    assert holding(store, GONE) == []
    assert residues_of(store.files(), removed)["residues"] == 0
    assert holding(store, *(vector_of(number)[:12] for number in (1, 99, 199))) == []
    assert holding(store, *(vector_of(number)[:12] for number in (0, 100, 198)))
    assert len(holding(store, KEPT)) >= 3
    assert residues_of(store.files(), [point_id(0)])["residues"] == 1
    assert store.count() == 100


def test_a_purge_changes_the_order_of_no_answer(store: EdgeStore) -> None:
    query = Query((0.5, 0.5, 0.5, 0.5), SparseVector((7, 1_004), (1.0, 1.0)), {"must": []}, 10)
    before = store.search(query)
    purged(store)
    after = store.search(query)
    for then, now in ((before.dense, after.dense), (before.words, after.words)):
        assert [match.id for match in then] == [match.id for match in now]
        assert store.payloads([match.id for match in now])
    # Scores of words are others: the engine counts removed points among those that do not hold a word.
    assert [match.score for match in before.dense] == pytest.approx([match.score for match in after.dense], abs=1e-5)


def test_what_is_written_between_two_slices_is_in_the_new_shard(
    store: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_copy, "SLICE_S", 0.0)
    monkeypatch.setattr(shard_copy, "POINTS_AT_ONCE", 10)
    assert not store.purge(begin=True)
    order = [point.id for point in store.find({"must": []}, 200)]
    numbers = {point_id(number): number for number in range(200)}
    copied, later = numbers[order[0]], numbers[order[-1]]
    for number in (copied, later):
        store.set_payload(point_id(number), validity_of(9_000))
    store.write([a_point(500), a_point(copied)])  # the second is current: it may not replace one that has ended
    store.remove(of_memories([f"m{numbers[order[1]]}", f"m{numbers[order[-2]]}"]))
    store.flush()
    purged(store)
    assert store.count() == 99
    found = {point.payload["memory_id"]: point for point in store.find({"must": []}, 200)}
    assert found[f"m{copied}"].payload["known_to_ns"] == 9_000
    assert found[f"m{later}"].payload["known_to_ns"] == 9_000
    assert "m500" in found
    assert store.count({"must": [{"key": "known_to_us", "range": {"gte": FOREVER_US}}]}) == 97


def test_a_copy_that_was_begun_before_a_removal_is_begun_again(
    store: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_copy, "SLICE_S", 0.0)
    assert not store.purge(begin=True)
    store.write([a_point(700, b"tag-in-between")])
    store.remove(of_memories(["m700"]))
    assert not store.purge(begin=True)
    purged(store)
    assert holding(store, b"tag-in-between") == []


@pytest.mark.parametrize("died_at", ["copying", "complete", "half replaced"])
def test_a_crash_leaves_a_whole_shard(store: EdgeStore, disk: Path, died_at: str) -> None:
    purged(store)
    store.close()
    shard = disk / "shard"
    match died_at:
        case "copying":
            (disk / "shard.new").mkdir()
            (disk / "shard.new" / "half").write_bytes(GONE)
        case "complete":
            shutil.copytree(shard, disk / "shard.copied")
            (shard / "stale").write_bytes(GONE)
        case _:
            shard.rename(disk / "shard.copied")
            (disk / "shard.old").mkdir()
            (disk / "shard.old" / "stale").write_bytes(GONE)
    reopened = EdgeStore(disk)
    assert reopened.open(IDENTITY).model == IDENTITY.model
    assert reopened.count() == 100
    assert holding(reopened, GONE) == []
    assert sorted(path.name for path in disk.iterdir()) == ["identity.json", "shard"]


def test_a_copy_that_fails_harms_no_write(store: EdgeStore, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_copy, "SLICE_S", 0.0)
    assert not store.purge(begin=True)

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(shard_copy.ShardCopy, "follow", fail)
    store.write([a_point(900)])
    store.flush()
    assert store.count() == 101
    monkeypatch.setattr(shard_copy.ShardCopy, "complete", fail)
    with pytest.raises(StoreUnavailable, match="no space left"):
        purged(store)
    assert store.count() == 101
    monkeypatch.undo()
    purged(store)
    assert (store.count(), holding(store, GONE)) == (101, [])
    assert not (disk / "shard.new").exists()

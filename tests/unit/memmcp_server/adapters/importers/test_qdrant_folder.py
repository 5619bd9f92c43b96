"""Folders really written by the Qdrant client's local mode, as mcp-server-qdrant writes them, and hostile ones."""

import contextlib
import fcntl
import json
import os
import pickle
import shutil
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from memmcp_server.adapters.importers.found import PART_BYTES_MAX, Damaged, Found, Item, NotReadable
from memmcp_server.adapters.importers.qdrant_folder import BESIDE
from memmcp_server.adapters.importers.restricted_pickle import MODELS, BadPickle, as_json, load_point
from memmcp_server.adapters.importers.stores import open_store, recognise

VECTOR = "fast-all-minilm-l6-v2"
POINT_ID = "0b0f3c0e-1111-4222-8333-444455556666"


def put(folder: Path, collection: str, payloads: dict[str | int, dict[str, Any] | None]) -> None:
    with contextlib.closing(QdrantClient(path=str(folder))) as client:
        if not client.collection_exists(collection):
            size = models.VectorParams(size=3, distance=models.Distance.COSINE)
            client.create_collection(collection, vectors_config={VECTOR: size})
        points = [
            models.PointStruct(id=point_id, vector={VECTOR: [0.1, 0.2, 0.3]}, payload=payload)
            for point_id, payload in payloads.items()
        ]
        client.upsert(collection, points)


def items(folder: Path) -> list[Item]:
    with open_store(folder, "mcp-server-qdrant") as opened:
        return list(opened.items)


def found(folder: Path) -> list[Found]:
    return [item for item in items(folder) if isinstance(item, Found)]


def damaged(folder: Path) -> list[Damaged]:
    return [item for item in items(folder) if isinstance(item, Damaged)]


@contextlib.contextmanager
def database(folder: Path, collection: str = "notes") -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(folder / "collection" / collection / "storage.sqlite")) as opened:
        yield opened
        opened.commit()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "qdrant"
    put(path, "notes", {POINT_ID: {"document": "Bought BONK\r\nat the top", "metadata": {"mood": ["bad", 1, None]}}})
    return path


@pytest.mark.requirement("M9")
def test_a_folder_of_mcp_server_qdrant_is_recognised_and_read(folder: Path) -> None:
    put(folder, "other", {7: {"document": "Sold it", "metadata": None}})
    assert recognise(folder) == "mcp-server-qdrant"
    with open_store(folder, "mcp-server-qdrant") as opened:
        read = list(opened.items)
        assert opened.total == 2
    first, second = read
    assert isinstance(first, Found)
    assert isinstance(second, Found)
    assert first.content == "Bought BONK\nat the top"
    assert first.metadata == {"mood": ["bad", 1, None]}
    assert first.source == "mcp-server-qdrant, collection notes"
    assert first.tags == ("mcp-server-qdrant", "notes")
    assert POINT_ID in first.place
    assert (second.content, second.metadata, second.done) == ("Sold it", {}, 2)


@pytest.mark.requirement("M9")
def test_reading_changes_no_byte_and_gives_the_same_ids_again(folder: Path) -> None:
    def bytes_of() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    before = bytes_of()
    first = found(folder)
    assert found(folder) == first
    assert bytes_of() == before


def test_a_changed_text_is_another_memory_and_the_same_text_in_two_points_are_two(folder: Path) -> None:
    [before] = found(folder)
    put(folder, "notes", {POINT_ID: {"document": "Bought BONK cheaply", "metadata": None}})
    [after] = found(folder)
    assert after.id != before.id
    put(folder, "notes", {str(uuid.uuid4()): {"document": "Bought BONK cheaply", "metadata": None}})
    assert len({each.id for each in found(folder)}) == 2


def test_the_newest_of_a_points_rows_counts_however_its_id_is_spelled(folder: Path) -> None:
    with database(folder) as rows:
        blob = pickle.dumps(
            models.PointStruct(
                id=uuid.UUID(POINT_ID).hex, vector={VECTOR: [1.0, 0.0, 0.0]}, payload={"document": "newer"}
            )
        )
        rows.execute("INSERT INTO points VALUES ('another spelling', ?)", (blob,))
    assert [each.content for each in found(folder)] == ["newer"]


def test_what_another_program_put_beside_the_metadata_is_kept(folder: Path) -> None:
    put(folder, "notes", {POINT_ID: {"document": "x", "metadata": {"a": 1}, "tenant": "t", "n": 2.5}})
    [only] = found(folder)
    assert only.metadata == {"a": 1, BESIDE: {"tenant": "t", "n": 2.5}}
    put(folder, "notes", {POINT_ID: {"document": "x", "metadata": "just text"}})
    assert found(folder)[0].metadata == {BESIDE: {"metadata": "just text"}}


def test_a_document_that_is_too_long_for_a_memory_arrives_in_parts(folder: Path) -> None:
    text = "".join(f"wörd{number} " for number in range(20_000))
    put(folder, "notes", {POINT_ID: {"document": text, "metadata": {"a": 1}}})
    parts = found(folder)
    assert "".join(part.content for part in parts) == text
    assert all(len(part.content.encode()) <= PART_BYTES_MAX and part.content.endswith(" ") for part in parts)
    assert [part.metadata["part"] for part in parts] == [f"{n} of {len(parts)}" for n in range(1, len(parts) + 1)]
    assert len({part.id for part in parts}) == len(parts) > 2


class Bomb:
    """Unpickled with the ordinary ``pickle.loads`` it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


@pytest.mark.requirement("M9")
def test_a_hostile_pickle_does_not_run_and_costs_only_its_own_point(folder: Path, tmp_path: Path) -> None:
    trace = tmp_path / "it ran"
    blob = pickle.dumps(Bomb(trace))
    pickle.loads(blob)
    assert trace.exists(), "the control: this pickle does run where nothing keeps it from it"
    trace.rmdir()

    hidden = models.PointStruct.model_construct(id=1, vector=[], payload={"document": "x", "metadata": Bomb(trace)})
    with database(folder) as rows:
        rows.executemany("INSERT INTO points VALUES (?, ?)", [("bomb", blob), ("hidden", pickle.dumps(hidden))])
    with open_store(folder, "mcp-server-qdrant") as opened:
        read = list(opened.items)
    assert not trace.exists()
    assert [item.content for item in read if isinstance(item, Found)] == ["Bought BONK\nat the top"]
    refused = [item for item in read if isinstance(item, Damaged)]
    assert [item.place for item in refused] == ["collection notes, row 2", "collection notes, row 3"]
    assert all("mkdir" in item.reason and "nothing of it was run" in item.reason for item in refused)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("qdrant_client.http.models.models", "PointStruct.__init__"),
        ("qdrant_client.http.models", "PointStruct"),
        ("qdrant_client.http.models.models", "os"),
        ("copyreg", "_reconstructor"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 4])
def test_no_other_name_is_admitted_in_any_protocol(module: str, name: str, protocol: int) -> None:
    if protocol == 0:
        blob = f"c{module}\n{name}\n.".encode()
    else:
        blob = (
            b"\x80\x04" + b"".join(b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, name)) + b"\x93."
        )
    with pytest.raises(BadPickle, match="nothing of it was run"):
        load_point(blob)


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"not a pickle",
        pickle.dumps({"id": 1}),
        pickle.dumps(None),
        b"\x80\x04r\xff\xff\xff\xff.",  # a memo of 2**32 places
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.",  # a text of 2**63 bytes
        b"\x80\x04]R.",
        b"\x80\x04}b.",
        b"P1\n.",
        b"\x80\x04\x82\x01.",
        f"c{MODELS}\nPointStruct\n.".encode(),
        f"c{MODELS}\nPointStruct\n(tR.".encode(),
        f"c{MODELS}\nPointStruct\n(I1\ntR.".encode(),
        f"c{MODELS}\nPointStruct\n}}b.".encode(),
    ],
)
def test_a_broken_pickle_is_an_error_and_not_a_crash(blob: bytes) -> None:
    with pytest.raises(BadPickle):
        load_point(blob)


def test_a_small_pickle_of_a_huge_or_endless_tree_is_refused() -> None:
    laughs: list[Any] = ["ha"]
    for _ in range(30):
        laughs = [laughs] * 10
    with pytest.raises(BadPickle, match="parts"):
        as_json(pickle.loads(pickle.dumps(laughs)))
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(BadPickle, match="nested"):
        as_json(endless)


@pytest.mark.parametrize("value", [{1: "number as key"}, {"a": b"bytes"}, {"a": {"set"}}, {"a": float("nan")}, 1j])
def test_what_json_does_not_know_is_refused(value: object) -> None:
    with pytest.raises(BadPickle, match="JSON"):
        as_json(value)


def test_points_that_hold_no_memory_are_named_and_the_rest_is_read(folder: Path) -> None:
    put(folder, "notes", {1: {"text": "of another program"}, 2: None, 3: {"document": 5}})
    with database(folder) as rows:
        rows.execute("INSERT INTO points VALUES ('null', NULL)")
        rows.execute("INSERT INTO points VALUES ('text', 'no blob')")
        rows.execute("INSERT INTO points VALUES ('zeros', zeroblob(9000000))")
        rows.execute(
            "INSERT INTO points VALUES ('id', ?)",
            (pickle.dumps(models.PointStruct.model_construct(id="no uuid", vector=[], payload={"document": "x"})),),
        )
    assert [each.content for each in found(folder)] == ["Bought BONK\nat the top"]
    assert [item.place for item in damaged(folder)] == [
        *(f"collection notes, point {point}" for point in (1, 2, 3)),
        *(f"collection notes, row {row}" for row in (5, 6, 7, 8)),
    ]


def test_a_file_that_is_cut_off_costs_its_own_collection_only(folder: Path) -> None:
    put(folder, "other", {number: {"document": f"{number} " * 500} for number in range(1, 200)})
    path = folder / "collection" / "other" / "storage.sqlite"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2 // 4096 * 4096])
    read = items(folder)
    assert "Bought BONK\nat the top" in [item.content for item in read if isinstance(item, Found)]
    [cut] = [item for item in read if isinstance(item, Damaged)]
    assert cut.place.startswith("collection other after ")
    assert "malformed" in cut.reason


def test_a_folder_in_use_is_refused_and_free_again_afterwards(folder: Path) -> None:
    with contextlib.closing(QdrantClient(path=str(folder))), pytest.raises(NotReadable, match="in use") as refused:
        items(folder)
    assert "end mcp-server-qdrant" in (refused.value.hint or "")
    assert len(items(folder)) == 1
    with (
        open_store(folder, "mcp-server-qdrant"),
        (folder / ".lock").open("r+") as lock,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _no_meta(folder: Path) -> None:
    (folder / "meta.json").unlink()


def _broken_meta(folder: Path) -> None:
    (folder / "meta.json").write_text("{")


def _nested_meta(folder: Path) -> None:
    (folder / "meta.json").write_text("[" * 100_000)


def _other_meta(folder: Path) -> None:
    (folder / "meta.json").write_text("[1]")


def _missing_storage(folder: Path) -> None:
    (folder / "collection" / "notes" / "storage.sqlite").unlink()


def _old_format(folder: Path) -> None:
    storage = folder / "collection" / "notes" / "storage.sqlite"
    storage.rename(storage.with_name("storage.dbm.db"))


def _linked_storage(folder: Path) -> None:
    storage = folder / "collection" / "notes" / "storage.sqlite"
    storage.rename(folder.parent / "elsewhere.sqlite")
    storage.symlink_to(folder.parent / "elsewhere.sqlite")


def _linked_collection(folder: Path) -> None:
    shutil.move(folder / "collection", folder.parent / "elsewhere")
    (folder / "collection").symlink_to(folder.parent / "elsewhere")


def _linked_lock(folder: Path) -> None:
    (folder / ".lock").unlink()
    (folder / ".lock").symlink_to(folder.parent / "made by us")


def _pipe_for_storage(folder: Path) -> None:
    storage = folder / "collection" / "notes" / "storage.sqlite"
    storage.unlink()
    os.mkfifo(storage)


def _climbing_name(folder: Path) -> None:
    (folder / "meta.json").write_text(json.dumps({"collections": {"../../etc": {}}, "aliases": {}}))


def _absolute_name(folder: Path) -> None:
    (folder / "meta.json").write_text(json.dumps({"collections": {"/etc": {}}, "aliases": {}}))


def _no_database(folder: Path) -> None:
    (folder / "collection" / "notes" / "storage.sqlite").write_bytes(b"no database at all" * 100)


def _other_tables(folder: Path) -> None:
    with database(folder) as rows:
        rows.execute("ALTER TABLE points RENAME TO others")


def _view_for_points(folder: Path) -> None:
    with database(folder) as rows:
        rows.execute("ALTER TABLE points RENAME TO others")
        rows.execute("CREATE VIEW points AS SELECT * FROM others")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_no_meta, "has no meta.json"),
        (_broken_meta, "is not JSON"),
        (_nested_meta, "is not JSON"),
        (_other_meta, "names no collections"),
        (_missing_storage, "is missing"),
        (_old_format, "before 1.1.7"),
        (_linked_storage, "no plain file"),
        (_linked_collection, "symbolic link"),
        (_linked_lock, "no plain file"),
        (_pipe_for_storage, "no plain file"),
        (_climbing_name, "leads out"),
        (_absolute_name, "leads out"),
    ],
)
def test_a_folder_that_is_none_or_leads_elsewhere_is_refused_with_the_reason(
    folder: Path, damage: Callable[[Path], None], says: str
) -> None:
    damage(folder)
    with pytest.raises(NotReadable, match=says):
        items(folder)
    assert not (folder.parent / "made by us").exists()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_no_database, "cannot be read"),
        (_other_tables, "no table of points"),
        (_view_for_points, "no table of points"),
    ],
)
def test_a_collection_that_is_no_database_of_points_is_one_damaged_place(
    folder: Path, damage: Callable[[Path], None], says: str
) -> None:
    put(folder, "other", {7: {"document": "Sold it"}})
    damage(folder)
    assert [each.content for each in found(folder)] == ["Sold it"]
    [broken] = damaged(folder)
    assert broken.place.startswith("collection notes")
    assert says in broken.reason


def test_a_folder_without_meta_is_not_recognised(tmp_path: Path) -> None:
    with pytest.raises(NotReadable, match=r"without meta\.json"):
        recognise(tmp_path)
    with pytest.raises(NotReadable, match="there is no"):
        recognise(tmp_path / "none")
    with pytest.raises(NotReadable, match="there is no"):
        items(tmp_path / "none")
    with pytest.raises(NotReadable, match="cannot be read"):
        recognise(tmp_path / ("n" * 300))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotReadable, match="is no file"):
        recognise(tmp_path / "pipe")

"""The search that proves forgetting finds what is there, in every form, before it may say that nothing is."""

import base64
import gzip
import sqlite3
import uuid
import zipfile
import zlib
from pathlib import Path

import pytest
from tests.support.residues import found_in, marker

from memmcp_server.adapters.index.conditions import FOREVER_US
from memmcp_server.adapters.index.edge_store import EdgeStore
from memmcp_server.adapters.index.store import Identity, NewPoint, SparseVector

TEXT = f"nobody may know {marker('a1')} nor {marker('b2')}".encode()


@pytest.mark.parametrize("shift", range(4))
@pytest.mark.parametrize(
    "form",
    [
        bytes,
        gzip.compress,
        zlib.compress,
        base64.b64encode,
        base64.urlsafe_b64encode,
        lambda text: text.decode().encode("utf-16-le"),
        lambda text: text.decode().encode("utf-16-be"),
        lambda text: b'{"page": "' + base64.b64encode(text) + b'"}',
        lambda text: gzip.compress(base64.b64encode(text)),
    ],
    ids=["raw", "gzip", "zlib", "base64", "base64url", "utf-16-le", "utf-16-be", "in JSON", "base64 in gzip"],
)
def test_every_form_is_found(tmp_path: Path, form: object, shift: int) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(form(b"-" * shift + TEXT))  # type: ignore[operator]
    (tmp_path / "other").write_bytes(form(b"nothing to see"))  # type: ignore[operator]
    assert found_in(tmp_path) == {"a1": {"deep/file"}, "b2": {"deep/file"}}


def test_an_archive_and_the_raw_pages_of_a_database_are_searched(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "archive", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside", TEXT)
    connection = sqlite3.connect(tmp_path / "pages.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA secure_delete = OFF")
    connection.execute("CREATE TABLE t (text TEXT)")
    connection.execute("INSERT INTO t VALUES (?)", [TEXT.decode() * 500])
    connection.execute("DELETE FROM t")
    assert found_in(tmp_path)["a1"] == {"archive", "pages.db-wal"}
    connection.close()
    assert found_in(tmp_path)["a1"] == {"archive", "pages.db"}


def test_the_payloads_of_an_index_are_unpacked(tmp_path: Path) -> None:
    store = EdgeStore(tmp_path / "index")
    store.open(Identity("model", None))
    repeats = "zqxvau zqxvault2 2end endzq " * 3  # so that the packer has something to refer back to
    payload = {"tags": [repeats, marker("a1")], "known_to_ns": None, "memory_id": "m", "known_to_us": FOREVER_US}
    store.write([NewPoint(str(uuid.uuid4()), None, SparseVector((1,), (1.0,)), payload)])
    store.flush()
    holders = found_in(tmp_path)["a1"]
    assert any("payload_storage" in path for path in holders)
    assert any("wal" in path for path in holders)
    store.close()


def test_a_hole_in_a_file_is_passed_over(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.seek(1 << 24)
        file.write(TEXT)
        file.truncate(1 << 25)
    assert set(found_in(tmp_path)) == {"a1", "b2"}

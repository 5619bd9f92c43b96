"""What the database does beyond the journal contract: runs, cursors, answers, faults."""

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from trading.adapters.sql_journal import JournalStore
from trading.errors import JournalUnavailable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trading" / "journal.db"


def test_a_run_is_found_again_by_its_identity_and_goes_on(path: Path) -> None:
    store = JournalStore.at(path)
    journal = store.start_run("r1", "synthetic:7", 5)
    journal.append(1, "input", {"n": 1})
    journal.commit()
    journal.append(2, "input", {"n": 2})  # never committed
    store.close()

    again = JournalStore.at(path)
    found = again.newest_run("synthetic:7")
    assert found is not None
    assert (found.run_id, found.started_at_ns) == ("r1", 5)
    assert again.newest_run("other") is None
    resumed = again.open_run(found.number)
    assert resumed.horizon() == 1
    assert resumed.append(2, "input", {"n": 3}) == 2
    resumed.commit()
    assert [row.body for row in resumed.rows()] == [b'{"n":1}', b'{"n":3}']
    again.close()


def test_runs_do_not_see_each_other(path: Path) -> None:
    store = JournalStore.at(path)
    first, second = store.start_run("r1", "a", 0), store.start_run("r2", "a", 0)
    first.append(1, "fill", {"n": 1})
    first.commit()
    assert second.horizon() == 0
    assert list(second.rows(kinds=("fill",))) == []
    store.close()


def test_a_cursor_only_moves_forward(path: Path) -> None:
    store = JournalStore.at(path)
    run = store.start_run("r", "a", 0).run
    assert store.cursor(run, "memory") == 0
    store.move_cursor(run, "memory", 7)
    store.move_cursor(run, "memory", 3)
    assert store.cursor(run, "memory") == 7
    store.close()


def test_the_first_answer_to_a_key_stands_and_is_durable_with_its_rows(path: Path) -> None:
    store = JournalStore.at(path)
    journal = store.start_run("r", "a", 0)
    journal.remember_answer("agent", "k", {"order_id": "o1"})
    assert store.answer("agent", "k") is None
    journal.commit()
    journal.remember_answer("agent", "k", {"order_id": "o2"})
    journal.commit()
    assert store.answer("agent", "k") == {"order_id": "o1"}
    assert store.answer("other", "k") is None
    store.close()


def test_two_writers_of_one_run_are_told_apart(path: Path) -> None:
    store = JournalStore.at(path)
    first = store.start_run("r", "a", 0)
    second = store.open_run(first.run)
    first.append(1, "x", {})
    first.commit()
    second.append(1, "x", {})
    with pytest.raises(JournalUnavailable, match="another process"):
        second.commit()
    store.close()


def test_a_full_disk_is_named_and_the_rows_stay_for_the_next_commit(path: Path) -> None:
    store = JournalStore.at(path)
    journal = store.start_run("r", "a", 0)
    pages = store._engine.connect()  # one connection is enough to set the file's bound
    limit = pages.exec_driver_sql("PRAGMA page_count").scalar_one()
    pages.close()
    store._engine.dispose()
    sa.event.listen(store._engine, "connect", lambda c, _: c.execute(f"PRAGMA max_page_count={limit}"))
    for number in range(200):
        journal.append(number, "x", {"text": "y" * 500})
    with pytest.raises(JournalUnavailable, match="full"):
        journal.commit()
    assert journal.horizon() == 0
    store.close()
    store = JournalStore.at(path)
    assert store.open_run(journal.run).horizon() == 0
    store.close()


def test_a_corrupt_file_is_named(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is no database, it is a sentence" * 100)
    with pytest.raises(JournalUnavailable, match="database"):
        JournalStore.at(path)


def test_a_newer_schema_is_refused(path: Path) -> None:
    JournalStore.at(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO schema_version VALUES (99)")
    connection.close()
    with pytest.raises(JournalUnavailable, match="newer version"):
        JournalStore.at(path)


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(JournalUnavailable, match="file"):
        JournalStore.at(tmp_path / "file" / "trading" / "journal.db")


def test_every_commit_reaches_the_disk(path: Path) -> None:
    store = JournalStore.at(path)
    with store.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
    store.close()

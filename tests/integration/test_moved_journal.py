"""A journal of what is owed that was restored, copied or put back is noticed, and nothing new is signed from it."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import pytest

from trading.adapters import execution_schema
from trading.adapters.execution_journal import SqlExecutionJournal
from trading.adapters.instance import INSTANCE_NAME, RESTORED_NAME, InstanceFile, machine_id
from trading.adapters.sqlite import open_engine
from trading.errors import InvalidInput
from trading.model.intent import SOL_MINT, Intent, IntentState

pytestmark = [pytest.mark.requirement("O8"), pytest.mark.requirement("T10")]


def intent(name: str) -> Intent:
    return Intent(name, name, "w1", SOL_MINT, "AAA", 5, 1, 100, 10_000, 3, 1, 10**9, is_exit=False)


def opened(directory: Path, machine: str = "here") -> SqlExecutionJournal:
    found = InstanceFile(directory, lambda: machine)
    return SqlExecutionJournal.at(directory / "execution.db", lambda: 5, found)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A directory whose journal was used and closed."""
    found = tmp_path / "trading"
    found.mkdir()
    journal = opened(found)
    journal.open(intent("i1"))
    journal.close()
    return found


def copied(desk: Path) -> Path:
    target = desk.with_name("copy")
    shutil.copytree(desk, target)
    return target


def without_mark(desk: Path) -> Path:
    (desk / INSTANCE_NAME).unlink()
    return desk


def restored(desk: Path) -> Path:
    (desk / RESTORED_NAME).write_text(json.dumps({"made_at": "2026-01-01T00:00:00+00:00"}))
    return desk


def put_back(desk: Path) -> Path:
    shutil.copyfile(desk / "execution.db", desk / "old.db")
    opened(desk).close()
    for name in ("execution.db", "execution.db-wal", "execution.db-shm"):
        (desk / name).unlink(missing_ok=True)
    shutil.copyfile(desk / "old.db", desk / "execution.db")
    return desk


def of_another(desk: Path) -> Path:
    other = desk.with_name("other")
    other.mkdir()
    opened(other).close()
    (other / "execution.db").unlink()
    shutil.copyfile(desk / "execution.db", other / "execution.db")
    return other


def test_a_journal_that_stays_where_it_is_goes_on(desk: Path) -> None:
    for number in range(3):
        journal = opened(desk)
        assert (journal.problem, dict(journal.halted())) == ("", {})
        journal.open(intent(f"n{number}"))
        journal.close()
    renamed = desk.rename(desk.with_name("renamed"))
    assert opened(renamed).problem == ""
    assert oct((renamed / INSTANCE_NAME).stat().st_mode)[-3:] == "600"


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (copied, "copied from another place"),
        (without_mark, "used somewhere else"),
        (restored, "restored from a back-up of 2026-01-01"),
        (put_back, "an older copy of itself"),
        (of_another, "of another directory"),
    ],
)
def test_a_journal_that_is_not_of_this_place_takes_nothing_until_a_person_has_looked(
    desk: Path, harm: Callable[[Path], Path], told: str
) -> None:
    place = harm(desk)
    journal = opened(place)
    assert told in journal.problem
    assert told in journal.halted()["w1"]
    with pytest.raises(InvalidInput, match=told):
        journal.open(intent("new"))
    assert journal.record("i1").state is IntentState.OPEN
    journal.close()
    again = opened(place)  # a restart is no answer
    assert told in again.problem
    with pytest.raises(InvalidInput, match="reason"):
        again.accept("maria", " ")
    again.accept("maria", "looked at the chain")
    again.release("w1", "maria", "looked at the chain")
    again.open(intent("new"))
    assert [each.kind for each in again.events()][-4:] == ["halted", "accepted", "released", "opened"]
    again.close()
    assert opened(place).problem == ""


def test_another_machine_is_another_place(desk: Path) -> None:
    assert "another place or machine" in opened(desk, machine="there").problem


def test_a_start_that_died_before_the_mark_was_written_is_no_move(tmp_path: Path) -> None:
    SqlExecutionJournal.at(tmp_path / "execution.db", lambda: 5).close()
    assert opened(tmp_path).problem == ""
    newest = json.loads((tmp_path / INSTANCE_NAME).read_text())
    (tmp_path / INSTANCE_NAME).write_text(json.dumps({**newest, "epoch": newest["epoch"] - 1}))
    assert opened(tmp_path).problem == ""


def test_nothing_is_accepted_where_nothing_is_wrong(desk: Path) -> None:
    with pytest.raises(InvalidInput, match="already"):
        opened(desk).accept("maria", "just so")


def test_a_journal_of_the_version_before_with_an_open_intent_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "execution.db"
    open_engine(path, execution_schema.STEPS[:1], connections=1).dispose()
    with closing(sqlite3.connect(path)) as db:
        body = json.dumps(asdict(intent("i1")))
        db.execute(
            "INSERT INTO intents (id, number, key, wallet, state, body, problem, is_cancel_asked) "
            "VALUES ('i1', 1, 'i1', 'w1', 'open', ?, '', 0)",
            (body.encode(),),
        )
        db.commit()
    journal = SqlExecutionJournal.at(path, lambda: 5)
    assert [each.intent for each in journal.unfinished()] == [intent("i1")]
    assert journal.open(intent("i2")).state is IntentState.OPEN
    assert journal.problem == ""


def test_this_machine_has_a_name_that_stays() -> None:
    assert machine_id() == machine_id()
    assert os.linesep not in machine_id()

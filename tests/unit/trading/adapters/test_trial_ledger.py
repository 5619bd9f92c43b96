"""Trials are counted once, for good, whoever asks at the same time, and what was altered is found."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trading.adapters.trial_ledger import SHARPES_MIN, Standing, Trial, TrialLedger, TrialLedgerUnavailable, family_of


def trial(number: int, family: str = "a,b", sharpe: float | None = 0.1) -> Trial:
    return Trial(family, f"scope{number}", "cli", number, "a feed", {"a.n": number, "a.x": 0.5}, sharpe, 100, 7, -12)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "trials.db"


def spoil(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


@pytest.mark.requirement("T11")
def test_a_trial_is_counted_once_for_its_family_and_for_good(path: Path) -> None:
    ledger = TrialLedger.at(path)
    assert [ledger.add(trial(number)).trials for number in (1, 2, 1, 3)] == [1, 2, 2, 3]
    assert ledger.add(trial(1, "other")).trials == 1
    ledger.close()
    again = TrialLedger.at(path)
    assert again.standing("a,b") == Standing(3, None)
    assert again.standing("nobody") == Standing(0, None)
    assert [entry.number for entry in again.entries("a,b")] == [1, 2, 3]
    assert again.entries()[0].body["parameters"] == {"a.n": "1", "a.x": "0.5"}
    assert again.verify() is None
    again.close()


def test_the_spread_of_the_sharpes_is_known_from_enough_trials(path: Path) -> None:
    ledger = TrialLedger.at(path)
    for number in range(SHARPES_MIN - 1):
        assert ledger.add(trial(number, sharpe=number / 100)).sharpe_variance is None
    ledger.add(trial(98, sharpe=None))  # nothing varied: it counts, and says nothing of the spread
    standing = ledger.add(trial(99, sharpe=0.09))
    assert standing.trials == SHARPES_MIN + 1
    assert standing.sharpe_variance == pytest.approx(sum((n - 4.5) ** 2 for n in range(10)) / 9 / 10_000)
    ledger.close()


def test_the_database_refuses_to_change_or_delete_a_trial(path: Path) -> None:
    ledger = TrialLedger.at(path)
    ledger.add(trial(1))
    for statement in ("UPDATE trials SET family = 'x'", "DELETE FROM trials"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            spoil(path, statement)
    assert ledger.standing("a,b").trials == 1
    ledger.close()


@pytest.mark.parametrize(
    ("how", "first"),
    [
        ("UPDATE trials SET body = replace(CAST(body AS TEXT), '0.1', '0.9') WHERE number = 2", 2),
        ("UPDATE trials SET family = 'mine' WHERE number = 3", 3),
        ("DELETE FROM trials WHERE number = 1", 1),
        ("UPDATE trials SET hash = 'ff' WHERE number = 4", 4),
    ],
)
def test_what_was_altered_around_the_guards_is_found(path: Path, how: str, first: int) -> None:
    ledger = TrialLedger.at(path)
    for number in range(4):
        ledger.add(trial(number))
    spoil(path, "DROP TRIGGER trials_no_update", "DROP TRIGGER trials_no_delete", how)
    assert ledger.verify() == first
    ledger.close()


def test_many_at_once_lose_no_trial(path: Path) -> None:
    TrialLedger.at(path).close()

    def run(worker: int) -> None:
        ledger = TrialLedger.at(path)
        for number in range(10):
            ledger.add(trial(worker * 100 + number))
        ledger.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
    ledger = TrialLedger.at(path)
    assert ledger.standing("a,b").trials == 40
    assert ledger.verify() is None
    ledger.close()


def test_a_ledger_that_cannot_be_used_says_so_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(TrialLedgerUnavailable, match="trial ledger"):
        TrialLedger.at(tmp_path / "file" / "trials.db")
    (tmp_path / "trials.db").write_bytes(b"this is no database at all, not even a little one" * 40)
    with pytest.raises(TrialLedgerUnavailable, match="not a database"):
        TrialLedger.at(tmp_path / "trials.db")


def test_a_family_is_its_strategies_in_any_order() -> None:
    assert family_of(["b", "a"]) == family_of(["a", "b"]) == "a,b"

"""Trials are counted once, for good, whoever asks at the same time, and what was altered is found."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
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


@pytest.mark.requirement("T11")
def test_many_trials_are_written_in_one_go_and_each_still_once(path: Path) -> None:
    one_by_one, at_once = TrialLedger.at(path), TrialLedger.at(path.with_name("other.db"))
    made = [trial(number, sharpe=None if number % 5 == 0 else number / 1_000) for number in range(40)]
    for each in made:
        one_by_one.add(each)
    assert at_once.add_all(made[:25]) == 25
    assert at_once.add_all([*made, made[3], trial(7, "other")]) == 16
    assert at_once.standing("a,b") == one_by_one.standing("a,b")
    assert at_once.standing("a,b").trials == 40
    assert [entry.body["scope"] for entry in at_once.entries("a,b")] == [each.scope for each in made]
    assert at_once.verify() is None
    assert at_once.add_all([]) == 0
    one_by_one.close()
    at_once.close()


def test_trials_in_one_go_are_written_all_or_none(path: Path) -> None:
    ledger = TrialLedger.at(path)
    broken = replace(trial(2), observations=1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        ledger.add_all([trial(1), broken])
    assert ledger.standing("a,b").trials == 0
    ledger.close()


def test_how_a_family_stands_is_known_without_reading_its_trials_again(path: Path) -> None:
    """A tally goes on from where it was: rows that an older program added are found, and none is read twice."""
    ledger = TrialLedger.at(path)
    ledger.add_all([trial(number, sharpe=number / 100) for number in range(20)])
    stands = ledger.standing("a,b")
    # Control: what the tally covers is not looked at again, so that a lie in it would show.
    spoil(path, "UPDATE tallies SET trials = 5")
    assert ledger.standing("a,b").trials == 5
    assert ledger.verify() == 20
    assert ledger.standing("a,b") == stands
    assert ledger.verify() is None
    spoil(path, "DELETE FROM tallies")
    assert ledger.standing("a,b") == stands
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

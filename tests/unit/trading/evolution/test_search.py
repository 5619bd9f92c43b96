"""Generations of candidates: repeatable, counted once, taken up from the dead, and bounded."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.doubles.hashed_bench import HashedBench
from tests.support import searching

from trading.adapters.trial_ledger import TrialLedger
from trading.errors import DataError, InvalidInput
from trading.evolution.bench import EngineBench, KernelBench, bench_of
from trading.evolution.course import Course, SearchSpec, days_of, sampler_of
from trading.evolution.found import document_of, load
from trading.evolution.search import Worker, finish, outcomes_of, recount, search
from trading.evolution.trial_store import TAKEN_MAX, TrialStore, TrialStoreUnavailable, opened
from trading.feeds.replay import ReplayFeed, open_replay


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> ReplayFeed:
    return open_replay([searching.write_bars(tmp_path_factory.mktemp("bars"), days=40, symbols=("AAA",))])


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[TrialLedger]:
    opened_ledger = TrialLedger.at(tmp_path / "trials.db")
    yield opened_ledger
    opened_ledger.close()


def course_of(feed: ReplayFeed, **changes: Any) -> Course:
    return Course(searching.spec(**{"holdout_days": 5, **changes}), feed)


def worked(course: Course, store: TrialStore, ledger: TrialLedger, bench: HashedBench | None = None) -> HashedBench:
    made = bench or HashedBench(course.scheme.days)
    Worker(course, store, ledger, made).run()
    return made


@pytest.mark.requirement("T11")
@pytest.mark.parametrize("sampler", ["nsga2", "tpe"])
def test_a_seed_finds_the_same_candidates_whatever_keeps_them(
    sampler: str, feed: ReplayFeed, ledger: TrialLedger, tmp_path: Path
) -> None:
    course = course_of(feed, sampler=sampler, trials=12, population=5)
    found = []
    for url in (None, f"sqlite:///{tmp_path / 'search.db'}"):
        with opened("s", course.spec, "a#0", url) as store:
            worked(course, store, ledger)
            found.append(store.told())
            assert store.progress().waiting == 0
    assert found[0] == found[1]
    assert len(found[0]) == 12
    assert found[0][0].candidate == course.genome.defaults
    other = course_of(feed, sampler=sampler, trials=12, population=5, seed=6)
    with opened("s", other.spec, "a#0") as store:
        worked(other, store, ledger)
        assert [each.candidate for each in store.told()] != [each.candidate for each in found[0]]


@pytest.mark.requirement("T11")
@pytest.mark.parametrize("sampler", ["nsga2", "tpe"])
def test_a_generation_is_the_same_whether_it_is_drawn_at_once_or_by_one_after_the_other(
    sampler: str, feed: ReplayFeed, ledger: TrialLedger, tmp_path: Path
) -> None:
    course = course_of(feed, sampler=sampler, trials=9, population=3)
    drawn = []
    for steps in ([3], [1, 2]):
        url = f"sqlite:///{tmp_path / f'{len(drawn)}.db'}"
        with opened("s", course.spec, "dir/0#0", url) as store:
            worked(Course(replace(course.spec, trials=6), feed), store, ledger)
        for life, step in enumerate(steps, 1):
            with opened("s", course.spec, f"dir/{life}#0", url) as store:
                store.draw(step)
        with opened("s", course.spec, "dir/99#0", url) as store:
            store.bury("dir/", is_crash=False)
            drawn.append([each.candidate for each in store.taken_up(9)])
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 3


@pytest.mark.requirement("T11")
def test_each_candidate_is_tried_and_counted_once_and_a_refused_draw_never(
    feed: ReplayFeed, ledger: TrialLedger
) -> None:
    course = course_of(feed, trials=40)
    with opened("s", course.spec, "a#0") as store:
        bench = worked(course, store, ledger)
        tried = [key for batch in bench.asked for key in batch]
        assert len(tried) == len(set(tried)) == 40
        assert [len(batch) for batch in bench.asked] == [8] * 5
        assert store.progress().left_out > 0  # fast windows that were no shorter than the slow ones
        assert ledger.standing("sma_cross").trials == 40
        scopes = Counter(entry.body["scope"] for entry in ledger.entries())
        assert scopes == Counter({each.outcome.scope: 1 for each in store.told()})
        # The same again, and the same of another search over the same days: nothing new.
        worked(course, store, ledger)
        assert recount(course, store, ledger) == 0
    with opened("t", course.spec, "a#0") as store:
        worked(course, store, ledger)
    assert ledger.standing("sma_cross").trials == 40


def test_a_search_ends_where_a_strategy_has_no_more_candidates(feed: ReplayFeed, ledger: TrialLedger) -> None:
    """Few different ones remain of coarse draws; the search stops and says what it has."""
    course = course_of(feed, strategy="random_entry", trials=30)
    with opened("s", course.spec, "a#0") as store:
        store._genome = _Narrow(course)  # type: ignore[assignment]
        worked(course, store, ledger)
        assert store.progress().told == 3


class _Narrow:
    """A genome of three candidates."""

    def __init__(self, course: Course) -> None:
        self.distributions = course.genome.distributions
        self.defaults = course.genome.defaults
        self._defaults = course.genome.defaults

    def candidate(self, drawn: Mapping[str, float]) -> dict[str, int | float]:
        return {**self._defaults, "seed": int(drawn["seed"]) % 3}

    def accepts(self, _candidate: Mapping[str, int | float]) -> bool:
        return True


@pytest.mark.requirement("T11")
def test_what_a_dead_worker_had_is_taken_up_and_the_guilty_candidate_is_given_up(
    feed: ReplayFeed, ledger: TrialLedger, tmp_path: Path
) -> None:
    course = course_of(feed, trials=6)
    url = f"sqlite:///{tmp_path / 'search.db'}"
    with opened("s", course.spec, "dir/1#0", url) as dead:
        dead.draw(4)
        with opened("s", course.spec, "dir/2#0", url) as heir:
            assert heir.taken_up(9) == []  # it gave a sign of life just now
            heir.bury("dir/1", is_crash=True)
            had = heir.taken_up(9)
            assert len(had) == 4
        # The heir dies too: now they come one at a time, and one that kills again and again is given up.
        guilty, freed = had[2].number, []
        for life in range(3, 3 + len(had) + TAKEN_MAX):
            with opened("s", course.spec, f"dir/{life}#0", url) as store:
                store.bury("dir/", is_crash=True)
                mine = store.taken_up(9)
                if not mine:
                    break
                assert len(mine) == 1
                if mine[0].number != guilty:
                    outcome = outcomes_of(
                        course, [mine[0].candidate], HashedBench(course.scheme.days).evaluate([mine[0].candidate])
                    )
                    store.tell(mine[0], outcome[0])
                    freed.append(mine[0].number)
        assert freed == [each.number for each in had if each.number != guilty]
        with opened("s", course.spec, "dir/99#0", url) as store:
            progress = store.progress()
            assert (progress.told, progress.waiting, progress.given_up) == (3, 0, 1)
            worked(course, store, ledger)
            assert store.progress().told == 6


def test_those_that_somebody_ended_are_not_held_against_their_candidates(feed: ReplayFeed, tmp_path: Path) -> None:
    course = course_of(feed)
    url = f"sqlite:///{tmp_path / 'search.db'}"
    with opened("s", course.spec, "dir/0#0", url) as store:
        store.draw(3)
    for life in range(1, 5):
        with opened("s", course.spec, f"dir/{life}#0", url) as store:
            store.bury("dir/", is_crash=False)
            assert len(store.taken_up(9)) == 3


def test_figures_that_were_told_are_kept(feed: ReplayFeed) -> None:
    course = course_of(feed)
    with opened("s", course.spec, "a#0") as store:
        store.draw(1)
        (mine,) = store.taken_up(1)
        first = outcomes_of(course, [mine.candidate], HashedBench(course.scheme.days).evaluate([mine.candidate]))[0]
        store.tell(mine, first)
        store.tell(mine, replace(first, trades=first.trades + 1))  # by one that was thought dead
        assert [each.outcome for each in store.told()] == [first]


@pytest.mark.requirement("T11")
def test_a_scope_is_what_decides_an_outcome_and_nothing_else(feed: ReplayFeed) -> None:
    course = course_of(feed)
    candidate = course.genome.defaults
    scope = course.scope_of(candidate)
    for same in ({"seed": 9}, {"trials": 999}, {"sampler": "tpe"}, {"population": 20}, {"finalists": 0}):
        other = course_of(feed, **same)
        assert other.scope_of(candidate) == scope
        assert other.search_id != course.search_id
    for different in ({"holdout_days": 6}, {"equity_lamports": 3}, {"strategy": "trend_following"}):
        assert course_of(feed, **different).scope_of(candidate) != scope
    assert course.scope_of({**candidate, "fast_bars": 11}) != scope


@pytest.mark.requirement("T11")
def test_what_a_search_found_is_read_back_as_it_was(feed: ReplayFeed, ledger: TrialLedger, tmp_path: Path) -> None:
    course = course_of(feed, strategy="random_entry", trials=6, population=3, finalists=1)
    run_dir = tmp_path / "run"
    said: list[tuple[str, int, int]] = []
    with opened(course.search_id, course.spec, "a#0") as store:
        found = search(course, store, ledger, run_dir, lambda *each: said.append(each))
        again = finish(course, store, ledger, run_dir)
    assert document_of(again) == document_of(found) == document_of(load(run_dir))
    assert load(run_dir) == found
    assert found.returns().shape == (6, course.scheme.days) == (found.trials, found.days)
    assert found.family_trials == ledger.standing("random_entry").trials == 6
    assert len(found.path_sharpes) == len(course.scheme.paths)
    assert said[0] == ("searching", 0, 6)
    assert ("searching", 6, 6) in said
    for finalist in found.finalists:
        assert finalist.parameters == found.candidates[finalist.row].parameters
        # The engine is the bench here, so the confirmed run is the row.
        assert list(finalist.returns) == found.returns()[finalist.row].tolist()
        assert len(finalist.holdout_returns) == course.spec.holdout_days
        assert finalist.holdout_document is not None
        assert finalist.holdout_document["bars"] <= 24 * (course.spec.holdout_days + 30)


def test_what_is_no_finished_search_is_refused_by_those_who_read_it(
    feed: ReplayFeed, ledger: TrialLedger, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="no finished search"):
        load(tmp_path)
    course = course_of(feed, strategy="random_entry", trials=2, population=2, finalists=0)
    with opened(course.search_id, course.spec, "a#0") as store:
        found = search(course, store, ledger, tmp_path)
    assert found.finalists == ()
    np.save(found.returns_file, np.zeros((1, 3)))
    with pytest.raises(DataError, match=r"holds \(1, 3\)"):
        load(tmp_path).returns()
    found.returns_file.unlink()
    with pytest.raises(DataError, match="No such file"):
        load(tmp_path).returns()
    (tmp_path / "found.json").write_text("{}")
    with pytest.raises(DataError, match="no finished search"):
        load(tmp_path)


@pytest.mark.requirement("T11")
def test_the_hold_out_is_seen_by_no_candidate(ledger: TrialLedger, tmp_path: Path) -> None:
    """Other bars on the last days change nothing of what the search sees, and something of what it is held against."""
    folder = searching.write_bars(tmp_path / "a", days=40, symbols=("AAA",))
    other = tmp_path / "b"
    other.mkdir()
    lines = (folder / "AAASOL_1h.csv").read_text().splitlines()
    seen = 24 * 35 + 1
    (other / "AAASOL_1h.csv").write_text("\n".join([*lines[:seen], *map(_dearer, lines[seen:])]) + "\n")
    returns = []
    for data in (folder, other):
        course = course_of(open_replay([data]), strategy="random_entry")
        candidates = [{"seed": seed, "wait_bars": 10, "hold_bars": 8} for seed in (1, 2)]
        returns.append(EngineBench(course, None).evaluate(candidates).returns.tolist())
    assert returns[0] == returns[1]
    # Control: the same bars do change what a search that keeps nothing back sees.
    whole = [
        EngineBench(course_of(open_replay([data]), strategy="random_entry", holdout_days=0), None)
        .evaluate(candidates)
        .returns.tolist()
        for data in (folder, other)
    ]
    assert whole[0] != whole[1]


def _dearer(line: str) -> str:
    """Return a bar at three times its prices."""
    ts, *prices, volume = line.split(",")
    return ",".join([ts, *(f"{3 * float(price):.9f}" for price in prices), volume])


@pytest.mark.requirement("T11")
def test_kernel_and_engine_agree_on_what_candidates_are_worth(feed: ReplayFeed) -> None:
    course = course_of(feed)
    candidates = [
        {"fast_bars": fast, "slow_bars": slow, "horizon_bars": 50, "edge_share": 1.0}
        for fast, slow in ((4, 26), (2, 9), (10, 50))
    ]
    kernel, engine = bench_of(course), EngineBench(course, None)
    assert isinstance(kernel, KernelBench)
    screened, ran = kernel.evaluate(candidates), engine.evaluate(candidates)
    assert screened.returns.shape == ran.returns.shape == (3, course.scheme.days)
    assert screened.trades.tolist() == pytest.approx(ran.trades.tolist(), abs=2)
    assert abs(screened.returns - ran.returns).max() < 0.002


def test_what_the_engine_made_is_not_made_twice(feed: ReplayFeed, tmp_path: Path) -> None:
    course = course_of(feed, strategy="random_entry")
    candidate = {"seed": 1, "wait_bars": 10, "hold_bars": 8}
    first = EngineBench(course, tmp_path).evaluate([candidate])
    (kept,) = (tmp_path / "evaluated").iterdir()
    assert kept.stem == course.scope_of(candidate)
    before = kept.stat().st_mtime_ns
    again = EngineBench(course, tmp_path).evaluate([candidate])
    assert again.returns.tolist() == first.returns.tolist()
    assert again.trades.tolist() == first.trades.tolist()
    assert kept.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "wrong",
    [{"trials": 0}, {"population": 1}, {"seed": -1}, {"holdout_days": -1}, {"finalists": 101}, {"trials": 100_001}],
)
def test_what_cannot_be_asked_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidInput):
        searching.spec(**wrong)


def test_a_feed_that_is_too_short_or_tells_no_swaps_is_refused(feed: ReplayFeed) -> None:
    assert days_of(feed) == 40
    for wrong in ({"holdout_days": 36}, {"holdout_days": 400}, {"strategy": "order_flow"}, {"strategy": "nobody"}):
        with pytest.raises(InvalidInput):
            course_of(feed, **wrong)
    assert sampler_of("tpe") == "tpe"
    with pytest.raises(InvalidInput, match="nsga2 or tpe"):
        sampler_of("grid")


def test_a_storage_that_cannot_be_used_says_so(feed: ReplayFeed, tmp_path: Path) -> None:
    spec: SearchSpec = course_of(feed).spec
    with pytest.raises(InvalidInput, match="postgresql"), opened("s", spec, "a#0", "redis://localhost"):
        raise NotImplementedError
    with (
        pytest.raises(TrialStoreUnavailable, match="unable to open"),
        opened("s", spec, "a#0", f"sqlite:///{tmp_path / 'no' / 'folder' / 'search.db'}"),
    ):
        raise NotImplementedError

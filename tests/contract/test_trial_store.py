"""The trials of a search mean the same in memory, in a SQLite file and in PostgreSQL."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Barrier

import pytest
from tests.doubles.hashed_bench import HashedBench
from tests.support import searching
from tests.support.postgres import PostgresServer

from trading.evolution.trial_store import Drawn, Outcome, Progress, TrialStore, opened

DAYS = 60


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    match request.param:
        case "memory":
            return None
        case "sqlite":
            return f"sqlite:///{tmp_path / 'search.db'}"
        case _:
            server: PostgresServer = request.getfixturevalue("postgres")
            return server.url(server.new_database())


@pytest.fixture
def store(url: str | None) -> Iterator[TrialStore]:
    with opened("s", searching.spec(population=4), "host/1#0", url) as made:
        yield made


def outcome(drawn: Drawn) -> Outcome:
    from trading.evolution.fitness import objectives
    from trading.evolution.splits import Scheme

    tried = HashedBench(DAYS).evaluate([drawn.candidate])
    figures = objectives(tried.returns, tried.trades, Scheme(DAYS, 4, 2, 2))[0]
    return Outcome(f"scope{drawn.number}", figures, int(tried.trades[0]), 0.125 + drawn.number / 3, DAYS, -17)


@pytest.mark.requirement("T11")
def test_what_is_drawn_waits_is_told_and_is_there_for_the_next_one(store: TrialStore, url: str | None) -> None:
    assert store.progress() == Progress(0, 0, 0, 0)
    store.draw(5)
    drawn = store.taken_up(9)
    assert [each.number for each in drawn] == sorted(each.number for each in drawn)
    assert store.progress().waiting == 5
    for each in drawn[:3]:
        store.tell(each, outcome(each))
    assert [(each.number, each.candidate, each.outcome) for each in store.told()] == [
        (each.number, each.candidate, outcome(each)) for each in drawn[:3]
    ]
    assert store.progress().told == 3
    assert store.taken_up(9) == drawn[3:]
    if url is None:
        return
    with opened("s", searching.spec(population=4), "other/1#0", url) as next_one:
        assert next_one.told() == store.told()
        assert next_one.taken_up(9) == []
        next_one.bury("host/", is_crash=True)
        assert next_one.taken_up(1) == drawn[3:4]
        assert next_one.taken_up(9) == drawn[3:]
        assert store.taken_up(9) == []  # it is thought dead, and may not take back what another one has
    with opened("another", searching.spec(population=4), "other/1#0", url) as stranger:
        assert stranger.progress() == Progress(0, 0, 0, 0)


def test_draws_are_those_of_the_seed_wherever_they_are_kept(store: TrialStore) -> None:
    with opened("s", searching.spec(population=4), "x#0") as in_memory:
        for _ in range(3):
            for each in (store, in_memory):
                each.draw(4)
                for drawn in each.taken_up(4):
                    each.tell(drawn, outcome(drawn))
        assert in_memory.told() == store.told()


def test_several_may_open_a_new_storage_at_the_same_moment(url: str | None) -> None:
    if url is None or url.startswith("sqlite"):
        pytest.skip("memory is one's own, and a file is opened by the process that holds its run directory")
    everybody = Barrier(3)

    def opening(place: int) -> Progress:
        everybody.wait(30)
        with opened("s", searching.spec(), f"host/{place}#{place}", url) as store:
            return store.progress()

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(opening, range(3))) == [Progress(0, 0, 0, 0)] * 3


def test_two_who_draw_at_once_are_given_numbers_of_their_own(url: str | None) -> None:
    if url is None:
        pytest.skip("memory is shared with nobody")
    numbers = count()
    with (
        opened("s", searching.spec(), f"a/{next(numbers)}#0", url) as one,
        opened("s", searching.spec(), f"b/{next(numbers)}#1", url) as two,
    ):
        for _ in range(3):
            one.draw(2)
            two.draw(2)
        mine, other = one.taken_up(20), two.taken_up(20)
        assert len({each.number for each in (*mine, *other)}) == 12
        assert not {repr(each.candidate) for each in mine[2:]} & {repr(each.candidate) for each in other}

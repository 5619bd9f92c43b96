"""Several processes search one strategy, one of them is killed, and nothing is lost or counted twice."""

import multiprocessing
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.support import searching

from trading.adapters.trial_ledger import TrialLedger
from trading.errors import InvalidInput
from trading.evolution.conduct import STORAGE_NAME, conduct
from trading.evolution.trial_store import opened


@pytest.mark.requirement("T11")
@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_its_candidates_are_taken_up(tmp_path: Path) -> None:
    data = searching.write_bars(tmp_path / "bars", days=30, symbols=("AAA",))
    changes = {"strategy": "random_entry", "trials": 16, "population": 8, "finalists": 1, "holdout_days": 5}
    order = searching.order(data, tmp_path / "run", tmp_path / "trials.db", workers=2, **changes)
    course = order.course()
    killed: list[int] = []

    def report(phase: str, done: int, _total: int) -> None:
        if phase == "searching" and done >= 2 and not killed:
            victim = multiprocessing.active_children()[0]
            victim.kill()
            victim.join()
            killed.append(victim.pid or 0)

    found = conduct(order, course, report)
    assert killed
    assert 16 <= found.trials <= 24
    ledger = TrialLedger.at(order.ledger)
    counted = Counter(str(entry.body["scope"]) for entry in ledger.entries())
    ledger.close()
    assert counted == Counter({course.scope_of(each.parameters): 1 for each in found.candidates})
    with opened(found.search_id, order.spec, "onlooker#0", f"sqlite:///{order.run_dir / STORAGE_NAME}") as store:
        progress = store.progress()
        assert (progress.told, progress.waiting, progress.given_up) == (found.trials, 0, 0)
    assert multiprocessing.active_children() == []
    # The same command again: nothing is searched, and the answer is the same.
    began = time.monotonic()
    assert conduct(order, course) == found
    assert time.monotonic() - began < 30


def test_a_run_directory_is_of_one_search_and_of_one_process(tmp_path: Path) -> None:
    data = searching.write_bars(tmp_path / "bars", days=30, symbols=("AAA",))
    changes = {"strategy": "random_entry", "trials": 2, "population": 2, "finalists": 0, "holdout_days": 5}
    order = searching.order(data, tmp_path / "run", tmp_path / "trials.db", **changes)

    def meanwhile(_phase: str, _done: int, _total: int) -> None:
        with pytest.raises(InvalidInput, match="another process"):
            conduct(order, order.course())

    conduct(order, order.course(), meanwhile)
    other = searching.order(data, tmp_path / "run", tmp_path / "trials.db", **{**changes, "seed": 6})
    with pytest.raises(InvalidInput, match="another search"):
        conduct(other, other.course())
    for workers in (0, 65):
        with pytest.raises(InvalidInput, match="workers"):
            searching.order(data, tmp_path / "run", tmp_path / "trials.db", workers=workers)

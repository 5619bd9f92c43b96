"""Searches that are killed: each attempt is a process of its own that ends itself by SIGKILL at the n-th commit of any
of its databases (the storage of the trials and the lifetime ledger), and the next one goes on where it was.

    python -m tests.support.search_crash FOLDER AT AT ...

prints what an undisturbed search and the killed one made, as JSON.
"""

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from trading.adapters.trial_ledger import TrialLedger
from trading.evolution.conduct import STORAGE_NAME, SearchOrder, conduct
from trading.evolution.found import document_of, load
from trading.evolution.trial_store import opened

from . import searching

KILLED = -signal.SIGKILL


def attempt(order: SearchOrder, kill_at: int | None, commits_to: Path | None = None) -> int:
    """Search in a process of its own; return its exit code."""
    pid = os.fork()
    if pid == 0:
        _search(order, kill_at, commits_to)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _search(order: SearchOrder, kill_at: int | None, commits_to: Path | None) -> None:
    commits = 0

    def committing(_connection: sa.Connection) -> None:
        nonlocal commits
        commits += 1
        if commits == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sa.event.listen(sa.Engine, "commit", committing)
    code = 1
    try:
        conduct(order, order.course())
        if commits_to is not None:
            commits_to.write_text(str(commits))
        code = 0
    finally:
        if code:
            sys.excepthook(*sys.exc_info())
        os._exit(code)


def made(order: SearchOrder) -> dict[str, Any]:
    """Return what a finished search left: its findings, what the ledger counted, and how its trials stand."""
    ledger = TrialLedger.at(order.ledger)
    counted = Counter(str(entry.body["scope"]) for entry in ledger.entries())
    altered = ledger.verify()
    ledger.close()
    found = document_of(load(order.run_dir))
    with opened(found["search_id"], order.spec, "onlooker#0", f"sqlite:///{order.run_dir / STORAGE_NAME}") as store:
        progress = store.progress()
    return {
        "found": found,
        "returns": load(order.run_dir).returns().tolist(),
        "counted": sorted(counted.items()),
        "is_intact": altered is None,
        "told": progress.told,
        "waiting": progress.waiting,
        "given_up": progress.given_up,
    }


def small_order(folder: Path, name: str) -> SearchOrder:
    """Return the order of a search that takes a second or two, over bars that are written into the folder."""
    data = searching.write_bars(folder / "bars", days=30, symbols=("AAA",))
    changes = {"strategy": "random_entry", "trials": 12, "population": 5, "finalists": 1, "holdout_days": 5}
    return searching.order(data, folder / name, folder / f"{name}.db", **changes)


def compare(folder: Path, kills: Sequence[int]) -> dict[str, Any]:
    """Run an undisturbed search and one that is killed at each of these commits in turn, ``kills`` counted from the
    start of each attempt, and then goes on to its end. Return both, and the exit codes of the attempts."""
    quiet = small_order(folder, "quiet")
    commits = folder / "commits"
    if attempt(quiet, None, commits) != 0:
        raise SystemExit(1)
    killed = replace(quiet, run_dir=folder / "killed", ledger=folder / "killed.db")
    codes = [attempt(killed, at) for at in kills]
    codes.append(attempt(killed, None))
    return {"quiet": made(quiet), "killed": made(killed), "codes": codes, "commits": int(commits.read_text())}


if __name__ == "__main__":
    print(json.dumps(compare(Path(sys.argv[1]), [int(each) for each in sys.argv[2:]])))

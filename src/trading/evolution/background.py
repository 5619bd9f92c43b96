"""The search in the background, as a process: ``python -m trading.evolution.background``.

It is told what to do in one JSON line on standard input, says how far it is in JSON lines on standard output, and ends
with the process that started it: when its standard input is closed.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Final

from trading.adapters.candidate_store import STORE_NAME, CandidateStore
from trading.errors import TradingError
from trading.feeds.replay import ReplayFeed, open_replay
from trading.runtime.assembly import chosen_profile

from .conduct import SearchOrder, conduct
from .course import DAY_NS, Course, SearchSpec, days_of
from .desk_bars import recorded_feed
from .errand import Errand
from .evidence import propose_found
from .found import Found
from .pace import Pace, step_back

HOLDOUT_SHARE: Final = 5
RETRY_S: Final = 3_600.0
"""How long it waits where there is too little to search on, or all of today's is done."""
SAID_MAX: Final = 300


Say = Callable[[dict[str, Any]], None]


class Background:
    """Searches each strategy once a day. ``say`` gets what is to be shown, ``rest`` is called between batches."""

    def __init__(self, errand: Errand, say: Say, rest: Callable[[], None]) -> None:
        self._errand = errand
        self._say = say
        self._rest = rest

    def day(self, today: int) -> int:
        """Do what is to be done on a day (days since 1970, which is the seed too); return how many searches ended."""
        done = 0
        for strategy in self._errand.strategies:
            try:
                found = self._searched(strategy, today)
                self._propose(found)
            except TradingError as error:
                self._say({"strategy": strategy, "phase": "waiting", "said": str(error)[:SAID_MAX]})
                continue
            done += 1
            self._say(
                {
                    "strategy": strategy,
                    "phase": "done",
                    "search_id": found.search_id,
                    "done": found.trials,
                    "total": found.trials,
                    "finalists": len(found.finalists),
                    "family_trials": found.family_trials,
                    "said": "",
                }
            )
        return done

    def _searched(self, strategy: str, today: int) -> Found:
        errand = self._errand
        profiles_dir = None if errand.profiles_dir is None else Path(errand.profiles_dir)
        feed = self._feed()
        spec = SearchSpec(
            strategy=strategy,
            rules=chosen_profile(errand.profile, folder=profiles_dir),
            equity_lamports=errand.equity_lamports,
            trials=errand.trials_each,
            seed=today,
        )
        course = Course(replace(spec, holdout_days=days_of(feed) // HOLDOUT_SHARE), feed)
        folder = Path(errand.folder)
        run_dir = folder / "evolution" / course.search_id
        order = SearchOrder(course.spec, tuple(map(Path, errand.data)), run_dir, folder / "trials.db")

        def report(phase: str, done: int, total: int) -> None:
            self._say(
                {
                    "strategy": strategy,
                    "phase": phase,
                    "search_id": course.search_id,
                    "done": done,
                    "total": total,
                    "said": "",
                }
            )
            self._rest()

        return conduct(order, course, report, self._rest)

    def _feed(self) -> ReplayFeed:
        errand = self._errand
        feed = open_replay(list(map(Path, errand.data))) if errand.data else recorded_feed(Path(errand.run_dir))
        to_ns = feed.last_ns // DAY_NS * DAY_NS
        from_ns = to_ns - errand.days_max * DAY_NS
        return feed if feed.first_ns > from_ns else feed.cut(from_ns, to_ns)

    def _propose(self, found: Found) -> None:
        store = CandidateStore.at(Path(self._errand.folder) / STORE_NAME)
        try:
            propose_found(store, found, "search", time.time_ns())
        finally:
            store.close()


def main(told: IO[bytes], out: IO[str]) -> None:
    """Do the errand until standard input is closed."""
    errand = Errand.of_line(told.readline())
    threading.Thread(target=_end_with, args=(told,), name="evolution-end", daemon=True).start()
    step_back()
    pace = Pace(errand.cpu_budget_percent)

    def say(state: dict[str, Any]) -> None:
        line = {**state, "cpu_s": round(time.process_time(), 3), "pid": os.getpid()}
        out.write(json.dumps(line) + "\n")
        out.flush()

    background = Background(errand, say, pace.rest)
    finished: int | None = None
    while True:
        today = time.time_ns() // DAY_NS
        if finished != today and background.day(today) == len(errand.strategies):
            finished = today
        pace.rest()
        time.sleep(RETRY_S)


def _end_with(told: IO[bytes]) -> None:
    """End this process when the one that started it has ended or wishes so."""
    while told.readline():
        pass
    os._exit(0)


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout)

"""A whole search as a person orders it: a run directory, one process or several, and the same command to go on.

Several workers are processes of their own, spawned, each with the data loaded and a connection to the storage. They die
with the process that ordered them; one that crashes is replaced, a bounded number of times.
"""

import contextlib
import json
import multiprocessing
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

import portalocker

from trading.adapters.canonical import canonical_json
from trading.adapters.trial_ledger import TrialLedger
from trading.errors import InvalidInput, TradingError
from trading.feeds.replay import open_replay

from .bench import bench_of
from .course import Course, SearchSpec
from .found import FOUND_NAME, Found, load
from .search import Pause, Report, Worker, finish, recount, silent, unhurried
from .trial_store import LEASE_S, TrialStore, opened

STORAGE_NAME: Final = "search.db"
MARK_NAME: Final = "search.json"
LOCK_NAME: Final = "search.lock"
WORKERS_MAX: Final = 64
CRASHES_MAX: Final = 8
"""Of workers, all together: more is no accident."""
LOOK_S: Final = 0.3


class SearchFailed(TradingError):
    """The workers of a search died too often."""

    code = "search_failed"


@dataclass(frozen=True, slots=True)
class SearchOrder:
    """``data`` are files or folders of bars or swaps, cut to ``from_ns`` and ``to_ns``. ``storage`` None: a SQLite file
    in the run directory; PostgreSQL's URL lets other machines join. ``ledger`` is the lifetime ledger's file."""

    spec: SearchSpec
    data: tuple[Path, ...]
    run_dir: Path
    ledger: Path
    from_ns: int | None = None
    to_ns: int | None = None
    storage: str | None = None
    workers: int = 1

    def __post_init__(self) -> None:
        """Raises: InvalidInput."""
        if not 1 <= self.workers <= WORKERS_MAX:
            msg = f"workers: from 1 to {WORKERS_MAX}, not {self.workers}"
            raise InvalidInput(msg, field="workers")

    def course(self) -> Course:
        """Load the data. Raises: InvalidInput, DataError."""
        return Course(self.spec, open_replay(self.data, from_ns=self.from_ns, to_ns=self.to_ns))

    @property
    def url(self) -> str:
        return self.storage or f"sqlite:///{(self.run_dir / STORAGE_NAME).absolute()}"


def conduct(order: SearchOrder, course: Course, report: Report = silent, pause: Pause = unhurried) -> Found:
    """Search as ordered, from where an earlier command with this run directory stopped, and return what was found.

    Raises: InvalidInput (the run directory belongs to another search, or is in use), DataError, SearchFailed,
    TrialStoreUnavailable, TrialLedgerUnavailable.
    """
    with _held(order.run_dir, course):
        if (order.run_dir / FOUND_NAME).exists():
            return load(order.run_dir)
        ledger = TrialLedger.at(order.ledger)
        try:
            with opened(course.search_id, order.spec, worker_name(order.run_dir, 0), order.url) as store:
                # What still runs under this directory's name does so for a command that is no more.
                store.bury(_token(order.run_dir), is_crash=False)
                recount(course, store, ledger)
                if order.workers == 1:
                    with beating(store):
                        Worker(course, store, ledger, bench_of(course, order.run_dir), 1, pause).run(report)
                else:
                    _with_workers(order, store, report)
                return finish(course, store, ledger, order.run_dir, report)
        finally:
            ledger.close()


def worker_name(run_dir: Path, place: int) -> str:
    """Return a name that no other worker has or had; it begins with what all workers of the directory share."""
    return f"{_token(run_dir)}/{os.getpid()}-{secrets.token_hex(4)}#{place}"


@contextmanager
def beating(store: TrialStore) -> Iterator[None]:
    """Give signs of life while the block runs, however long a batch takes."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(LEASE_S / 4):
            # A storage that does not answer now is asked again, and the worker itself meets the error.
            with contextlib.suppress(TradingError):
                store.beat()

    thread = threading.Thread(target=beat, name="search-beat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _token(run_dir: Path) -> str:
    """Return what names a run directory: written into it once, so that a copy on another machine is not taken for it
    while both are alive."""
    body: Mapping[str, str] = json.loads((run_dir / MARK_NAME).read_bytes())
    return body["token"]


@contextmanager
def _held(run_dir: Path, course: Course) -> Iterator[None]:
    """Hold the run directory for this search alone. Raises: InvalidInput."""
    run_dir.mkdir(parents=True, exist_ok=True)
    try:
        with portalocker.Lock(run_dir / LOCK_NAME, "a", fail_when_locked=True):
            mark = run_dir / MARK_NAME
            if not mark.exists():
                part = mark.with_suffix(".part")
                part.write_bytes(canonical_json({"search_id": course.search_id, "token": secrets.token_hex(8)}))
                part.replace(mark)
            known = json.loads(mark.read_bytes())["search_id"]
            if known != course.search_id:
                msg = f"{run_dir} holds another search: {known}, and this one is {course.search_id}"
                raise InvalidInput(msg, field="run_dir", hint="name another --run-dir, or leave it out")
            yield
    except portalocker.exceptions.LockException as error:
        msg = f"{run_dir} is searched by another process"
        raise InvalidInput(msg, field="run_dir", hint="wait for it, or stop it") from error


def _with_workers(order: SearchOrder, store: TrialStore, report: Report) -> None:
    """Keep so many workers going until all of them have nothing left to do. Raises: SearchFailed."""
    context = multiprocessing.get_context("spawn")
    crashes = 0

    def started(place: int) -> tuple[str, BaseProcess]:
        name = worker_name(order.run_dir, place)
        process = context.Process(target=_work, args=(order, name), name=f"search-{place}", daemon=True)
        process.start()
        return name, process

    running = {place: started(place) for place in range(order.workers)}
    try:
        while running:
            time.sleep(LOOK_S)
            store.beat()
            report("searching", min(store.progress().told, order.spec.trials), order.spec.trials)
            for place, (name, process) in list(running.items()):
                if process.is_alive():
                    continue
                process.join()
                del running[place]
                if process.exitcode == 0:
                    continue
                crashes += 1
                store.bury(name, is_crash=True)
                if crashes > CRASHES_MAX:
                    msg = f"{crashes} workers of the search died, the last with exit code {process.exitcode}"
                    raise SearchFailed(msg, hint="search with --workers 1 to see why; what was found so far is kept")
                running[place] = started(place)
    finally:
        for _, process in running.values():
            process.terminate()
            process.join()


def _work(order: SearchOrder, name: str) -> None:
    """What a worker's process does."""
    threading.Thread(target=_die_with_parent, name="search-parent", daemon=True).start()
    course = order.course()
    ledger = TrialLedger.at(order.ledger)
    try:
        with opened(course.search_id, order.spec, name, order.url) as store, beating(store):
            Worker(course, store, ledger, bench_of(course, order.run_dir), order.workers).run()
    finally:
        ledger.close()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

"""Finding a recorded run: by the directory it lives in, or by its id among a person's desks."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trading.adapters.canonical import parse_json
from trading.adapters.sql_journal import JournalStore, RunInfo, SqlJournal
from trading.engine.inputs import ADVISED, decode_input
from trading.errors import InvalidInput
from trading.model.market_data import Advised

from .plans import KeptPlan, kept_plan

JOURNAL_NAME: Final = "journal.db"
EXECUTION_NAME: Final = "execution.db"
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A run that is read, finished or still going on: nothing is written to it."""

    run_id: str
    journal: SqlJournal
    path: Path

    def plan(self) -> KeptPlan:
        """Return what the run is made of. Raises: InvalidInput for a run that was never told."""
        text = self.journal.store.plan(self.journal.run)
        if text is None:
            msg = f"run: {self.run_id} was made by a version that did not keep what a run is made of"
            raise InvalidInput(msg, field="run", hint="a session that goes on keeps it from its next start on")
        return kept_plan(text)

    def result(self) -> dict[str, Any] | None:
        """Return what a finished backtest came to, None for a run that has not ended or has no result."""
        text = self.journal.store.result(self.journal.run)
        return None if text is None else parse_json(text)


def recorded_advice(named: str) -> list[Advised]:
    """Return what the sidecar said in a run, in the order in which it came in. Raises: as ``recorded_run``."""
    found: list[Advised] = []
    with recorded_run(named) as run:
        for row in run.journal.rows(kinds=(ADVISED,)):
            event = decode_input(row.kind, row.ts_ns, parse_json(row.body))
            assert isinstance(event, Advised)
            found.append(event)
    return found


@contextmanager
def recorded_run(named: str, desks: Sequence[Path] = ()) -> Iterator[RecordedRun]:
    """Open the newest run of a directory, the run ``DIRECTORY:RUN_ID``, or the run of that id in one of ``desks``.

    Raises: InvalidInput naming what was looked for and what there is, JournalUnavailable.
    """
    directory, run_id = _place_of(named, desks)
    store = JournalStore.at(directory / JOURNAL_NAME)
    try:
        info = _chosen(store.all_runs(), run_id, directory)
        yield RecordedRun(info.run_id, store.open_run(info.number), store.path)
    finally:
        store.close()


def _place_of(named: str, desks: Sequence[Path]) -> tuple[Path, str | None]:
    if (Path(named) / JOURNAL_NAME).is_file():
        return Path(named), None
    before, colon, after = named.rpartition(":")
    if colon and (Path(before) / JOURNAL_NAME).is_file():
        return Path(before), after
    for desk in desks:
        if (desk / JOURNAL_NAME).is_file() and _holds(desk / JOURNAL_NAME, named):
            return desk, named
    looked = [f"a directory with a {JOURNAL_NAME}", *(f"a run in {desk}" for desk in desks)]
    msg = f"run: {named[:200]!r} is neither {' nor '.join(looked)}"
    raise InvalidInput(msg, field="run", hint="give the --run-dir of a backtest or of a paper session")


def _holds(path: Path, run_id: str) -> bool:
    store = JournalStore.at(path)
    try:
        return any(info.run_id == run_id for info in store.all_runs())
    finally:
        store.close()


def _chosen(known: Sequence[RunInfo], run_id: str | None, directory: Path) -> RunInfo:
    found = [info for info in known if run_id is None or info.run_id == run_id]
    if not found:
        newest = ", ".join(info.run_id for info in known[:_SHOWN]) or "none"
        what = "no run" if run_id is None else f"no run {run_id!r}"
        msg = f"run: {directory} holds {what}; its newest are: {newest}"
        raise InvalidInput(msg, field="run")
    return found[0]

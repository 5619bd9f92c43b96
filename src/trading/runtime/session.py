"""One paper run, opened from the desk's disk: made new, or folded from its rows and gone on with."""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from trading.adapters.canonical import parse_json
from trading.adapters.sql_journal import JournalStore, SqlJournal
from trading.engine.control import Control, Outcome
from trading.engine.inputs import ENDED
from trading.engine.kernel import Kernel, StoredRow
from trading.model import commands
from trading.model.market_data import History, TokenListed, ts_of
from trading.ports import Feed, JournalRow

from .assembly import RunPlan, begin, make_kernel
from .history import stored_trade
from .sources import Cycle


@dataclass(frozen=True, slots=True)
class RunRef:
    """Which run a session is of. ``is_new``: it was begun just now."""

    number: int
    run_id: str
    is_new: bool


class Session:
    """A kernel with its journal. Belongs to the loop's thread; ``commit`` makes what it did durable."""

    def __init__(self, kernel: Kernel, journal: SqlJournal, run: RunRef) -> None:
        self.kernel = kernel
        self.control = Control(kernel)
        self.journal = journal
        self.run = run
        self.has_ended = False
        self._trades_kept = journal.trades_known()

    @property
    def run_id(self) -> str:
        return self.run.run_id

    @property
    def cycles(self) -> int:
        """Cycles taken so far over the whole run."""
        return self.kernel.cycles

    def take(self, cycle: Cycle) -> None:
        """Dispatch the events of a cycle.

        A live feed that was opened anew may bring a close that the run has had already: of that only the news that a
        token is listed and its history are taken, because time never runs backwards in a run.
        """
        kernel = self.kernel
        now_ns = kernel.state.now_ns
        if kernel.cycles and ts_of(cycle.events[-1]) <= now_ns:
            for event in cycle.events:
                if isinstance(event, TokenListed) and event.instrument.mint in kernel.valuer.instruments:
                    continue
                if isinstance(event, TokenListed | History):
                    kernel.on_event(replace(event, ts_ns=now_ns))
            return
        for event in cycle.events:
            kernel.on_event(event)

    def end(self) -> None:
        self.has_ended = True
        self.kernel.end()

    def command(self, command: commands.Command) -> Outcome:
        """Carry a command out. Raises: InvalidInput."""
        return self.control.take(command)

    def remember_answer(self, scope: str, key: str, answer: Mapping[str, Any]) -> None:
        """Keep what was answered to a key, durable with what was done."""
        self.journal.remember_answer(scope, key, answer)

    def commit(self) -> None:
        """Make durable what was done since the last commit, with the fills as they are shown."""
        kept = self._trades_kept
        for trade in self.kernel.state.trades_after(kept):
            self.journal.remember_trade(trade.number, trade.filled.strategy, stored_trade(trade))
            kept = trade.number
        self.journal.commit()
        self._trades_kept = kept

    def discard(self) -> None:
        """Forget what was not committed; the session is of no use after that."""
        self.journal.close()


class Opener:
    """Opens the session of a plan: the same run again and again, until its feed has ended."""

    def __init__(
        self, store: JournalStore, plan: RunPlan, feed: Feed | None, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._store = store
        self._plan = plan
        self._feed = feed
        self._now_ns = now_ns
        self._run: RunRef | None = None

    def __call__(self) -> Session:
        """Return the session as the disk has it.

        Raises: JournalUnavailable; DataError when the recorded feed is not the one that the run was made from.
        """
        run = self._run or self._found() or self._begun()
        journal = self._store.open_run(run.number)
        kernel = make_kernel(self._plan, run.run_id, journal)
        if journal.horizon() == 0:
            begin(kernel)
            journal.commit()
        else:
            recorded = self._feed.events() if self._feed is not None and self._plan.by_reference else None
            kernel.restore(_stored(journal.rows()), recorded)
        self._run = RunRef(run.number, run.run_id, is_new=False)
        session = Session(kernel, journal, run)
        if kernel.state.profile.name != self._plan.profile.name:
            reason = f"the desk was started with profile {self._plan.profile.name}"
            key = f"start/{kernel.cycles}/{self._plan.profile.name}"
            session.command(commands.SwitchProfile(key, "operator", reason, self._plan.profile.name))
            session.commit()
        return session

    def _found(self) -> RunRef | None:
        """Return the newest run of this account, unless its feed came to an end."""
        found = self._store.newest_run(self._plan.identity)
        if found is None or self._store.open_run(found.number).newest((ENDED,)):
            return None
        return RunRef(found.number, found.run_id, is_new=False)

    def _begun(self) -> RunRef:
        run_id = f"run_{secrets.token_hex(6)}"
        journal = self._store.start_run(run_id, self._plan.identity, self._now_ns())
        return RunRef(journal.run, run_id, is_new=True)


def _stored(rows: Iterator[JournalRow]) -> Iterator[StoredRow]:
    for row in rows:
        yield StoredRow(row.ts_ns, row.kind, parse_json(row.body))

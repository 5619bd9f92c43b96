"""One paper run, opened from the desk's disk: made new, or folded from its rows and gone on with."""

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from trading.adapters.canonical import parse_json
from trading.adapters.sql_journal import Checkpoint, JournalStore, SqlJournal
from trading.engine import checkpoint
from trading.engine.control import Control, Outcome
from trading.engine.inputs import ENDED
from trading.engine.kernel import Kernel
from trading.engine.promoting import with_promoted
from trading.engine.run import StoredRow
from trading.errors import JournalUnavailable, TradingError
from trading.execution.reported_venue import ReportedVenue, report_of
from trading.model import commands
from trading.model.advice import Exchange
from trading.model.intent import IntentRecord
from trading.model.market_data import Advised, Bar, CycleEnd, History, MarketEvent, TokenListed, VenueReported, ts_of
from trading.model.order import Order
from trading.model.profile import profile_named
from trading.model.profile_content import content_of, profile_of
from trading.model.trading_day import UTC
from trading.model.wallet import MAIN, WalletTerms
from trading.ports import Bookmarked, Feed, JournalRow

from .assembly import RunPlan, begin, make_kernel
from .bans import with_banned
from .history import stored_trade
from .plans import plan_text
from .sources import Cycle

AT_START = "start/"
"""How the key of a switch begins that a start of the desk asked for."""
BANNED = "banned/"
"""How the key of a switch begins that only adds bans to the profile in force."""
ROWS_AT_ONCE = 50
CHECKPOINT_CYCLES = 2_000
"""How many cycles a restart folds at most."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunRef:
    """Which run a session is of. ``is_new``: it was begun just now."""

    number: int
    run_id: str
    is_new: bool


class Session:
    """A kernel with its journal. Belongs to the loop's thread; ``commit`` makes what it did durable."""

    def __init__(self, kernel: Kernel, journal: SqlJournal, run: RunRef, feed: Feed | None = None) -> None:
        self._feed = _bookmarked(feed)
        self.kernel = kernel
        self.control = Control(kernel)
        self.journal = journal
        self.run = run
        self.has_ended = False
        self.checkpointed_at = 0
        """The cycle of the newest checkpoint that was written or read."""
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
                    self._keep_bars(event)
            return
        for event in cycle.events:
            kernel.on_event(event)
            self._keep_bars(event)

    def _keep_bars(self, event: MarketEvent) -> None:
        """Keep the prices that the market told of, for who looks at a chart; no decision is made from them."""
        if type(event) is Bar:
            self.journal.remember_bar(event)
        elif type(event) is History:
            for bar in event.bars:
                self.journal.remember_bar(bar)

    def end(self) -> None:
        self.has_ended = True
        self.kernel.end()

    def command(self, command: commands.Command) -> Outcome:
        """Carry a command out. Raises: InvalidInput."""
        return self.control.take(command)

    def open_orders(self) -> list[Order]:
        """Return what is approved and has no report yet, oldest first."""
        return list(self.kernel.venue.open_orders())

    def report(self, order_id: str, record: IntentRecord) -> bool:
        """Book what a final intent came to; False where its order is not open any more: it is booked already."""
        kernel = self.kernel
        venue = kernel.venue
        assert isinstance(venue, ReportedVenue)
        order = next((each for each in venue.open_orders() if each.id == order_id), None)
        if order is None:
            return False
        instrument = kernel.valuer.instruments[order.mint]
        now_ns = kernel.state.now_ns
        report = report_of(order, venue.marked_at(order_id), record, instrument, now_ns)
        signature = record.settlement.signature if record.settlement is not None else record.intent.id
        kernel.on_event(VenueReported(now_ns, report, signature))
        return True

    def advised(self, exchange: Exchange) -> None:
        """Take what the sidecar said, or how it failed to; a run that has ended takes nothing more."""
        if not self.has_ended:
            self.kernel.on_event(Advised(self.kernel.state.now_ns, exchange))

    def remember_answer(self, scope: str, key: str, answer: Mapping[str, Any]) -> None:
        """Keep what was answered to a key, durable with what was done."""
        self.journal.remember_answer(scope, key, answer)

    def commit(self) -> None:
        """Make durable what was done since the last commit, with the fills as they are shown."""
        kept = self._trades_kept
        for trade in self.kernel.state.trades_after(kept):
            self.journal.remember_trade(trade.number, trade.filled.strategy, stored_trade(trade))
            kept = trade.number
        self.journal.remember_progress(self.cycles)
        self.journal.commit()
        self._trades_kept = kept
        if self.is_checkpoint_due:
            self._keep_checkpoint()

    def _keep_checkpoint(self) -> None:
        """Write down the state after the rows that it rests on are durable."""
        bookmark = None if self._feed is None else self._feed.bookmark(self.cycles)
        body = {"kernel": checkpoint.taken(self.kernel), "feed": bookmark}
        self.journal.store.keep_checkpoint(self.run.number, self.journal.horizon(), body)
        self.checkpointed_at = self.cycles

    @property
    def is_checkpoint_due(self) -> bool:
        return self.cycles - self.checkpointed_at >= CHECKPOINT_CYCLES

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
        if journal.horizon() == 0:
            kernel = make_kernel(self._plan, run.run_id, journal)
            begin(kernel)
            journal.commit()
            session = Session(kernel, journal, run, self._feed)
        else:
            session = self._restored(journal, run)
            kernel = session.kernel
        self._store.keep_plan(run.number, plan_text(self._plan_as_begun(journal)))
        self._run = RunRef(run.number, run.run_id, is_new=False)
        self._obey(session)
        self._use_wallets(session)
        return session

    def _obey(self, session: Session) -> None:
        """Switch to the profile of this start, unless the last start asked for it too.

        What was switched to since then stays: neither a crash, a full disk nor a new version may undo it. A profile of
        that name whose content has changed is taken anew where it is the one in force.
        """
        present = session.kernel.state.profile
        profile = with_promoted(self._plan.profile, present)
        if _asked(session.journal) == profile.name and (present == profile or present.name != profile.name):
            self._ban(session)
            return
        reason = f"the desk was started with profile {profile.name}"
        key = f"{AT_START}{session.cycles}/{profile.name}"
        session.command(commands.SwitchProfile(key, "operator", reason, profile.name, content_of(profile)))
        session.commit()

    def _ban(self, session: Session) -> None:
        """Let a profile that stays have the bans of this start too."""
        present = session.kernel.state.profile
        wanted = with_banned(present, set(self._plan.profile.rugs.banned))
        if wanted is not present:
            reason = "tokens were banned since the last start"
            key = f"{BANNED}{session.cycles}"
            session.command(commands.SwitchProfile(key, "operator", reason, wanted.name, content_of(wanted)))
            session.commit()

    def _use_wallets(self, session: Session) -> None:
        """Go on with the wallets of this start, where they are others than before.

        Raises: InvalidInput for one that is missing and still holds something of the desk.
        """
        book, wanted = session.kernel.state.wallets, self._plan.wallets
        present = () if book is None else tuple(wallet.terms for wallet in book.wallets.values())
        if len(wanted) < 2 and book is None:
            return
        wanted = wanted or (WalletTerms(MAIN),)
        if [replace(each, lamports=0) for each in present] == [replace(each, lamports=0) for each in wanted]:
            return
        key = f"{AT_START}wallets/{session.journal.horizon()}"
        session.command(commands.UseWallets(key, "operator", "the desk was started with these wallets", wanted))
        session.commit()

    def _restored(self, journal: SqlJournal, run: RunRef) -> Session:
        """Return the session as its rows say, from the newest checkpoint that fits and the rows behind it."""
        for point in self._store.checkpoints(run.number, journal.horizon()):
            try:
                return self._from_checkpoint(point, journal, run)
            except JournalUnavailable:
                raise
            except (TradingError, KeyError) as error:
                logger.warning("a checkpoint of run %s is passed over: %s", run.run_id, error)
        kernel = make_kernel(self._plan_as_begun(journal), run.run_id, journal)
        kernel.restore(_stored(journal.rows()), self._recorded(0))
        self._catch_up(kernel, journal)
        return Session(kernel, journal, run, self._feed)

    def _plan_as_begun(self, journal: SqlJournal) -> RunPlan:
        """Return the plan with the profile and the zone that the run began under: a later profile is switched to, which
        is a row, and the zone stays."""
        [header] = journal.newest(("run_started",))
        began = parse_json(header.body)
        plan = replace(self._plan, zone=began.get("zone") or UTC)
        if "content" in began:
            return replace(plan, profile=profile_of(began["content"]))
        name = str(began["profile"])  # a run of before the header held it all
        return plan if name == plan.profile.name else replace(plan, profile=profile_named(name))

    def _catch_up(self, kernel: Kernel, journal: SqlJournal) -> None:
        """Take the quiet cycles once more that were committed without a row, so that time does not go back."""
        behind = journal.progress() - kernel.cycles
        events = self._recorded(kernel.cycles) if behind > 0 else None
        for event in events or ():
            kernel.on_event(event)
            behind -= isinstance(event, CycleEnd)
            if behind <= 0:
                return

    def _from_checkpoint(self, point: Checkpoint, journal: SqlJournal, run: RunRef) -> Session:
        kernel = make_kernel(self._plan_as_begun(journal), run.run_id, journal)
        checkpoint.put_back(kernel, point.body["kernel"])
        bookmarked, bookmark = _bookmarked(self._feed), point.body["feed"]
        if bookmarked is not None and bookmark is not None:
            bookmarked.recall(bookmark)
        session = Session(kernel, journal, run, self._feed)
        session.checkpointed_at = kernel.cycles
        kernel.restore(_stored(journal.rows(after=point.seq)), self._recorded(kernel.cycles))
        self._catch_up(kernel, journal)
        return session

    def _recorded(self, cycles: int) -> Iterator[MarketEvent] | None:
        return self._feed.events(cycles) if self._feed is not None and self._plan.by_reference else None

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


def _asked(journal: SqlJournal) -> str:
    """Return the name of the profile that the last start of the run asked for."""
    before: int | None = None
    while found := journal.newest(("switch_profile",), before=before, limit=ROWS_AT_ONCE):
        for row in found:
            body = parse_json(row.body)
            if str(body["key"]).startswith(AT_START):
                return str(body["profile"])
        before = found[-1].seq
    [header] = journal.newest(("run_started",))
    return str(parse_json(header.body)["profile"])


def _bookmarked(feed: object) -> Bookmarked | None:
    return feed if isinstance(feed, Bookmarked) else None


def _stored(rows: Iterator[JournalRow]) -> Iterator[StoredRow]:
    for row in rows:
        yield StoredRow(row.ts_ns, row.kind, parse_json(row.body))

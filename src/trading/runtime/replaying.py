"""A recorded run made once more from its inputs, and held against what it did.

The inputs are in the journal: market events by value or, of recorded and generated feeds, by reference, and every
command. Both sides are read in step, so memory does not grow with the run.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, get_args

from trading.adapters.canonical import canonical_json, parse_json
from trading.engine.control import Control
from trading.engine.inputs import ENDED, INPUT, MARKET_KINDS, NO_FEEDS, Stretch, decode_input, encode_input
from trading.engine.kernel import CYCLE_MARKED, Kernel
from trading.errors import DataError, InvalidInput
from trading.execution.conditions import Conditions
from trading.feeds.advised import INPUT_NAME as ADVICE
from trading.feeds.select import reopen
from trading.model import commands, events
from trading.model.event_codec import decode
from trading.model.market_data import Bar, CycleEnd, MarketEvent, ts_of
from trading.model.units import NS_PER_S
from trading.portfolio.ledger import Ledger
from trading.ports import Feed, JournalRow

from .assembly import ENGINE_VERSION, begin, make_kernel
from .attribution import KINDS
from .documents import iso
from .drift import Difference, DriftMeter, Report
from .plans import KeptPlan
from .recorded_runs import RecordedRun

WINDOW_BARS: Final = 12
"""Two entries that began at most so many bars apart may be the same trade."""
_FLOWS: Final = (events.CapitalDeposited, events.CapitalWithdrawn, events.CapitalMoved)
_BOOKED: Final = (
    *_FLOWS,
    events.AccountClosed,
    events.FeePaid,
    events.OrderFilled,
    events.OrderRejected,
    events.PositionWrittenOff,
)
_COMMANDS: Final = get_args(commands.Command)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ReplaySpec:
    """``feed``: what a run by reference is read from, where it is not where it was. ``conditions`` and ``seed`` take
    the place of the run's own."""

    feed: Feed | None = None
    conditions: Conditions | None = None
    seed: int | None = None
    window_bars: int = WINDOW_BARS


@dataclass(frozen=True, slots=True)
class Drift:
    """``first_row``: the seq of the first row that the replay writes otherwise, None where all are the same bytes.
    ``cash_lamports``: what the run's cash and rent have more than the replay's, deposits apart."""

    run_id: str
    kept: KeptPlan
    conditions: Conditions
    seed: int
    rows: int
    first_row: int | None
    cash_lamports: int
    report: Report

    @property
    def is_drifting(self) -> bool:
        return self.report.total > 0

    def document(self) -> dict[str, Any]:
        """Return the document of ``memmcp-trade drift --json``."""
        report, plan = self.report, self.kept.plan
        return {
            "run_id": self.run_id,
            "mode": plan.mode,
            "feed": plan.feed.detail,
            "drift": self.is_drifting,
            "trades": {
                "run": report.run_trades,
                "replay": report.replay_trades,
                "matched": report.matched,
                "identical": report.identical,
            },
            "by_kind": {kind: {"count": report.counts[kind], "lamports": report.lamports[kind]} for kind in KINDS},
            "cash_difference_lamports": self.cash_lamports,
            "attributed_lamports": report.attributed_lamports,
            "rows": self.rows,
            "rows_identical": self.first_row is None,
            "first_other_row": self.first_row,
            "conditions": {"run": plan.conditions.name, "replay": self.conditions.name},
            "seed": {"run": plan.seed, "replay": self.seed},
            "engine": {"run": self.kept.engine, "replay": ENGINE_VERSION},
            "differences": [_difference(each) for each in report.kept],
            "differences_left_out": report.total - len(report.kept),
        }


def measure(run: RecordedRun, spec: ReplaySpec, progress: Progress | None = None) -> Drift:
    """Replay the run as far as it is recorded. ``progress(rows, of)`` is called now and then.

    Raises: InvalidInput (a feed that is not the run's), DataError (rows or files that do not fit each other).
    """
    kept = run.plan()
    plan = kept.plan
    changed = replace(
        plan,
        conditions=plan.conditions if spec.conditions is None else spec.conditions,
        seed=plan.seed if spec.seed is None else spec.seed,
    )
    recorded = _recorded(kept, spec.feed)
    interval_ns = plan.feed.interval_s * NS_PER_S
    meter = DriftMeter(spec.window_bars * interval_ns, interval_ns)
    tap = _Tap(meter)
    kernel = make_kernel(changed, run.run_id, tap, kept.scope)
    begin(kernel)
    replayer = _Replayer(kernel, tap, recorded)
    of = run.journal.horizon()
    for row in run.journal.rows():
        if row.seq > of:  # written since we began: the next replay's
            break
        replayer.take(row)
        if progress is not None and row.seq % 1_000 == 0:
            progress(row.seq, of)
    tap.finish()
    return Drift(
        run_id=run.run_id,
        kept=kept,
        conditions=changed.conditions,
        seed=changed.seed,
        rows=of,
        first_row=tap.first_other,
        cash_lamports=replayer.owned_lamports - _owned(kernel.state.ledger),
        report=meter.finish(),
    )


def _recorded(kept: KeptPlan, given: Feed | None) -> Iterator[MarketEvent] | None:
    """Return the events that the rows only refer to, None where the rows hold them. Raises: InvalidInput."""
    plan = kept.plan
    if not plan.by_reference:
        if given is not None:
            msg = "data: the rows of this run hold what the market said; no bars are needed"
            raise InvalidInput(msg, field="data")
        return None
    feed = given or reopen(plan.feed.origin)
    # Recorded advice is in the run's own rows; the feed that is opened again has none.
    wanted = tuple(each for each in plan.feed.inputs if each[0] != ADVICE)
    if feed.description.inputs != wanted:
        have = ", ".join(f"{name} {digest[:12]}" for name, digest in feed.description.inputs)
        want = ", ".join(f"{name} {digest[:12]}" for name, digest in wanted)
        msg = f"data: the run was made from {want}; these are {have}"
        raise InvalidInput(msg, field="data", hint="name the bars of the run with --data, and its cut")
    return feed.events()


class _Tap:
    """A journal that keeps nothing: what the replay writes is told to the meter and held against the run's rows."""

    def __init__(self, meter: DriftMeter) -> None:
        self.meter = meter
        self.first_other: int | None = None
        self.seq = 0
        self._ahead: deque[tuple[int, str, bytes]] = deque()
        self._behind: deque[JournalRow] = deque()

    def append(self, ts_ns: int, kind: str, body: Mapping[str, Any], *, is_plain: bool = False) -> int:
        if kind not in MARKET_KINDS:
            self.meter.replay.tell(ts_ns, decode(kind, body))
        return self.append_canonical(ts_ns, kind, canonical_json(body, is_plain=is_plain))

    def append_canonical(self, ts_ns: int, kind: str, body: bytes) -> int:
        self.seq += 1
        if self.first_other is None:
            self._ahead.append((ts_ns, kind, body))
        return self.seq

    def hold_against(self, row: JournalRow) -> None:
        """Compare the run's next row as soon as the replay has written its own: a stretch is written with what ends
        it."""
        self._behind.append(row)
        while self.first_other is None and self._ahead and self._behind:
            ours = self._behind.popleft()
            if self._ahead.popleft() != (ours.ts_ns, ours.kind, ours.body):
                self.first_other = ours.seq
        if self.first_other is not None:
            self._ahead.clear()
            self._behind.clear()

    def finish(self) -> None:
        """Find what only one side has at the end; the last stretch may be waiting for what ends it."""
        left = next((row.seq for row in self._behind if row.kind not in (INPUT, CYCLE_MARKED)), None)
        if self.first_other is None:
            self.first_other = self.seq if self._ahead else left

    def commit(self) -> None:
        pass

    def rows(
        self,
        *,
        after: int = 0,
        kinds: Sequence[str] = (),
        since_ns: int | None = None,
        until_ns: int | None = None,
    ) -> Iterator[JournalRow]:
        return iter(())

    def newest(self, kinds: Sequence[str] = (), *, before: int | None = None, limit: int = 1) -> list[JournalRow]:
        return []

    def horizon(self) -> int:
        return self.seq

    def sha256(self) -> str:
        return ""

    def close(self) -> None:
        pass


class _Replayer:
    """Takes the run's rows: inputs go to the kernel, everything else is what the run made of them."""

    def __init__(self, kernel: Kernel, tap: _Tap, recorded: Iterator[MarketEvent] | None) -> None:
        self._kernel = kernel
        self._control = Control(kernel)
        self._tap = tap
        self._recorded = recorded
        self._ledger = Ledger()

    @property
    def owned_lamports(self) -> int:
        return _owned(self._ledger)

    def take(self, row: JournalRow) -> None:
        body = parse_json(row.body)
        meter = self._tap.meter
        if row.kind in MARKET_KINDS:
            meter.settle(self._kernel.state.now_ns)
            self._market(row, body)
        else:
            event = decode(row.kind, body)
            if isinstance(event, _COMMANDS):
                meter.settle(row.ts_ns)
                with suppress(InvalidInput):  # under other conditions there may be nothing to command
                    self._control.take(event)
            elif isinstance(event, _BOOKED):
                self._ledger.apply(event)
            meter.run.tell(row.ts_ns, event)
        self._tap.hold_against(row)

    def _market(self, row: JournalRow, body: Mapping[str, Any]) -> None:
        if row.kind == ENDED:
            self._kernel.end()
        elif self._recorded is None or row.kind in NO_FEEDS:
            self._kernel.on_event(decode_input(row.kind, row.ts_ns, body))
        elif row.kind == INPUT and Stretch.is_of(body):
            self._stretch(row, body, self._recorded)
        else:
            event = self._next(row, self._recorded)
            if encode_input(event, by_reference=True) != (row.kind, body):
                raise _other_feed(row, event)
            self._kernel.on_event(event)

    def _stretch(self, row: JournalRow, body: Mapping[str, Any], recorded: Iterator[MarketEvent]) -> None:
        """Give the kernel the recorded events that the row stands for."""
        stretch = Stretch()
        for _ in range(Stretch.count_of(body)):
            event = self._next(row, recorded)
            if type(event) is not Bar and type(event) is not CycleEnd:
                raise _other_feed(row, event)
            stretch.first = stretch.first or event
            stretch.newest = event
            stretch.events += 1
            self._kernel.on_event(event)
        if stretch.body() != body:
            raise _other_feed(row, stretch.newest)

    def _next(self, row: JournalRow, recorded: Iterator[MarketEvent]) -> MarketEvent:
        event = next(recorded, None)
        if event is None:
            raise _other_feed(row, None)
        return event


def _owned(ledger: Ledger) -> int:
    """Return what trading has left in cash and rent, deposits and withdrawals apart."""
    return ledger.cash_lamports + ledger.rent_lamports - ledger.net_deposits_lamports


def _other_feed(row: JournalRow, event: MarketEvent | None) -> DataError:
    seen = "nothing more" if event is None else f"{type(event).__name__} at {iso(ts_of(event))}"
    msg = f"row {row.seq} ({row.kind} at {iso(row.ts_ns)}) is not what the feed gives: {seen}"
    return DataError(msg, field="data", hint="bring the recorded file back, or name it with --data")


def _difference(each: Difference) -> dict[str, Any]:
    return {
        "kind": each.kind,
        "strategy": each.strategy,
        "mint": each.mint,
        "ts": iso(each.ts_ns),
        "lamports": each.lamports,
        "run": each.run,
        "replay": each.replay,
        "run_trajectory": each.run_trajectory,
        "replay_trajectory": each.replay_trajectory,
    }

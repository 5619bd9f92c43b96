"""The desk's figures for whoever watches: what the loop took, what the newest state says, what the journals tell.

The loop only leaves two durations; everything else is read beside it, from committed rows and from the state that is
shown. Counters of rows begin with the start of the desk, as a scraper expects.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol

import anyio
import anyio.to_thread

from trading.adapters.canonical import parse_json
from trading.errors import JournalUnavailable
from trading.model.meters import CallFigures, Labels, Spreads, Tally, bounded
from trading.model.units import BPS_ONE
from trading.ports import Counted, Journal, JournalRow

from . import families as told
from .documents import Document

FOLLOW_S: Final = 1.0
ROWS_AT_ONCE: Final = 5_000
"""So many rows are counted at a time; a recorded feed at full speed makes more, which are counted a little later."""
KINDS: Final = (
    "signal_raised",
    "signal_passed",
    "order_approved",
    "order_denied",
    "order_filled",
    "order_rejected",
    "position_closed",
)
COST_KINDS: Final = ("fee", "impact", "priority", "failed")
OK: Final = "ok"

logger = logging.getLogger(__name__)


class Shown(Protocol):
    """``stage.Stage`` as far as figures are read from it."""

    def document(self) -> Document: ...


class AskedSidecar(Protocol):
    """``sidecar.Sidecar`` as far as figures are read from it."""

    outcomes: Any
    spent: Any

    @property
    def is_resting(self) -> bool: ...

    def left_bps(self) -> int: ...


class DeskMeters:
    """``apis``: who counts its calls, by kind (market, router, rpc). ``live`` tells the documents of real money."""

    def __init__(self, shown: Shown, journal: Callable[[], Journal], apis: Mapping[str, Counted]) -> None:
        self._shown = shown
        self._journal = journal
        self._apis = apis
        self._seq: int | None = None
        self.sidecar: AskedSidecar | None = None
        self.live: Callable[[], list[Document]] = list
        self.arbitrage: Callable[[], list[Document]] = list
        self.nodes: Callable[[], list[Document]] = list
        self.decision = Spreads(told.DECISION)
        self.commit = Spreads(told.COMMIT)
        self._signals = Tally(told.SIGNALS)
        self._denials = Tally(told.DENIALS)
        self._orders = Tally(told.ORDERS)
        self._fills = Tally(told.FILLS)
        self._slippage = Spreads(told.SLIPPAGE)
        self._rejections = Tally(told.REJECTIONS)
        self._failed = Tally(told.FAILED)
        self._closed = Tally(told.CLOSED)

    def worked(self, cycles: int, decided_s: float, committed_s: float) -> None:
        """Take down what the loop did; called in its thread."""
        if cycles > 0:
            self.decision.observe(decided_s / cycles, times=cycles)
        self.commit.observe(committed_s)

    async def run(self) -> None:
        """Count what the journal tells until cancelled."""
        while True:
            try:
                while await anyio.to_thread.run_sync(self.follow) >= ROWS_AT_ONCE:
                    pass
            except JournalUnavailable as error:
                logger.info("rows are counted later: %s", error)
            except Exception:
                logger.exception("a row of the journal is not counted")  # the desk goes on whatever the figures are
            await anyio.sleep(FOLLOW_S)

    def follow(self) -> int:
        """Count the next rows, return how many. The first time it only looks where the journal ends."""
        journal = self._journal()
        if self._seq is None:
            self._seq = journal.horizon()
        if journal.horizon() <= self._seq:
            return 0
        counted, horizon = 0, journal.horizon()
        for row in journal.rows(after=self._seq, kinds=KINDS):
            self._seq = row.seq  # before it is counted: one that cannot be is passed over
            self._count(row)
            counted += 1
            if counted >= ROWS_AT_ONCE:
                return counted
        self._seq = max(self._seq, horizon)
        return counted

    def _count(self, row: JournalRow) -> None:
        body = parse_json(row.body)
        match row.kind:
            case "signal_raised":
                self._signals.add(body["signal"]["strategy"])
            case "signal_passed":
                self._denials.add("signal", body["denied"]["reason"])
            case "order_denied":
                self._denials.add("order", body["denied"]["reason"])
            case "order_approved":
                self._orders.add(body["order"]["strategy"], body["order"]["purpose"])
            case "order_filled":
                fill = body["fill"]
                self._fills.add(body["strategy"], fill["side"])
                self._slippage.observe(fill["slippage_bps"] / BPS_ONE, fill["side"])
            case "order_rejected":
                self._rejections.add(body["rejected"]["reason"])
                self._failed.add(by=int(body["rejected"]["charged_lamports"] > 0))
            case "position_closed":
                self._closed.add(body["strategy"], "won" if body["realised_lamports"] > 0 else "lost")

    def document(self) -> Document:
        """Return what ``desk.metrics`` answers with. Called in the event loop; it waits for nothing."""
        counted = (self._signals, self._denials, self._orders, self._fills, self._rejections, self._failed)
        spreads = (self.decision, self.commit, self._slippage)
        found = [
            *_present(self._shown.document()),
            *(each.told() for each in (*counted, self._closed, *spreads)),
            *self._calls(),
            *self._asked(),
            *self.live(),
            *self.arbitrage(),
            *self.nodes(),
        ]
        return {"families": found}

    def _calls(self) -> Iterator[Document]:
        figures: dict[Labels, CallFigures] = {
            (api, name): each for api, counted in self._apis.items() for name, each in counted.calls().items()
        }
        if not figures:
            return
        yield told.CALLS.told(_outcomes(figures))
        yield told.CALL_SECONDS.told_spread({labels: each.answered_s for labels, each in figures.items()})
        yield told.BUDGET.told((labels, round(each.budget_left, 3)) for labels, each in figures.items())
        yield told.AWAY.told((labels, round(each.away_s, 3)) for labels, each in figures.items())
        yield told.SLOT_LAG.told(((name,), e.lag_slots) for (_, name), e in figures.items() if e.lag_slots is not None)

    def _asked(self) -> Iterator[Document]:
        sidecar = self.sidecar
        if sidecar is None:
            return
        yield told.ASKED.told(((outcome,), count) for outcome, count in sorted(sidecar.outcomes.items()))
        yield told.TOKENS.told(((way,), sidecar.spent[way]) for way in ("in", "out"))
        yield told.SPENT.told([((), sidecar.spent["micro_usd"] / 1e6)])
        yield told.LEFT.told([((), sidecar.left_bps() / BPS_ONE)])
        yield told.RESTING.told([((), int(sidecar.is_resting))])


def _outcomes(figures: Mapping[Labels, CallFigures]) -> Iterator[tuple[Labels, float]]:
    series = 0
    for labels, each in figures.items():
        for outcome, count in {OK: each.ok, **each.errors}.items():
            yield bounded((*labels, outcome), series), count
            series += 1


def _present(snapshot: Document) -> Iterator[Document]:
    """Yield what the newest snapshot says."""
    feed, queues = snapshot["feed"], snapshot["queues"]

    def one(family: Any, value: float) -> Document:
        return dict(family.told([((), value)]))

    named = (snapshot["money"], snapshot["profile"], snapshot["tier"], feed["kind"])
    yield told.INFO.told([(tuple(map(str, named)), 1)])
    yield told.STATE.told(((state,), int(state == snapshot["state"])) for state in told.STATES)
    yield one(told.ENTRIES, int(snapshot["entries_allowed"]))
    for family, name in (
        (told.EQUITY, "equity"),
        (told.CASH, "cash"),
        (told.PEAK, "peak"),
        (told.REALISED, "realised"),
        (told.UNREALISED, "unrealised"),
        (told.DEPOSITS, "net_deposits"),
    ):
        yield one(family, snapshot[name]["lamports"])
    yield one(told.TARGET, snapshot["compounding"]["target"]["lamports"])
    yield one(told.EXPOSURE, snapshot["exposure"]["total"]["lamports"])
    by_strategy = snapshot["exposure"]["by_strategy"]
    yield told.BY_STRATEGY.told(((each["name"][:64],), each["lamports"]) for each in by_strategy)
    yield one(told.DRAWDOWN, snapshot["drawdown_bps"] / BPS_ONE)
    yield one(told.POSITIONS, len(snapshot["positions"]))
    yield told.LIMIT.told(_distances(snapshot["limits"]).items())
    if snapshot["sol_usd"] is not None:
        yield one(told.SOL_USD, float(snapshot["sol_usd"]))
    if feed["age_s"] is not None:
        yield one(told.FEED_AGE, feed["age_s"])
    yield one(told.FEED_STALE, int(feed["stale"]))
    yield one(told.CYCLES, snapshot["cycle"])
    yield told.COSTS.told(((kind,), snapshot["costs"][f"{kind}_lamports"]) for kind in COST_KINDS)
    yield one(told.RELAY_PENDING, queues["memory"]["pending"])
    yield one(told.RELAY_AGE, queues["memory"]["oldest_s"])
    yield one(told.RELAY_DELIVERED, queues["memory"]["delivered"])
    yield one(told.COMMANDS, queues["commands"]["pending"])


def _distances(limits: list[Document]) -> dict[Labels, float]:
    """Return the nearest distance of each limit in each scope; tokens are one scope, there may be any number."""
    nearest: dict[Labels, float] = {}
    for each in limits:
        scope = str(each["scope"])
        labels = (str(each["name"]), scope if scope == "account" or ":" in scope else "token")
        distance = each["distance_bps"] / BPS_ONE
        nearest[labels] = min(distance, nearest.get(labels, distance))
    return dict(list(nearest.items())[:256])

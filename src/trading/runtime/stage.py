"""What the outside sees of the loop: the newest committed snapshot, and a bell that rings when there is a newer one."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import anyio
import orjson

from trading.config import Sections
from trading.engine.standing import stopped_entries
from trading.errors import TradingError
from trading.execution.conditions import IDEAL
from trading.model.instrument import Instrument
from trading.model.market_data import FeedDescription
from trading.model.order import Denied
from trading.model.rug_rules import RugRules
from trading.model.units import NS_PER_S
from trading.ports import Journal

from .documents import Document, iso
from .funnel import passed_over
from .relay import WINDOW_KEY, RelayStats
from .session import Session
from .sources import Source
from .views import Surroundings, snapshot

STALE_INTERVALS = 3
PAPER: Final = "paper"
REAL: Final = "real"


@dataclass(frozen=True, slots=True)
class SlippageRules:
    """By how much an order's bound lies below its quote, for entries and exits."""

    entry_bps: int
    exit_bps: int


@dataclass(frozen=True, slots=True)
class Published:
    """One committed state of the desk. ``stopped``: entries under way that would not be let through any more."""

    snapshot: Mapping[str, Any]
    run_id: str
    run_number: int
    journal: Journal
    instruments: Mapping[str, Instrument]
    passed_over: Mapping[str, str]
    seen_ns: Mapping[str, int]
    now_ns: int
    sol_usd: Decimal | None
    held: frozenset[str]
    has_ended: bool
    rugs: RugRules
    stopped: Mapping[str, Denied]
    slippage: SlippageRules


class Stage:
    """Body of ``paper.Audience``. ``show`` runs in the loop's thread, everything else in the event loop."""

    def __init__(
        self,
        source: Source,
        said: str,
        sections: Sections,
        relay_stats: Callable[[], RelayStats],
        on_published: Callable[["Published"], None],
        monotonic_s: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._source = source
        self._said = said
        self._sections = sections
        self._relay_stats = relay_stats
        self._on_published = on_published
        self._monotonic_s = monotonic_s
        self._wall_ns = wall_ns
        self.began_ns = wall_ns()
        """Wall time of the start of this desk."""
        self._published_at_s = monotonic_s()
        self._shown: Published | None = None
        self._current: Published | None = None
        self._trouble: TradingError | None = None
        self._changed = anyio.Event()
        self._recorded_at_s: float | None = None
        self._window: int | None = None
        self._window_shown: int | None = None
        self.waiting_commands: Callable[[], int] = lambda: 0
        self.waiting_orders: Callable[[str], list[Document]] = lambda _run_id: []
        self.sidecar: Callable[[], Mapping[str, Any]] | None = None
        """Says how asking the sidecar goes, None where there is none."""
        self.surroundings: Callable[[], Document] | None = None
        """Says how feed, endpoints and chain are, None where nobody looks."""
        self.running_costs: Callable[[Mapping[str, Any], Decimal | None], Document] | None = None
        """Says what running takes, beside what a snapshot brought; None where nobody counts."""
        self.money = PAPER

    # The loop's side

    def show(self, session: Session, *, is_last: bool) -> None:
        """Take the state down, and queue it for memory when the last one is long enough ago."""
        kernel = session.kernel
        has_ended = session.has_ended
        state = kernel.state
        around = Surroundings(
            context=self.context(state.now_ns or None, has_ended=has_ended),
            queues=self._queues(),
            interval_s=self._source.description.interval_s,
            has_ended=has_ended,
            wall_ns=self._wall_ns(),
        )
        document = snapshot(kernel, around)
        self._shown = Published(
            snapshot=document,
            run_id=session.run_id,
            run_number=session.run.number,
            journal=session.journal,
            instruments=dict(kernel.valuer.instruments),
            passed_over=passed_over(kernel),
            seen_ns=dict(kernel.seen_ns),
            now_ns=state.now_ns,
            sol_usd=state.sol_usd,
            held=frozenset(state.ledger.held_mints()),
            has_ended=has_ended,
            rugs=state.profile.rugs,
            stopped=stopped_entries(state, kernel.venue, kernel.valuer),
            slippage=SlippageRules(state.profile.limits.slippage_bps_max, state.profile.fees.exit_slippage_bps_max),
        )
        if kernel.cycles and (is_last or self._is_due()):
            self._recorded_at_s = self._monotonic_s()
            session.journal.remember_snapshot(state.now_ns, f"cycle/{kernel.cycles}", orjson.dumps(document))
        self._close_window(session, document)

    def _close_window(self, session: Session, document: Document) -> None:
        """Queue the state to be remembered in words when the desk's time has come into another window. Of windows that
        passed within one batch the last one is told."""
        width_ns = self._sections.paper.snapshot_window_s * NS_PER_S
        now_ns = session.kernel.state.now_ns
        window = now_ns // width_ns if now_ns else None
        if window is not None and self._window is not None and window > self._window:
            body = {"closed_ns": window * width_ns, "window_s": width_ns // NS_PER_S, "snapshot": document}
            session.journal.remember_snapshot(now_ns, f"{WINDOW_KEY}{window}", orjson.dumps(body))
        self._window_shown = window

    def published(self) -> None:
        # Only now: what could not be committed is shown once more, and then the window is still to be closed.
        self._window = self._window_shown
        self._current = self._shown
        self._published_at_s = self._monotonic_s()
        if self._current is not None:
            self._on_published(self._current)
        self._ring()

    def troubled(self, error: TradingError) -> None:
        self._trouble = error
        self._ring()

    def recovered(self) -> None:
        self._trouble = None

    # The reader's side

    @property
    def current(self) -> Published:
        assert self._current is not None, "shown before it is read"
        return self._current

    @property
    def trouble(self) -> TradingError | None:
        return self._trouble

    @property
    def heartbeat_age_s(self) -> float:
        """How long ago the loop committed a state last; before the first, how long ago the desk began."""
        return self._monotonic_s() - self._published_at_s

    @property
    def now_ns(self) -> int:
        """The market's time; the wall's until the market has said something."""
        return self.current.now_ns or self._wall_ns()

    def document(self) -> Document:
        """Return the newest snapshot with the age of the feed and the queues as they are now."""
        current = self.current
        document = {
            **current.snapshot,
            **self.context(current.now_ns or None, has_ended=current.has_ended),
            "queues": self._queues(),
            "waiting_orders": self.waiting_orders(current.run_id),
        }
        if self.sidecar is not None:
            document["sidecar"] = {**document["sidecar"], "asking": self.sidecar()}
        if self.surroundings is not None:
            document["health"] = self.surroundings()
        if self.running_costs is not None:
            document["running_costs"] = self.running_costs(current.snapshot, current.sol_usd)
        if self._trouble is not None:
            document |= {"state": "HALTED", "state_reason": self._trouble.message, "entries_allowed": False}
        return document

    def context(self, last_event_ns: int | None, *, has_ended: bool) -> Document:
        """Return wire.TradingContext."""
        description = self._source.description
        age_s = self._source.age_s()
        limit_s = self._sections.paper.stale_after_s or STALE_INTERVALS * description.interval_s
        detail = f"{self._said}; {description.detail}"
        if self._sections.paper.conditions != IDEAL.name:
            detail += f"; conditions of the chain: {self._sections.paper.conditions}"
        return {
            "money": self.money,
            "feed": {
                "kind": description.kind,
                "detail": f"{detail}; ended" if has_ended else detail,
                "age_s": None if age_s is None else round(age_s, 3),
                "stale": has_ended or age_s is None or age_s > limit_s,
                "last_event": None if last_event_ns is None else iso(last_event_ns),
            },
        }

    async def changed(self, seen: Published | None) -> Published:
        """Return the newest state, as soon as it is another one than ``seen``."""
        while self._current is None or self._current is seen:
            await self._changed.wait()
        return self._current

    def next_change(self) -> anyio.Event:
        """Return the bell of the next change: take it before looking, so that no change is missed."""
        return self._changed

    @property
    def description(self) -> FeedDescription:
        return self._source.description

    def health(self) -> Mapping[str, Any]:
        return self._source.health()

    def _queues(self) -> Document:
        stats = self._relay_stats()
        return {
            "memory": {
                "pending": stats.pending,
                "oldest_s": round(stats.oldest_s, 3),
                "dead": 0,
                "delivered": stats.delivered,
            },
            "commands": {"pending": self.waiting_commands(), "oldest_s": 0.0, "dead": 0, "delivered": 0},
        }

    def _is_due(self) -> bool:
        last = self._recorded_at_s
        return last is None or self._monotonic_s() - last >= self._sections.paper.snapshot_interval_s

    def ring(self) -> None:
        """Let those look again who wait for a change, though no newer state is published."""
        self._ring()

    def _ring(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

"""How the desk's surroundings are: feed, endpoints, chain, and what orders came to against their quotes.

Looked at beside the loop once a second, from what is committed; the loop awaits nothing of it.
"""

import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread

from trading.adapters.canonical import parse_json
from trading.engine.trader import MANUAL
from trading.errors import JournalUnavailable, TradingError
from trading.model import events
from trading.model.event_codec import decode
from trading.model.network import SIGNATURE_FEE_LAMPORTS
from trading.model.order import Fill, Order, Purpose, Side
from trading.model.units import BPS_ONE, NS_PER_S
from trading.ports import Journal, JournalRow

from .documents import Document
from .naming import public_id
from .stage import SlippageRules, Stage

if TYPE_CHECKING:
    from .live_run import LiveDesk

LOOK_S: Final = 1.0
KINDS: Final = ("order_approved", "order_filled", "order_rejected")
OUTCOMES_MAX: Final = 20
ROWS_AT_START: Final = 200
OPEN_MAX: Final = 500
WINDOW_NS: Final = 6 * 3_600 * NS_PER_S
"""What is older by the market's time says nothing about now."""

FAILED_REASONS: Final = frozenset({"failed", "slippage", "expired"})

UNEXPECTED: Final = (TradingError, LookupError, TypeError, ValueError, ArithmeticError, AttributeError, OSError)
"""The desk's tasks share one fate; a view of it must not be what ends them."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """One order's end. Of a failed one ``reason`` is set; of a fill what it was worse than planned, in bps."""

    ts_ns: int
    trajectory_id: str
    reason: str = ""
    shortfall_bps: int | None = None
    fees_over_bps: int = 0


class ExecutionQuality:
    """Folds rows of orders; keeps the last ``OUTCOMES_MAX`` ends and the orders that are open."""

    def __init__(self) -> None:
        self._open: dict[str, Order] = {}
        self._ends: deque[_Outcome] = deque(maxlen=OUTCOMES_MAX)

    def take(self, event: object, rules: SlippageRules) -> None:
        match event:
            case events.OrderApproved(order=order):
                if len(self._open) >= OPEN_MAX:
                    del self._open[next(iter(self._open))]
                self._open[order.id] = order
            case events.OrderFilled(trajectory_id=name, fill=fill):
                if (approved := self._open.pop(fill.order_id, None)) is not None:
                    self._ends.append(_filled(name, approved, fill, rules))
            case events.OrderRejected(trajectory_id=name, rejected=rejected):
                self._open.pop(rejected.order_id, None)
                if rejected.charged_lamports or rejected.reason in FAILED_REASONS:
                    self._ends.append(_Outcome(rejected.ts_ns, name, rejected.reason))

    def document(self, now_ns: int, run_id: str) -> Document | None:
        """Return wire.ExecutionView, None where nothing happened lately."""
        ends = [each for each in self._ends if now_ns - each.ts_ns <= WINDOW_NS]
        if not ends:
            return None
        fills = [each for each in ends if not each.reason]
        quoted = [each for each in fills if each.shortfall_bps is not None]
        failed = [each for each in ends if each.reason]
        worst = max(quoted, key=lambda each: each.shortfall_bps or 0, default=None)
        return {
            "fills": len(fills),
            "failed": len(failed),
            "shortfall_bps": _mean([each.shortfall_bps or 0 for each in quoted]),
            "fees_over_bps": _mean([each.fees_over_bps for each in fills]),
            "reasons": dict(sorted(Counter(each.reason for each in failed).items())),
            "worst_trajectory_id": "" if worst is None else public_id(run_id, worst.trajectory_id),
            "failed_trajectory_id": public_id(run_id, failed[-1].trajectory_id) if failed else "",
        }


def _filled(trajectory_id: str, order: Order, fill: Fill, rules: SlippageRules) -> _Outcome:
    planned = SIGNATURE_FEE_LAMPORTS + order.priority_fee_lamports
    over = fill.network_fee_lamports + fill.priority_fee_lamports - planned
    shortfall: int | None = None
    # An order by hand has a bound of its own, and one that buys an exact amount pays less instead of getting more.
    if order.min_out and not order.amount_out and order.bucket != MANUAL:
        bound_bps = rules.exit_bps if order.purpose is Purpose.EXIT else rules.entry_bps
        quoted = order.min_out * BPS_ONE // max(1, BPS_ONE - bound_bps)
        got = fill.base_units if fill.side is Side.BUY else fill.lamports
        shortfall = (quoted - got) * BPS_ONE // max(1, quoted)
    fees_bps = max(0, over) * BPS_ONE // max(1, fill.lamports)
    return _Outcome(fill.ts_ns, trajectory_id, "", shortfall, fees_bps)


def _mean(values: list[int]) -> int:
    return round(sum(values) / len(values)) if values else 0


@dataclass(slots=True)
class _Standing:
    ok: int = 0
    errors: int = 0
    is_down: bool = False


@dataclass(slots=True)
class DeskHealth:
    """``document`` is what was found last. ``live`` None: the money is paper."""

    stage: Stage
    journal: Journal
    live: "LiveDesk | None" = None
    nodes: Callable[[], Document | None] = lambda: None
    _quality: ExecutionQuality = field(default_factory=ExecutionQuality)
    _standings: dict[str, _Standing] = field(default_factory=dict)
    _seq: int | None = None
    _found: Document = field(default_factory=dict)
    _trouble: str = ""

    def document(self) -> Document:
        """Return wire.DeskHealthView as of the last look."""
        return self._found

    async def run(self) -> None:
        """Look until cancelled. What goes wrong here is logged and touches nothing of the desk."""
        while True:
            try:
                await self.look()
            except UNEXPECTED as error:
                if repr(error) != self._trouble:
                    logger.exception("how the desk's surroundings are cannot be told")
                self._trouble = repr(error)
            await anyio.sleep(LOOK_S)

    async def look(self) -> None:
        """Look once. A journal that cannot be read leaves the execution as it was."""
        feed = self.stage.health()
        endpoints = [self._endpoint(name, "market", each) for name, each in (feed.get("endpoints") or {}).items()]
        chain: Document | None = None
        if self.live is not None:
            peers = self.live.parts.chain.health()["endpoints"]
            endpoints += [self._endpoint(name, "chain", each) for name, each in peers.items()]
            chain = await self._chain(self.live)
        try:
            await anyio.to_thread.run_sync(self._read)
        except JournalUnavailable as error:
            logger.debug("orders cannot be read now: %s", error)
        counts = {**(feed.get("counts") or {}), "negative_reserves": feed.get("negative_reserves", 0)}
        self._found = {  # a new one each time: who has taken the last one keeps it
            "feed_counts": counts if feed.get("kind") == "market" else {},
            "cycle_s": self._cycle_s(feed),
            "clock_skew_s": feed.get("skew_s"),
            "endpoints": endpoints,
            "chain": chain,
            "execution": self._quality.document(self.stage.now_ns, self.stage.current.run_id),
            "nodes": self.nodes(),
        }

    def _cycle_s(self, feed: Mapping[str, Any]) -> float | None:
        """Return how long a cycle should take by the wall, None for a recording that runs as fast as it goes."""
        speed, interval_s = feed.get("speed", 1.0), self.stage.description.interval_s
        return None if speed == "max" else round(interval_s / float(speed), 3)

    def _read(self) -> None:
        for row in self._rows():
            self._seq = row.seq
            self._quality.take(decode(row.kind, parse_json(row.body)), self.stage.current.slippage)

    def _rows(self) -> list[JournalRow]:
        if self._seq is None:
            self._seq = 0
            return self.journal.newest(KINDS, limit=ROWS_AT_START)[::-1]
        if self.journal.horizon() <= self._seq:
            return []
        return list(self.journal.rows(after=self._seq, kinds=KINDS))

    def _endpoint(self, name: str, kind: str, health: Mapping[str, Any]) -> Document:
        """Return how one stands: down from an error on until it has answered again."""
        key, errors = f"{kind}/{name}", sum(health["errors"].values())
        known = self._standings.setdefault(key, _Standing())
        if health["ok"] > known.ok:
            known.is_down = False
        elif errors > known.errors or health["backing_off_s"] > 0:
            known.is_down = True
        known.ok, known.errors = health["ok"], errors
        is_wrong = bool(health.get("wrong_chain"))
        problem = "it serves another chain" if is_wrong else str(health["last_error"] or "")
        return {
            "name": name,
            "kind": kind,
            "is_down": known.is_down or is_wrong,
            "problem": problem[:200],
            "ok": health["ok"],
            "errors": errors,
        }

    async def _chain(self, live: "LiveDesk") -> Document:
        names = {address: name for name, address in live.parts.wallets.items()}
        halted = await anyio.to_thread.run_sync(live.parts.journal.halted)
        return {
            "is_reconciled": live.executor.is_reconciled,
            "not_armed": live.arming.problem,
            "halted": {names.get(address, address): str(why)[:300] for address, why in halted.items()},
        }

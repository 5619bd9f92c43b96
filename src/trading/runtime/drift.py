"""What a run did against what its replay does: trades matched one by one, every lamport between them attributed.

Both sides are told what happened in the order of time; a trade is let go as soon as it is compared, so memory does not
grow with the run. A trade is a trajectory: its entries and its exits, leg by leg.

The kinds of differences are those of ``attribution``.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from trading.model import events
from trading.model.order import Fill, Order, Purpose, Signal

from .attribution import Key, Kind, Leg, Trade, compared, legs_lamports

DIFFERENCES_KEPT: Final = 1_000


@dataclass(frozen=True, slots=True)
class Difference:
    """``lamports``: what the run has more than the replay because of it. ``run`` and ``replay`` say it in words."""

    kind: Kind
    strategy: str
    mint: str
    ts_ns: int
    lamports: int
    run: str
    replay: str
    run_trajectory: str | None
    replay_trajectory: str | None


@dataclass(slots=True)
class Report:
    """All that was found. ``kept`` holds the first ``DIFFERENCES_KEPT``; the counts and sums are over all."""

    run_trades: int = 0
    replay_trades: int = 0
    matched: int = 0
    identical: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    lamports: Counter[str] = field(default_factory=Counter)
    kept: list[Difference] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def attributed_lamports(self) -> int:
        return sum(self.lamports.values())

    def add(self, difference: Difference) -> None:
        self.counts[difference.kind] += 1
        self.lamports[difference.kind] += difference.lamports
        if len(self.kept) < DIFFERENCES_KEPT:
            self.kept.append(difference)


class Teller:
    """One side: takes its events, keeps the trades that are not compared yet."""

    def __init__(self) -> None:
        self.trades: dict[str, Trade] = {}
        self.passed: dict[tuple[str, str], tuple[int, str, str]] = {}
        """Of each strategy and token the opinion that was not acted on last: when, whose, and why not."""
        self._opinions: dict[str, Signal] = {}
        self._orders: dict[str, tuple[Order, int]] = {}

    def tell(self, ts_ns: int, event: object) -> None:
        """Take one event of the journal; those about no trade are passed over."""
        match event:
            case events.SignalRaised(trajectory_id=name, signal=signal):
                if name not in self.trades:
                    self._opinions[name] = signal
            case events.SignalPassed(trajectory_id=name, strategy=strategy, mint=mint, denied=denied):
                self._pass(strategy, mint, ts_ns, name, denied.reason)
            case events.OrderDenied(order=order, denied=denied):
                self._pass(order.strategy, order.mint, ts_ns, order.trajectory_id, denied.reason)
            case events.OrderApproved(order=order):
                self._approved(ts_ns, order)
            case events.OrderFilled(trajectory_id=name, fill=fill):
                self._filled(name, fill)
            case events.OrderRejected(trajectory_id=name, rejected=rejected):
                self._orders.pop(rejected.order_id, None)
                if name in self.trades:
                    self.trades[name].charged_lamports += rejected.charged_lamports
            case events.PositionClosed(trajectory_id=name, reason=reason):
                if name in self.trades:
                    self.trades[name].ended = reason

    def _pass(self, strategy: str, mint: str, ts_ns: int, name: str, reason: str) -> None:
        self.passed[(strategy, mint)] = (ts_ns, name, reason)
        self._opinions.pop(name, None)

    def _approved(self, ts_ns: int, order: Order) -> None:
        self._orders[order.id] = (order, ts_ns)
        opinion = self._opinions.pop(order.trajectory_id, None)
        if order.purpose is Purpose.ENTRY and order.trajectory_id not in self.trades:
            self.trades[order.trajectory_id] = Trade(
                order.trajectory_id, order.bucket, order.strategy, order.mint, ts_ns, opinion
            )

    def _filled(self, name: str, fill: Fill) -> None:
        order, decided_ns = self._orders.pop(fill.order_id, (None, fill.ts_ns))
        trade = self.trades.get(name)
        if trade is not None:
            is_exit = order is not None and order.purpose is Purpose.EXIT
            trade.legs.append(
                Leg(
                    order_id=fill.order_id,
                    side=fill.side,
                    decided_ns=decided_ns,
                    ts_ns=fill.ts_ns,
                    rule=order.reason.partition(":")[0] if is_exit and order is not None else "",
                    amount_in=0 if order is None else order.amount_in,
                    lamports=fill.lamports,
                    base_units=fill.base_units,
                    paid_lamports=fill.network_fee_lamports + fill.priority_fee_lamports,
                )
            )

    def word_on(self, trade: Trade) -> str | None:
        """Return why this side did not act on the opinion that the other side's trade began with, None where it had
        none."""
        when, name, reason = self.passed.get((trade.strategy, trade.mint), (0, "", ""))
        return reason if name == trade.id or (reason and when == trade.began_ns) else None


class DriftMeter:
    """Matches what two tellers are told. ``window_ns``: how far apart two entries may begin and be the same trade;
    ``latency_ns``: from how late on a fill is one at another time, and not the same at another price.

    Call ``settle`` whenever both sides have been told up to the same input, and ``finish`` at the end.
    """

    def __init__(self, window_ns: int, latency_ns: int) -> None:
        self.run = Teller()
        self.replay = Teller()
        self.report = Report()
        self._window_ns = window_ns
        self._latency_ns = latency_ns
        self._pairs: dict[str, str] = {}

    def settle(self, now_ns: int) -> None:
        """Pair what belongs together; compare and let go what is over."""
        if self.run.trades or self.replay.trades:
            self._pair()
            self._compare_finished()
            for side, other in self._sides():
                for trade in list(self._unpaired(side)):
                    is_old = now_ns - trade.began_ns > self._window_ns
                    if trade.ended is not None and is_old:
                        self._alone(side, other, trade)

    def finish(self) -> Report:
        """Compare everything that is still open, and return what was found."""
        self._pair()
        for mine, theirs in list(self._pairs.items()):
            self._compare(mine, theirs)
        for side, other in self._sides():
            for trade in list(self._unpaired(side)):
                self._alone(side, other, trade)
        return self.report

    def _sides(self) -> tuple[tuple[Teller, Teller], tuple[Teller, Teller]]:
        return ((self.run, self.replay), (self.replay, self.run))

    def _unpaired(self, side: Teller) -> Iterator[Trade]:
        paired = self._pairs.keys() if side is self.run else set(self._pairs.values())
        return (trade for name, trade in side.trades.items() if name not in paired)

    def _pair(self) -> None:
        for side, other in self._sides():
            for trade in self._unpaired(side):
                if not trade.is_looked_up:
                    trade.is_looked_up = True
                    trade.why_not = other.word_on(trade)
        taken = set(self._pairs.values())
        for name, trade in self.run.trades.items():
            twin = self.replay.trades.get(name)
            if name not in self._pairs and twin is not None and name not in taken and trade.is_idle == twin.is_idle:
                self._pairs[name] = name
        self._part_unequal()
        waiting: dict[Key, list[Trade]] = {}
        for trade in self._unpaired(self.replay):
            if not trade.is_idle:
                waiting.setdefault(trade.key, []).append(trade)
        for trade in list(self._unpaired(self.run)) if waiting else ():
            for candidate in () if trade.is_idle else waiting.get(trade.key, ()):
                if abs(candidate.began_ns - trade.began_ns) <= self._window_ns:
                    self._pairs[trade.id] = candidate.id
                    waiting[trade.key].remove(candidate)
                    break

    def _part_unequal(self) -> None:
        """Part pairs of which one side traded and the other came to nothing: what came to nothing is no trade."""
        for mine, theirs in list(self._pairs.items()):
            ours, other = self.run.trades[mine], self.replay.trades[theirs]
            for idle, active in ((ours, other), (other, ours)):
                if idle.is_idle and active.legs:
                    active.why_not = idle.ended
                    self._pairs.pop(mine, None)

    def _compare_finished(self) -> None:
        for mine, theirs in list(self._pairs.items()):
            if self.run.trades[mine].ended is not None and self.replay.trades[theirs].ended is not None:
                self._compare(mine, theirs)

    def _compare(self, mine: str, theirs: str) -> None:
        del self._pairs[mine]
        ours, other = self.run.trades.pop(mine), self.replay.trades.pop(theirs)
        found = compared(ours, other, self._latency_ns)
        if ours.legs or other.legs:
            self.report.run_trades += bool(ours.legs)
            self.report.replay_trades += bool(other.legs)
            self.report.matched += 1
            self.report.identical += not found
        for kind, (lamports, said, said_there) in found.items():
            self.report.add(
                Difference(kind, ours.strategy, ours.mint, ours.began_ns, lamports, said, said_there, ours.id, other.id)
            )

    def _alone(self, side: Teller, other: Teller, trade: Trade) -> None:
        """Take down a trade that only one side made."""
        del side.trades[trade.id]
        is_run = side is self.run
        lamports = legs_lamports(trade.legs) - trade.charged_lamports
        if not trade.legs and lamports == 0:
            return
        self.report.run_trades += is_run and bool(trade.legs)
        self.report.replay_trades += not is_run and bool(trade.legs)
        kind: Kind = "extra" if is_run else "missed"
        word = trade.why_not or "it has no such trade"
        if not trade.legs:
            kind, word = "fee", "nothing was charged"
        elif trade.why_not is None:
            kind, word = "signal", "it had no such opinion"
        there = f"{len(trade.legs)} fills, {trade.ended or 'still held'}"
        said, said_there = (there, word) if is_run else (word, there)
        self.report.add(
            Difference(
                kind=kind,
                strategy=trade.strategy,
                mint=trade.mint,
                ts_ns=trade.began_ns,
                lamports=lamports if is_run else -lamports,
                run=said,
                replay=said_there,
                run_trajectory=trade.id if is_run else None,
                replay_trajectory=None if is_run else trade.id,
            )
        )

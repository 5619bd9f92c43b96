"""How the desk did: equity curve, drawdown, time-weighted return, and each strategy's record."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from trading.model.account import HighWater, RoundTrip, TrackRecord, drawdown_bps, floor_lamports
from trading.model.units import BPS_ONE, ratio_bps

from . import statistics
from .statistics import Moments

INDEX_ONE: Final = 10**18
"""The index of time-weighted return starts here; its rounding error is one part in 10^18 a deposit."""
RETURNS_MAX: Final = 100_000
ROUND_TRIPS_MAX: Final = 1_000
RECORD_TRADES_MAX: Final = 200
OUT_OF_ORDER_NS_MAX: Final = 7 * 86_400 * 1_000_000_000
"""A fill at a bar's open is known when the bar closes, so trades may be told a bar out of order."""


@dataclass(frozen=True, slots=True)
class Skill:
    """How good a run was, and how far that may be luck. ``sharpe`` is per year; None for too little data."""

    sharpe: float | None
    deflated_sharpe: float | None
    trials: int
    periods: int


def skill(of: Moments, trials: int, sharpe_variance: float | None, period_s: float) -> Skill:
    """Return the Sharpe ratio of these returns and the probability that it is better than the best of as many
    worthless trials (``statistics.deflated_sharpe``)."""
    per_period = statistics.sharpe(of)
    if per_period is None:
        return Skill(None, None, trials, of.count)
    deflated = statistics.deflated_sharpe(per_period, of, trials, sharpe_variance)
    return Skill(statistics.annualised(per_period, period_s), deflated, trials, of.count)


class EquityCurve:
    """Equity mark by mark. Deposits and withdrawals change neither return nor drawdown.

    ``period_ns`` is the length of the periods whose returns are kept for the statistics (the newest ``RETURNS_MAX``):
    one return for each period in which there was a mark, from the last mark of one to the last mark of the next.
    """

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns
        self._high = HighWater()
        self._index_before = INDEX_ONE
        self._base_lamports = 0
        self._equity_lamports = 0
        self._max_drawdown_bps = 0
        self._period: int | None = None
        self._index_at_period = INDEX_ONE
        self._returns: deque[float] = deque(maxlen=RETURNS_MAX)
        self._flows_lamports = 0
        self._has_marks = False
        self._is_settled = False
        """Whether the last mark was taken since the last flow: then the same equity says nothing new."""

    def mark(self, ts_ns: int, equity_lamports: int) -> int:
        """Take the equity of a time and return the drawdown in bps."""
        period = ts_ns // self._period_ns
        if self._period is not None and period != self._period:
            self._close_period()
        self._period = period
        self._has_marks = True
        if self._is_settled and equity_lamports == self._equity_lamports:
            return self.drawdown_bps
        self._is_settled = True
        self._equity_lamports = equity_lamports
        drawdown = self._high.mark(equity_lamports)
        self._max_drawdown_bps = max(self._max_drawdown_bps, drawdown)
        return drawdown

    def corridor(self) -> tuple[int, int]:
        """Return the lowest and the highest equity that ``drift`` may take: no new peak and no deeper drawdown."""
        peak = self._high.peak_lamports
        return floor_lamports(peak, self._max_drawdown_bps), peak

    def drift(self, equity_lamports: int) -> None:
        """Take an equity within the corridor in the period of the last mark: ``mark`` would change nothing else."""
        self._equity_lamports = equity_lamports

    def equity_for(self, start_lamports: int, grown_lamports: int) -> int:
        """Return about the equity at which ``grown_lamports`` says so: the inverse, two lamports off at most a unit."""
        growth = start_lamports * self._index_before
        return grown_lamports * self._base_lamports * INDEX_ONE // growth if growth > 0 else 0

    def flow(self, amount_lamports: int) -> None:
        """Take a deposit (positive) or a withdrawal (negative) made since the last mark."""
        before = self._equity_lamports
        self._is_settled = False
        self._high.flow(before, amount_lamports)
        self._index_before = self._index()
        self._equity_lamports = before + amount_lamports
        self._base_lamports = self._equity_lamports
        self._flows_lamports += amount_lamports

    @property
    def equity_lamports(self) -> int:
        return self._equity_lamports

    @property
    def peak_lamports(self) -> int:
        """The peak, moved in proportion by deposits and withdrawals."""
        return self._high.peak_lamports

    @property
    def drawdown_bps(self) -> int:
        return drawdown_bps(self._high.peak_lamports, self._equity_lamports)

    @property
    def max_drawdown_bps(self) -> int:
        return self._max_drawdown_bps

    @property
    def net_flows_lamports(self) -> int:
        return self._flows_lamports

    @property
    def time_weighted_return_bps(self) -> int:
        """Product of the returns between deposits and withdrawals, minus 1, rounded towards zero."""
        return ratio_bps(self._index() - INDEX_ONE, INDEX_ONE)

    def grown_lamports(self, start_lamports: int) -> int:
        """Return what ``start_lamports`` would have become without any later deposit or withdrawal."""
        return start_lamports * self._index() // INDEX_ONE

    def returns(self) -> list[float]:
        """Return the period returns so far, the running period not among them."""
        return list(self._returns)

    def moments(self) -> Moments:
        return statistics.moments(self._returns)

    def _index(self) -> int:
        if self._base_lamports <= 0:
            return self._index_before
        return self._index_before * max(0, self._equity_lamports) // self._base_lamports

    def _close_period(self) -> None:
        index = self._index()
        if self._index_at_period > 0 and self._has_marks:
            self._returns.append((index - self._index_at_period) / self._index_at_period)
        self._index_at_period = index


@dataclass(frozen=True, slots=True)
class StrategyWindow:
    """A strategy's finished trades in a window. Means are over trades; None where there is none."""

    strategy: str
    trades: int
    wins: int
    realised_lamports: int
    mean_return_bps: int | None
    mean_slippage_bps: int | None
    mean_holding_s: int | None
    record: TrackRecord
    evidence: tuple[str, ...]

    @property
    def win_rate_bps(self) -> int | None:
        return self.wins * BPS_ONE // self.trades if self.trades else None


class _Tally:
    """The newest ``RECORD_TRADES_MAX`` returns, summed up as they come and go: the same as ``track_record``."""

    __slots__ = ("losses_bps", "returns", "wins", "wins_bps")

    def __init__(self) -> None:
        self.returns: deque[tuple[bool, int]] = deque()
        self.wins = 0
        self.wins_bps = 0
        self.losses_bps = 0

    def add(self, trip: RoundTrip) -> None:
        self._count(trip.realised_lamports > 0, trip.return_bps, 1)
        self.returns.append((trip.realised_lamports > 0, trip.return_bps))
        if len(self.returns) > RECORD_TRADES_MAX:
            self._count(*self.returns.popleft(), -1)

    def record(self) -> TrackRecord:
        trades, wins = len(self.returns), self.wins
        losses = trades - wins
        mean_win = round(self.wins_bps / wins) if wins else 0
        return TrackRecord(trades, wins, mean_win, round(self.losses_bps / losses) if losses else 0)

    def _count(self, is_win: bool, return_bps: int, sign: int) -> None:
        if is_win:
            self.wins += sign
            self.wins_bps += sign * return_bps
        else:
            self.losses_bps -= sign * return_bps


class TrackRecords:
    """The newest finished trades of each strategy, at most ``ROUND_TRIPS_MAX``, and totals over all."""

    def __init__(self) -> None:
        self._trips: dict[str, deque[RoundTrip]] = {}
        self._trades: dict[str, int] = {}
        self._wins: dict[str, int] = {}
        self._realised: dict[str, int] = {}
        self._tallies: dict[str, _Tally] = {}

    def add(self, trip: RoundTrip) -> None:
        name = trip.strategy
        self._tallies.setdefault(name, _Tally()).add(trip)
        self._trips.setdefault(name, deque(maxlen=ROUND_TRIPS_MAX)).append(trip)
        self._trades[name] = self._trades.get(name, 0) + 1
        self._wins[name] = self._wins.get(name, 0) + (trip.realised_lamports > 0)
        self._realised[name] = self._realised.get(name, 0) + trip.realised_lamports

    def names(self) -> list[str]:
        """Return the strategies that have finished a trade, in the order of their first."""
        return list(self._trips)

    def trades(self, strategy: str) -> int:
        """Return how many trades the strategy ever finished."""
        return self._trades.get(strategy, 0)

    def wins(self, strategy: str) -> int:
        return self._wins.get(strategy, 0)

    def realised_lamports(self, strategy: str) -> int:
        """Return the sum over all trades the strategy ever finished."""
        return self._realised.get(strategy, 0)

    def of(self, strategy: str) -> TrackRecord:
        """Return the record over the newest ``RECORD_TRADES_MAX`` trades, for sizing."""
        tally = self._tallies.get(strategy)
        return TrackRecord() if tally is None else tally.record()

    def returns_bps(self, strategy: str, since_ns: int) -> tuple[int, ...]:
        """Return what each kept trade brought that was opened at ``since_ns`` or later, oldest first."""
        return tuple(trip.return_bps for trip in self._trips.get(strategy, ()) if trip.opened_ns >= since_ns)

    def kept_from_ns(self, strategy: str) -> int | None:
        """Return when the oldest trade that is still kept was closed; None while none has been let go."""
        kept = self._trips.get(strategy, ())
        return min(trip.closed_ns for trip in kept) if len(kept) < self._trades.get(strategy, 0) else None

    def trips(self, strategy: str, since_ns: int | None = None, until_ns: int | None = None) -> list[RoundTrip]:
        """Return the kept trades closed from ``since_ns`` (included) until ``until_ns`` (excluded), in their order."""
        trips: list[RoundTrip] = []
        for trip in reversed(self._trips.get(strategy, ())):  # windows are of late
            if since_ns is not None and trip.closed_ns < since_ns:
                if trip.closed_ns < since_ns - OUT_OF_ORDER_NS_MAX:
                    break
            elif until_ns is None or trip.closed_ns < until_ns:
                trips.append(trip)
        trips.reverse()
        return trips

    def window(self, strategy: str, since_ns: int | None = None, until_ns: int | None = None) -> StrategyWindow:
        """Return how the trades of ``trips`` came out."""
        trips = self.trips(strategy, since_ns, until_ns)
        return StrategyWindow(
            strategy=strategy,
            trades=len(trips),
            wins=sum(trip.realised_lamports > 0 for trip in trips),
            realised_lamports=sum(trip.realised_lamports for trip in trips),
            mean_return_bps=_mean(trip.return_bps for trip in trips),
            mean_slippage_bps=_mean(trip.slippage_bps for trip in trips),
            mean_holding_s=_mean((trip.closed_ns - trip.opened_ns) // 1_000_000_000 for trip in trips),
            record=track_record(trips),
            evidence=tuple(trip.trajectory_id for trip in trips),
        )


def track_record(trips: Sequence[RoundTrip]) -> TrackRecord:
    """Return wins and mean returns of these trades; a trade that brought nothing is a loss of 0."""
    wins = [trip.return_bps for trip in trips if trip.realised_lamports > 0]
    losses = [-trip.return_bps for trip in trips if trip.realised_lamports <= 0]
    return TrackRecord(len(trips), len(wins), _mean(wins) or 0, _mean(losses) or 0)


def _mean(values: Iterable[int]) -> int | None:
    taken = list(values)
    return round(sum(taken) / len(taken)) if taken else None

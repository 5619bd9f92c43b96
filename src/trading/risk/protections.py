"""Protections over closed trades: StoplossGuard, MaxDrawdown, LowProfitPairs and CooldownPeriod, as pure functions.

Each is asked once when a trade closes, about the trades in its window then; what it says is kept as a lock until its
time is over. Nothing else makes or ends a lock, so that the same rows give the same locks.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from trading.model.account import RoundTrip
from trading.model.protection import DAYS_30_S, Protection, ProtectionKind
from trading.model.units import BPS_ONE, NS_PER_S, ceil_div

TRADES_MAX: Final = 5_000
"""Closed trades that are kept; a window with more of them looks at the newest."""
MILLION: Final = 1_000_000
_STOPS: Final = frozenset({"stop_loss", "trailing_stop"})


@dataclass(frozen=True, slots=True)
class ClosedTrade:
    """``known_ns`` is when we learned that it closed; ``equity_millionths`` what it brought as a share of equity then,
    rounded down. ``is_stopped``: a stop sold it, or nobody could any more."""

    mint: str
    known_ns: int
    return_bps: int
    equity_millionths: int
    is_stopped: bool


@dataclass(frozen=True, slots=True)
class Tripped:
    """What a rule found: ``used`` of ``limit`` in ``unit``."""

    used: int
    limit: int
    unit: str


@dataclass(frozen=True, slots=True)
class Lock:
    """Entries wait until ``until_ns``: those of ``mint``, or all where it is None. ``text`` is why."""

    kind: ProtectionKind
    mint: str | None
    since_ns: int
    until_ns: int
    text: str

    @property
    def stop_s(self) -> int:
        return (self.until_ns - self.since_ns) // NS_PER_S


def tripped(rule: Protection, trades: Sequence[ClosedTrade]) -> Tripped | None:
    """Return what the rule finds in the trades of its window, oldest first; None where it lets entries pass."""
    if len(trades) < rule.trades_min:
        return None
    return _RULES[rule.kind](rule, trades)


def window(rule: Protection, trades: Sequence[ClosedTrade], mint: str, now_ns: int) -> list[ClosedTrade]:
    """Return the trades that the rule is asked about when one of ``mint`` has closed, oldest first."""
    since_ns = now_ns - rule.lookback_s * NS_PER_S
    found: list[ClosedTrade] = []
    for trade in reversed(trades):
        if trade.known_ns < since_ns:
            break
        if trade.mint == mint or not rule.is_per_token:
            found.append(trade)
    found.reverse()
    return found


def _has_a_say(rule: Protection, trade: ClosedTrade) -> bool:
    """Return whether this trade can be what trips the rule: a winner makes nobody wait for the losses before it."""
    if rule.kind is ProtectionKind.COOLDOWN_PERIOD:
        return True
    if rule.kind is ProtectionKind.STOPLOSS_GUARD:
        return trade.is_stopped and trade.return_bps < rule.bps
    return trade.equity_millionths < 0


def _cooldown_period(_rule: Protection, trades: Sequence[ClosedTrade]) -> Tripped:
    return Tripped(len(trades), 0, "trades closed")


def _stoploss_guard(rule: Protection, trades: Sequence[ClosedTrade]) -> Tripped | None:
    stopped = sum(trade.is_stopped and trade.return_bps < rule.bps for trade in trades)
    return Tripped(stopped, rule.trades_min - 1, "trades stopped out") if stopped >= rule.trades_min else None


def _max_drawdown(rule: Protection, trades: Sequence[ClosedTrade]) -> Tripped | None:
    sum_millionths = best = worst = 0
    for trade in trades:
        sum_millionths += trade.equity_millionths
        best = max(best, sum_millionths)
        worst = max(worst, best - sum_millionths)
    fallen_bps = ceil_div(worst * BPS_ONE, MILLION)
    return Tripped(fallen_bps, rule.bps, "bps of equity lost by closed trades") if fallen_bps > rule.bps else None


def _low_profit_pairs(rule: Protection, trades: Sequence[ClosedTrade]) -> Tripped | None:
    returns_bps = sum(trade.return_bps for trade in trades)
    return Tripped(returns_bps, rule.bps, "bps returned by all together") if returns_bps < rule.bps else None


_RULES: Final[Mapping[ProtectionKind, Callable[[Protection, Sequence[ClosedTrade]], Tripped | None]]] = {
    ProtectionKind.COOLDOWN_PERIOD: _cooldown_period,
    ProtectionKind.STOPLOSS_GUARD: _stoploss_guard,
    ProtectionKind.MAX_DRAWDOWN: _max_drawdown,
    ProtectionKind.LOW_PROFIT_PAIRS: _low_profit_pairs,
}


class ProtectionBook:
    """The closed trades that count, and the locks that they led to."""

    def __init__(self, rules: Sequence[Protection]) -> None:
        self._rules = tuple(rules)
        self._trades: deque[ClosedTrade] = deque(maxlen=TRADES_MAX)
        self._locks: dict[tuple[str, str | None], Lock] = {}
        """The one that ends last of each kind and token."""

    def use(self, rules: Sequence[Protection]) -> None:
        """Go on under the rules of another profile, as if they had been there before: no switch ends a wait early that
        the new rules ask for, and none of the old ones stays."""
        if tuple(rules) == self._rules:
            return
        self._rules = tuple(rules)
        trades, self._trades = self._trades, deque(maxlen=TRADES_MAX)
        self._locks = {}
        for trade in trades:
            self._add(trade)

    def close(self, known_ns: int, trip: RoundTrip, reason: str, equity_lamports: int) -> None:
        """Take a finished trade; ``reason`` is that of the order that closed it, empty where nobody could sell it."""
        share = trip.realised_lamports * MILLION // max(1, equity_lamports)
        is_stopped = not reason or reason.partition(":")[0] in _STOPS
        self._add(ClosedTrade(trip.mint, known_ns, trip.return_bps, share, is_stopped))

    def locks(self, now_ns: int, mint: str | None = None) -> Iterator[Lock]:
        """Yield what makes entries wait now, of this token (those of all tokens among them) or of any."""
        for lock in self._locks.values():
            if lock.until_ns > now_ns and (mint is None or lock.mint is None or lock.mint == mint):
                yield lock

    def _add(self, trade: ClosedTrade) -> None:
        now_ns = trade.known_ns
        self._trades.append(trade)
        while self._trades[0].known_ns < now_ns - DAYS_30_S * NS_PER_S:
            self._trades.popleft()
        self._locks = {key: lock for key, lock in self._locks.items() if lock.until_ns > now_ns}
        for rule in self._rules:
            if not _has_a_say(rule, trade):
                continue
            found = tripped(rule, window(rule, self._trades, trade.mint, now_ns))
            if found is not None:
                self._lock(rule, trade.mint if rule.is_per_token else None, now_ns, found)

    def _lock(self, rule: Protection, mint: str | None, now_ns: int, found: Tripped) -> None:
        until_ns = now_ns + rule.stop_s * NS_PER_S
        known = self._locks.get((rule.kind, mint))
        if known is None or known.until_ns <= until_ns:
            span = f" in {rule.lookback_s} s" if rule.lookback_s else ""
            text = f"{found.used} {found.unit}{span} (limit {found.limit})"
            self._locks[rule.kind, mint] = Lock(rule.kind, mint, now_ns, until_ns, text)

"""Decisions that remember: what the market was like is written down whenever a strategy speaks of a rise, and before an
entry the nearest past situations are asked what came of them.

Asked are the desk's own rows alone, as of now; nothing is waited for. Switched off it costs a comparison a bar and
writes nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isqrt
from typing import Any, Final

from trading.model import events
from trading.model.account import TrackRecord
from trading.model.forecast import Direction, Forecast
from trading.model.market_data import Bar
from trading.model.order import Denied, Signal
from trading.model.profile import Profile
from trading.model.recall import Recollection, Situation
from trading.recall.histories import Histories
from trading.recall.situations import VERSION, Context, Market, Stated, text_of, vector_of
from trading.recall.weighing import mixed, recollection
from trading.risk.sizing import position_fraction

from .counsel import Weighed
from .state import DeskState
from .valuation import Valuer

BTC_SYMBOLS: Final = frozenset({"BTC", "WBTC", "CBBTC", "TBTC", "XBTC", "ZBTC"})
_HALVINGS_MAX: Final = 6
_MILLION: Final = 1_000_000

Emit = Callable[[events.Event], Any]


class Recaller:
    """Belongs to one kernel. ``emit`` journals and applies. While ``is_on`` it must be shown every bar."""

    def __init__(self, state: DeskState, valuer: Valuer, emit: Emit) -> None:
        self._state = state
        self._valuer = valuer
        self._emit = emit
        self.histories = Histories()
        self.is_on = state.profile.recall.is_on
        self._newest: tuple[tuple[str, str, int], tuple[int, ...] | None] = (("", "", -1), None)
        """The vector that was made last, and of which strategy, token and time."""
        self._sampled = (-1, 0)
        self._together = Market()
        """What all tokens did as of that sample."""

    def use(self, profile: Profile) -> None:
        """Go on by the rules of this profile. What was remembered stays; prices are looked at again from now on."""
        self.is_on = profile.recall.is_on
        if not self.is_on:
            self.histories.forget()

    def sample(self, now_ns: int) -> None:
        """Note what is due by the hour, at the end of a cycle."""
        if self.is_on:
            self.histories.sample_sol(now_ns, self._state.sol_usd)

    def learn(self, bars: Sequence[Bar]) -> None:
        """Take the past of a token that the desk begins to follow."""
        if self.is_on:
            self.histories.learn(bars)

    def met(self, trajectory: str, signal: Signal, forecast: Forecast) -> None:
        """Write down the situation in which a forecast of a rise was made, acted on or not."""
        if not self.is_on or forecast.direction is not Direction.UP:
            return
        vector = self._vector(signal, forecast.cost_bps)
        if vector is None:
            return
        whose = (forecast.id, trajectory, signal.strategy, signal.mint, signal.ts_ns)
        situation = Situation(*whose, signal.edge_bps, forecast.cost_bps, VERSION, text_of(vector))
        self._emit(events.SituationMet(situation))

    def counsel(self, trajectory: str, weighed: Weighed) -> Weighed | Denied:
        """Body of ``counsel.Counsellor``: move edge and record by what came of the nearest situations."""
        if not self.is_on:
            return weighed
        signal, rules = weighed.signal, self._state.profile.recall
        forecast = self._state.forecasts.open_of(signal.strategy, signal.mint, Direction.UP)
        vector = None if forecast is None else self._vector(signal, forecast.cost_bps)
        if forecast is None or vector is None:
            return weighed
        memory, now_ns = self._state.situations, self._state.now_ns
        nearest = memory.nearest(now_ns, signal.strategy, vector, rules.neighbours)
        found = recollection(nearest, signal.edge_bps, rules)
        is_used = found is not None and (rules.scores_min == 0 or memory.shifts(signal.strategy))
        own = forecast.id if forecast.ts_ns == signal.ts_ns else ""
        whose = (trajectory, signal.strategy, signal.mint, now_ns, own)
        known = memory.known(signal.strategy)
        self._emit(events.SituationRecalled(*whose, signal.edge_bps, known, is_used, found))
        return weighed if found is None or not is_used else self._shifted(weighed, found)

    def judge(self) -> None:
        """Say so where recall begins or ceases to help: its errors of the newest answers against those of the edges as
        they were stated. Called when scores were written."""
        rules, memory = self._state.profile.recall, self._state.situations
        if not self.is_on or rules.scores_min == 0:
            return
        for strategy in memory.scored:
            count, stated, recalled = memory.scores(strategy)
            shifts = count >= rules.scores_min and recalled < stated
            if shifts is memory.shifts(strategy):
                continue
            errors = isqrt(stated // count), isqrt(recalled // count)
            than = "smaller than" if shifts else "not smaller than"
            reason = f"recalled edges are off by {errors[1]} bps, {than} the {errors[0]} of the stated ones"
            self._emit(events.RecallJudged(self._state.now_ns, strategy, shifts, count, *errors, reason))

    def _shifted(self, weighed: Weighed, found: Recollection) -> Weighed | Denied:
        signal = weighed.signal
        edge = signal.edge_bps + found.shift_bps
        if edge <= 0 < signal.edge_bps:
            text = (
                f"{found.neighbours} situations like this one came to {found.mean_bps} bps on average, give or take "
                f"{found.error_bps}: nothing is left of the {signal.edge_bps} that are stated"
            )
            return Denied("recalled_losses", text, signal.edge_bps, found.mean_bps)
        return replace(weighed, signal=replace(signal, edge_bps=edge), record=self._record(weighed.record, found))

    def _record(self, record: TrackRecord, found: Recollection) -> TrackRecord:
        """Return the record moved towards what is recalled, as far as the size may grow by it."""
        profile = self._state.profile
        if record.trades < profile.sizing.trades_min:
            return record  # a probe is no larger for what is recalled, and it is the least already
        most = _millionths(record) * (10_000 + profile.recall.raise_bps_max) // 10_000
        share = found.trust_bps
        for _ in range(_HALVINGS_MAX):
            moved = mixed(record, found, share)
            if _millionths(moved) <= most:
                return moved
            share //= 2
        return record

    def _vector(self, signal: Signal, cost_bps: int) -> tuple[int, ...] | None:
        whose = (signal.strategy, signal.mint, signal.ts_ns)
        if self._newest[0] != whose:
            stated = Stated(signal.strength, signal.edge_bps, signal.horizon_s, cost_bps)
            self._newest = whose, vector_of(self.histories.bars(signal.mint), self._context(), stated)
        return self._newest[1]

    def _context(self) -> Context:
        returns, instruments = self._state.returns, self._valuer.instruments
        btc = next((mint for mint, each in instruments.items() if each.symbol.upper() in BTC_SYMBOLS), "")
        return Context(self._state.now_ns, self.histories.sol_usd, returns.over(btc, 1), self._market())

    def _market(self) -> Market:
        """Return what all tokens did, worked out once an hour, or when the past of another one is learned."""
        returns = self._state.returns
        sampled = (returns.due_ns, returns.tokens)
        if self._sampled != sampled:
            self._sampled = sampled
            self._together = Market.of(returns.all_hours())
        return self._together


def _millionths(record: TrackRecord) -> int:
    """Return Kelly's share in whole millionths, so that the last bits of a float decide nothing."""
    return int(position_fraction(record) * _MILLION)

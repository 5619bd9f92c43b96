"""Before the desk acts it says what it expects: a forecast for each opinion, scored when due, and a ranking.

A cycle without an opinion and without a forecast that is due costs a comparison of two ints.
"""

from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final

from trading.model import events
from trading.model.forecast import Direction, Forecast, ForecastScore, OrderImpact, RankedToken
from trading.model.identifiers import forecast_id
from trading.model.network import SIGNATURE_FEE_LAMPORTS
from trading.model.order import Order, Purpose, Side, Signal, SwapQuote
from trading.model.units import BPS_ONE, NS_PER_S, ceil_div
from trading.portfolio.forecasts import Outcome
from trading.ports import Venue
from trading.risk.sizing import VOLATILITY_KEY

from .state import DAY, DeskState
from .trader import Trader
from .valuation import Valuer

CHANGE: Final = "change"
RANKED_MAX: Final = 20
"""Places of a ranking that are written down when one changes; how many tokens it is of is told beside them."""
RANKED_DAY_MAX: Final = 200
"""Places that are written down once a day: as a rule every token that is listed, with its volatility."""
GONE_BPS: Final = -BPS_ONE
"""The move of a token that can no longer be sold."""
MOVE_BPS_MAX: Final = 10_000_000
_RATIO: Final = Context(prec=28, rounding=ROUND_HALF_EVEN)

Emit = Callable[[events.Event], Any]
Met = Callable[[str, Signal, Forecast], None]


class Forecaster:
    """Writes forecasts, scores and rankings for one kernel. ``emit`` journals and applies."""

    def __init__(self, state: DeskState, venue: Venue, valuer: Valuer, trader: Trader, emit: Emit) -> None:
        self._state = state
        self._venue = venue
        self._valuer = valuer
        self._trajectory_of = trader.trajectory_of
        self._emit = emit
        trader.impact_of = self.impact
        self.met: Met = _nobody_met
        """Is told of each forecast when it was written."""

    def look(self, now_ns: int) -> None:
        """Note what came of the forecasts that are due, at the end of a cycle. No row: that is written with the next
        one, so that a quiet cycle stays quiet."""
        forecasts = self._state.forecasts
        for forecast in forecasts.due(now_ns):
            forecasts.came_out(forecast, self._outcome(now_ns, forecast))

    def observe(self, signals: Sequence[Signal], *, is_told: bool) -> None:
        """Write the scores that came out, the forecasts of this cycle's opinions and, where it has changed or a day has
        begun, the ranking. Called at the end of a cycle, before anything is ordered; ``is_told``: it leaves a row."""
        state = self._state
        decided = state.forecasts.decided() if is_told else []
        scores = [(name, _scored(forecast, outcome)) for name, forecast, outcome in decided]
        for trajectory, score in scores:
            self._emit(events.ForecastScored(trajectory, score))
        made = [self._made(signal) for signal in signals]
        if state.day.number(state.ranked_ns) < state.day.number(state.now_ns):
            self._rank(DAY)
        elif any(made) or any(score.direction is Direction.UP for _, score in scores):
            self._rank(CHANGE)

    def impact(self, order: Order, quote: SwapQuote | None) -> OrderImpact:
        """Return what the order is expected to bring after its costs, by the forecast that it follows."""
        is_entry = order.purpose is Purpose.ENTRY
        direction = Direction.UP if is_entry else Direction.DOWN
        forecast = self._state.forecasts.open_of(order.strategy, order.mint, direction)
        cost = SIGNATURE_FEE_LAMPORTS + order.priority_fee_lamports
        value = order.amount_in if is_entry else 0
        if quote is not None:
            cost += quote.pool_fee_lamports + quote.impact_lamports
            value = quote.amount_in if order.side is Side.BUY else quote.amount_out
        if is_entry:  # the exit is taken to cost what the entry costs
            cost *= 2
        expected = 0 if forecast is None else forecast.expected_bps
        return OrderImpact(
            forecast_id="" if forecast is None else forecast.id,
            expected_bps=expected,
            cost_lamports=cost,
            expected_lamports=value * expected // BPS_ONE - cost,
        )

    def _made(self, signal: Signal) -> bool:
        """Write the forecast of an opinion, unless it names no time or is open already; True for one of a rise."""
        state = self._state
        direction = Direction.UP if signal.strength > 0 else Direction.DOWN
        bar = self._venue.mark(signal.mint)
        if signal.horizon_s <= 0 or not signal.strength or bar is None:
            return False
        if state.forecasts.open_of(signal.strategy, signal.mint, direction) is not None:
            return False
        record = state.forecasts.calibration(signal.strategy, direction)
        # Whole percents: the last bits of a float decide nothing.
        strength = min(100, round(abs(signal.strength) * 100))
        volatility = signal.evidence.get(VOLATILITY_KEY)
        is_rise = direction is Direction.UP
        trajectory = self._trajectory_of(signal.strategy, signal.strategy, signal.mint)
        forecast = Forecast(
            id=forecast_id(trajectory, direction.value, signal.ts_ns // NS_PER_S),
            strategy=signal.strategy,
            mint=signal.mint,
            direction=direction,
            move_bps=signal.edge_bps,
            expected_bps=record.expected_bps(signal.edge_bps),
            confidence_bps=record.confidence_bps(strength),
            strength_percent=strength,
            volatility_day_bps=volatility if type(volatility) is int else None,
            cost_bps=self._round_trip_bps(signal.mint) if is_rise else 0,
            ts_ns=signal.ts_ns,
            due_ns=signal.ts_ns + signal.horizon_s * NS_PER_S,
            mark_sol=bar.close,
            reason=signal.reason,
            evidence=signal.evidence,
        )
        self._emit(events.ForecastMade(trajectory, forecast))
        self.met(trajectory, signal, forecast)
        return is_rise

    def _outcome(self, now_ns: int, forecast: Forecast) -> Outcome:
        bar = self._venue.mark(forecast.mint)
        if bar is None or not self._venue.is_tradable(forecast.mint):
            moved, reason = GONE_BPS, "the token can no longer be sold"
        else:
            moved = move_bps(forecast.mark_sol, bar.close)
            reason = "" if bar.ts_close_ns > forecast.ts_ns else "it was not traded since"
        return Outcome(now_ns, moved if forecast.direction is Direction.UP else -moved, reason)

    def _rank(self, occasion: str) -> None:
        state = self._state
        listed = [mint for mint in self._valuer.instruments if self._venue.is_tradable(mint)]
        if occasion == CHANGE and len(listed) < 2:
            return  # nothing can have changed places
        best: dict[str, Forecast] = {}
        for each in state.forecasts:
            if each.direction is Direction.UP and (each.mint not in best or _promise(best[each.mint]) < _promise(each)):
                best[each.mint] = each
        ranked = sorted((self._ranked(mint, best.get(mint)) for mint in listed), key=_place)
        if occasion == DAY:
            told = ranked[:RANKED_DAY_MAX]
        else:
            told = ranked[:RANKED_MAX]
            if tuple(each.mint for each in told) == state.ranked_mints[:RANKED_MAX]:
                return
        self._emit(events.UniverseRanked(state.now_ns, occasion, len(listed), tuple(told)))

    def _ranked(self, mint: str, best: Forecast | None) -> RankedToken:
        """Return the place of a token. What its best opinion says about its volatility comes first; of one that nobody
        forecasts, or says nothing about, the hourly returns tell."""
        pool, returns = self._venue.pool_lamports(mint), self._state.returns
        stated = None if best is None else best.volatility_day_bps
        measured = returns.volatility_day_bps(mint) if stated is None else stated
        hours = returns.hours(mint) if stated is None and measured is not None else 0
        return RankedToken(mint, None if best is None else best.edge_bps, pool, measured, hours)

    def _round_trip_bps(self, mint: str) -> int:
        profile = self._state.profile
        lamports = profile.sizing.order_lamports_min
        quote = self._venue.quote(mint, Side.BUY, lamports)
        if quote is None:
            return BPS_ONE
        transaction = SIGNATURE_FEE_LAMPORTS + profile.priority_fee_lamports
        one_way = quote.pool_fee_lamports + quote.impact_lamports + transaction
        return ceil_div(2 * one_way * BPS_ONE, lamports)


def _nobody_met(_trajectory: str, _signal: Signal, _forecast: Forecast) -> None:
    """Nobody keeps situations."""


def _scored(forecast: Forecast, outcome: Outcome) -> ForecastScore:
    is_hit = outcome.realised_bps > 0
    error = forecast.move_bps - outcome.realised_bps
    missed = BPS_ONE - forecast.confidence_bps if is_hit else forecast.confidence_bps
    return ForecastScore(
        forecast_id=forecast.id,
        strategy=forecast.strategy,
        mint=forecast.mint,
        direction=forecast.direction,
        ts_ns=outcome.ts_ns,
        move_bps=forecast.move_bps,
        confidence_bps=forecast.confidence_bps,
        strength_percent=forecast.strength_percent,
        realised_bps=outcome.realised_bps,
        is_hit=is_hit,
        error_bps=error,
        squared_error=error * error,
        brier_ppm=missed * missed // 100,
        reason=outcome.reason,
    )


def move_bps(before: Decimal, after: Decimal) -> int:
    """Return the move in bps of the first price, rounded towards zero and bounded."""
    moved = _RATIO.divide(_RATIO.multiply(_RATIO.subtract(after, before), Decimal(BPS_ONE)), before)
    return max(-BPS_ONE, min(MOVE_BPS_MAX, int(moved)))


def _promise(forecast: Forecast) -> tuple[int, str]:
    return forecast.edge_bps, forecast.strategy


def _place(token: RankedToken) -> tuple[int, int, int, str]:
    """Forecasts that pay come first, the largest gain after costs before the others; then depth, in powers of two so
    that a swap does not change the order; then calm before wild, in powers of the root of two so that an hour seldom
    does; names decide a tie."""
    gain = max(0, token.edge_bps or 0)
    calm = token.volatility_day_bps if token.volatility_day_bps is not None else MOVE_BPS_MAX
    return (-gain, -token.pool_lamports.bit_length(), (calm * calm).bit_length(), token.mint)

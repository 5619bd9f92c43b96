"""The kernel's side of the sidecar: advice that has come in is weighed before an entry, and scored when it is due.

Nothing here can ask anybody. Advice comes as an input, between two cycles, journalled before it is looked at; what
has not come, or has expired, is not there.
"""

from collections.abc import Callable
from typing import Any

from trading.model import events
from trading.model.advice import score_of
from trading.model.market_data import Advised
from trading.model.order import Denied
from trading.model.units import NS_PER_S, ceil_div
from trading.ports import Venue
from trading.sidecar.book import Arrived, Outcome
from trading.sidecar.weighing import weigh

from .counsel import Weighed
from .forecasting import GONE_BPS, move_bps
from .state import DeskState

Emit = Callable[[events.Event], Any]


class Advisor:
    """Takes, weighs and scores advice for one kernel. ``emit`` journals and applies."""

    def __init__(self, state: DeskState, venue: Venue, emit: Emit) -> None:
        self._state = state
        self._venue = venue
        self._emit = emit

    def take(self, advised: Advised) -> None:
        """Keep what came in, with the price of that time. No row of its own: the input has one."""
        bar = self._venue.mark(advised.exchange.mint)
        self._state.advice.take(advised.exchange, advised.ts_ns, None if bar is None else bar.close)

    def weigh(self, trajectory: str, weighed: Weighed) -> Weighed | Denied:
        """Return the entry as the newest advice about it leaves it (a ``counsel.Counsellor``)."""
        state, signal = self._state, weighed.signal
        rules = state.profile.advice
        if not rules.weight_bps_max:
            return weighed
        exchange = state.advice.about(signal.mint, signal.strategy)
        if exchange is None or exchange.advice is None:
            return weighed
        found = weigh(exchange, state.advice.calibration(exchange.advice.model, exchange.kind), rules, state.now_ns)
        self._emit(
            events.AdviceWeighed(
                trajectory_id=trajectory,
                advice_id=exchange.id,
                ts_ns=state.now_ns,
                strategy=signal.strategy,
                mint=signal.mint,
                model=exchange.advice.model,
                weight_bps=found.weight_bps,
                scale_bps=found.scale_bps,
                wait_until_ns=found.wait_until_ns,
                reason=found.reason,
            )
        )
        if found.wait_until_ns:
            left_s = ceil_div(found.wait_until_ns - state.now_ns, NS_PER_S)
            return Denied("advice_wait", f"advice {exchange.id} is to wait {left_s} s longer")
        return Weighed(signal, weighed.record, min(weighed.scale_bps, found.scale_bps))

    def look(self, now_ns: int) -> None:
        """Note what came of the advice that is due, at the end of a cycle; its row is written with the next one."""
        book = self._state.advice
        for arrived in book.due(now_ns):
            book.came_out(arrived, self._outcome(now_ns, arrived))

    def observe(self, *, is_told: bool) -> None:
        """Write the scores that came out, in a cycle that leaves a row."""
        for arrived, outcome in self._state.advice.decided() if is_told else ():
            score = score_of(arrived.exchange, outcome.realised_bps, outcome.ts_ns, outcome.reason)
            self._emit(events.AdviceScored(score))

    def _outcome(self, now_ns: int, arrived: Arrived) -> Outcome:
        mint = arrived.exchange.mint
        bar = self._venue.mark(mint)
        assert arrived.mark_sol is not None, "without a price nothing waits to be scored"
        if bar is None or not self._venue.is_tradable(mint):
            return Outcome(now_ns, GONE_BPS, "the token can no longer be sold")
        is_newer = bar.ts_close_ns > arrived.ts_ns
        return Outcome(now_ns, move_bps(arrived.mark_sol, bar.close), "" if is_newer else "it was not traded since")

"""Notices that nothing was seen for too long, and has what is open protected in that same cycle."""

from collections.abc import Callable
from typing import Any, Final

from trading.model import events
from trading.ports import Venue
from trading.risk.after_gap import GapPosition, after_gap

from .state import DeskState
from .valuation import Valuer

INTERVALS_MAX: Final = 3
"""Cycles that are no further apart than so many bars are long are no gap, whatever the profile says."""


class GapKeeper:
    def __init__(self, state: DeskState, valuer: Valuer, venue: Venue, emit: Callable[[events.GapSeen], Any]) -> None:
        self._state = state
        self._valuer = valuer
        self._venue = venue
        self._emit = emit

    def look(self, cycle: int) -> None:
        """Journal what the profile does about the time since the last cycle, where it was too long.

        ``cycle`` is the number of the present one, which is not decided yet.
        """
        state = self._state
        since_ns = state.trail.newest_ns
        longest_ns = max((bar.ts_close_ns - bar.ts_open_ns for bar in self._valuer.newest_bars() if bar), default=0)
        gap_ns = state.now_ns - since_ns
        if not since_ns or gap_ns <= INTERVALS_MAX * longest_ns:
            return
        decision = after_gap(gap_ns, self._positions(), state.profile.after_gap)
        if decision is not None:
            wait_until = cycle + decision.entries_wait_cycles - 1
            self._emit(events.GapSeen(state.now_ns, since_ns, wait_until, decision.steps, decision.reason))

    def _positions(self) -> list[GapPosition]:
        state, valuation = self._state, self._valuer.value()
        found = []
        for position in state.ledger.positions():
            bar = self._venue.mark(position.mint)
            found.append(
                GapPosition(
                    bucket=position.bucket,
                    mint=position.mint,
                    cost_lamports=position.cost_lamports,
                    value_lamports=self._valuer.position_lamports(position, valuation),
                    close_sol=None if bar is None else bar.close,
                    age_ns=0 if bar is None else state.now_ns - bar.ts_close_ns,
                )
            )
        return found

"""When a cycle is quiet: no rule could have a say in it, so a whole decision would do nothing but note the equity."""

from decimal import Decimal
from typing import Final

from trading.model.account import TradingState
from trading.model.market_data import Bar
from trading.model.position import Position
from trading.model.units import NS_PER_S
from trading.risk.exits import Watch

from .level_keeper import LevelKeeper, ValueBounds
from .state import RETURN_PERIOD_NS, DeskState
from .trader import Trader
from .valuation import Valuation, Valuer

MARK_SPACING_NS: Final = 3_600 * NS_PER_S
"""Of quiet cycles over recorded inputs the mark is written down this often."""


class Quiet:
    """The ranges of prices, equity and time that the last decision left: within all of them a cycle is quiet.

    ``by_reference``: only a run over recorded inputs has quiet cycles, because elsewhere each has a row of its own.
    """

    def __init__(
        self, state: DeskState, valuer: Valuer, trader: Trader, levels: LevelKeeper, *, by_reference: bool
    ) -> None:
        self._state = state
        self._valuer = valuer
        self._trader = trader
        self._levels = levels
        self._by_reference = by_reference
        self.until_ns = 0
        """The first time at which a cycle is not quiet whatever the market does, 0 where none is."""
        self.watches: dict[str, list[Watch]] = {}
        """By token that is held: in which closes nothing is sold; a token without one is not watched."""
        self._peaks: dict[str, Decimal] = {}
        """The lowest peak of the positions in each token that is watched."""
        self.cash_lamports = 0
        """What the account is worth besides its tokens."""
        self.equity_low = 0
        self.equity_high = 0
        self.value_bounds: ValueBounds | None = None

    def begin(self, valuation: Valuation) -> None:
        """Note the ranges after a decision."""
        state = self._state
        self.watches, self._peaks = {}, {}
        self.until_ns = 0
        if (
            not self._by_reference
            or state.open_orders  # what becomes of them is decided on
            or state.guard.state is not TradingState.ACTIVE
            or state.guard.is_reducing_by_drawdown
            or state.levels.is_resting
        ):
            return
        until_ns = min(
            state.now_ns - state.now_ns % RETURN_PERIOD_NS + RETURN_PERIOD_NS,
            state.day.until_ns(state.now_ns),
            state.marked_ns + MARK_SPACING_NS,
        )
        for position in state.ledger.positions():
            watch = self._trader.watch(position)
            if watch is None:
                return
            self.watches.setdefault(position.mint, []).append(watch)
            self._peaks[position.mint] = min(watch.peak_sol, self._peaks.get(position.mint, watch.peak_sol))
            until_ns = min(until_ns, watch.until_ns)
        self.cash_lamports = state.ledger.cash_lamports + state.ledger.rent_lamports
        self.equity_low, self.equity_high = state.corridor()
        self.value_bounds = self._levels.bounds(valuation)
        self.until_ns = until_ns

    def holds(self, cycle: int) -> bool:
        """Note the equity and return True where a whole decision would do nothing else."""
        state = self._state
        equity = self.cash_lamports
        if state.ledger.holdings:
            exposure = self._valuer.exposure_lamports(self.value_bounds)
            if exposure is None:
                return False
            equity += exposure
            if not self.equity_low <= equity <= self.equity_high:
                state.exposure_lamports = exposure
                return False
            self.drift(equity, exposure)
        state.cycle = cycle
        state.trail.add(state.now_ns, equity)
        return True

    def drift(self, equity_lamports: int, exposure_lamports: int) -> None:
        """Take the account's worth in a quiet cycle in which something is held."""
        self._state.exposure_lamports = exposure_lamports
        self._levels.drifted()
        self._state.drift(equity_lamports)

    def observe(self, bar: Bar) -> None:
        """Take the newest bar of a token that is held: outside its watched closes the range is drawn anew; where a rule
        sells, no cycle is quiet until the next decision."""
        mint, close = bar.mint, bar.close
        watches = self.watches.get(mint)
        if watches is not None:
            for each in watches:
                if not each.low_sol < close <= each.high_sol:
                    break
            else:
                self.rise(mint, close)
                return
        found: list[Watch | None] = []
        for position in self._positions(mint):
            self._state.peaks.observe(position.bucket, mint, close)
            found.append(None if watches is None else self._trader.watch(position))
        narrow = [each for each in found if each is not None]
        if len(narrow) == len(found):
            self.watches[mint] = narrow
            self._peaks[mint] = min(each.peak_sol for each in narrow)
        else:
            self.watches.pop(mint, None)
            self.until_ns = 0

    def rise(self, mint: str, close_sol: Decimal) -> None:
        """Take the highest close of a token since the last one, all within its watched range."""
        if close_sol > self._peaks[mint]:
            peaks = [self._state.peaks.observe(each.bucket, mint, close_sol) for each in self._positions(mint)]
            self._peaks[mint] = min(peaks)

    def _positions(self, mint: str) -> list[Position]:
        buckets = self._state.ledger.buckets.values()
        return [bucket.positions[mint] for bucket in buckets if mint in bucket.positions]

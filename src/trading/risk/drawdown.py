"""Drawdown defence, marked to market: ACTIVE -> REDUCING -> HALTED."""

from trading.model.account import HighWater, TradingState, drawdown_bps, floor_lamports
from trading.model.profile import DrawdownLimits
from trading.model.trading_day import TradingDay
from trading.model.units import NS_PER_S

_SEVERITY = {TradingState.ACTIVE: 0, TradingState.REDUCING: 1, TradingState.HALTED: 2}


class DrawdownGuard:
    """Two peaks: a long one since the last resume, whose drop halts, and a short one, whose drop reduces.

    A desk that reduces is soon flat, and a flat desk cannot climb out of a drawdown. So REDUCING ends after
    ``reducing_s``, and the short peak then starts anew; the long one does not, so that repeated losses add up to a
    halt, which only a person ends. The day's loss is against the equity at the first mark of the day. Deposits and
    withdrawals move all of these in proportion and so trip nothing. A limit is crossed when the drop is larger than it.
    """

    __slots__ = (
        "_by_drawdown",
        "_by_hand",
        "_calendar",
        "_day",
        "_day_number",
        "_equity_lamports",
        "_hand_reason",
        "_is_settled",
        "_limits",
        "_long",
        "_reducing_since_ns",
        "_short",
    )

    def __init__(self, limits: DrawdownLimits, calendar: TradingDay) -> None:
        self._limits = limits
        self._calendar = calendar
        self._long = HighWater()
        self._short = HighWater()
        self._day = HighWater()
        self._day_number: int | None = None
        self._equity_lamports = 0
        self._by_drawdown = TradingState.ACTIVE
        self._by_hand = TradingState.ACTIVE
        self._hand_reason = ""
        self._reducing_since_ns = 0
        self._is_settled = False
        """Whether the last mark was taken since limits, peaks or money moved: then the same equity says nothing new."""

    @property
    def state(self) -> TradingState:
        """The more severe of what drawdown and what an operator demand."""
        if self._by_hand is TradingState.ACTIVE:
            return self._by_drawdown
        return max(self._by_drawdown, self._by_hand, key=_SEVERITY.__getitem__)

    @property
    def is_reducing_by_drawdown(self) -> bool:
        """Whether a drawdown limit is what demands to reduce (an operator's word alone sells nothing)."""
        return self._by_drawdown is not TradingState.ACTIVE

    @property
    def is_selling(self) -> bool:
        """Whether nothing may be held now."""
        return self.state is TradingState.HALTED or self.is_reducing_by_drawdown

    @property
    def reason(self) -> str:
        if self._by_drawdown is TradingState.HALTED:
            return f"drawdown of more than {self._limits.halted_bps} bps"
        if self._by_hand is not TradingState.ACTIVE:
            return self._hand_reason
        if self._by_drawdown is TradingState.REDUCING:
            return f"drawdown of more than {self._limits.reducing_bps} bps"
        return "no limit is crossed"

    @property
    def drawdown_bps(self) -> int:
        return drawdown_bps(self._short.peak_lamports, self._equity_lamports)

    @property
    def total_drawdown_bps(self) -> int:
        return drawdown_bps(self._long.peak_lamports, self._equity_lamports)

    @property
    def day_loss_bps(self) -> int:
        return drawdown_bps(self._day.peak_lamports, self._equity_lamports)

    @property
    def equity_lamports(self) -> int:
        """The equity of the last mark, moved by what came in and went out since."""
        return self._equity_lamports

    @property
    def peak_lamports(self) -> int:
        """The long peak, moved by deposits and withdrawals."""
        return self._long.peak_lamports

    def mark(self, ts_ns: int, equity_lamports: int) -> TradingState:
        """Take the equity at liquidation value and return the state from now on."""
        day_number = self._calendar.number(ts_ns)
        is_same = equity_lamports == self._equity_lamports and day_number == self._day_number
        if is_same and self._is_settled and self._by_drawdown is not TradingState.REDUCING:
            return self.state
        self._is_settled = True
        self._equity_lamports = equity_lamports
        if day_number != self._day_number:
            self._day_number = day_number
            self._day.rebase(equity_lamports)
        total = self._long.mark(equity_lamports)
        short = self._short.mark(equity_lamports)
        if total > self._limits.halted_bps:
            self._by_drawdown = TradingState.HALTED
        elif self._by_drawdown is TradingState.ACTIVE and short > self._limits.reducing_bps:
            self._by_drawdown = TradingState.REDUCING
            self._reducing_since_ns = ts_ns
        elif self._by_drawdown is TradingState.REDUCING and self._has_rested(ts_ns):
            self._by_drawdown = TradingState.ACTIVE
            self._short.rebase(equity_lamports)
        return self.state

    def begin(self, equity_lamports: int) -> None:
        """Let the peaks start from this equity; the state stays."""
        self._is_settled = False
        self._long.rebase(equity_lamports)
        self._short.rebase(equity_lamports)

    def corridor(self) -> tuple[int, int]:
        """Return the lowest and the highest equity that ``drift`` may take: no new peak, and no limit is crossed."""
        long, short = self._long.peak_lamports, self._short.peak_lamports
        lowest = floor_lamports(long, self._limits.halted_bps)
        return max(lowest, floor_lamports(short, self._limits.reducing_bps)), min(long, short)

    def drift(self, equity_lamports: int) -> None:
        """Take an equity within the corridor on the day of the last mark, in ACTIVE: ``mark`` would change no more."""
        self._equity_lamports = equity_lamports

    def flow(self, amount_lamports: int) -> None:
        """Take a deposit (positive) or a withdrawal (negative) made since the last mark."""
        self._is_settled = False
        for peak in (self._long, self._short, self._day):
            peak.flow(self._equity_lamports, amount_lamports)
        self._equity_lamports += amount_lamports

    def demand(self, state: TradingState, reason: str) -> TradingState:
        """Let an operator reduce or halt; only ``resume`` takes it back."""
        if _SEVERITY[state] >= _SEVERITY[self._by_hand]:
            self._by_hand, self._hand_reason = state, reason
        return self.state

    def resume(self, ts_ns: int, equity_lamports: int) -> TradingState:
        """Return to ACTIVE on an operator's word; both peaks start from this equity."""
        self._by_drawdown = self._by_hand = TradingState.ACTIVE
        self.begin(equity_lamports)
        return self.mark(ts_ns, equity_lamports)

    def use(self, limits: DrawdownLimits, calendar: TradingDay) -> None:
        """Go on under the limits of another profile, with days of this calendar; peaks and state stay."""
        self._limits = limits
        self._calendar = calendar
        self._is_settled = False

    def _has_rested(self, ts_ns: int) -> bool:
        return ts_ns - self._reducing_since_ns >= self._limits.reducing_s * NS_PER_S

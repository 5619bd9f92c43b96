"""The account as a whole: trading state, peaks, costs and finished trades."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from .units import BPS_ONE, ceil_div, ratio_bps, sol_price_ratio


class TradingState(StrEnum):
    """ACTIVE trades; REDUCING only reduces exposure; HALTED does too and is left by an operator's resume only."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


class Level(StrEnum):
    """Where a drawdown is measured beside the account as a whole."""

    WALLET = "wallet"
    BUCKET = "bucket"
    STRATEGY = "strategy"


@dataclass(frozen=True, slots=True)
class CostTotals:
    """What trading has cost so far, in lamports. ``fee_lamports`` are pool fees and signatures; ``failed_lamports``
    are the charges of rejected transactions; ``rent_lamports`` is the deposit locked in open token accounts."""

    fee_lamports: int = 0
    impact_lamports: int = 0
    priority_lamports: int = 0
    failed_lamports: int = 0
    rent_lamports: int = 0


@dataclass(frozen=True, slots=True)
class LosingExit:
    """The newest exit of a token that lost money; its price is ``lamports / base_units`` as received."""

    mint: str
    ts_ns: int
    lamports: int
    base_units: int

    def is_above(self, price_sol: Decimal, decimals: int) -> bool:
        """Tell whether ``price_sol`` lies below the price of this exit (compared exactly)."""
        lamports, base_units = sol_price_ratio(price_sol, decimals)
        return lamports * self.base_units < self.lamports * base_units


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """A position from its first buy to its last sell. ``slippage_bps`` is the mean over its fills. ``regime``, ``tier``
    and ``profile`` are those of its entry, "" where the books alone tell of it."""

    trajectory_id: str
    bucket: str
    strategy: str
    mint: str
    opened_ns: int
    closed_ns: int
    bought_lamports: int
    sold_lamports: int
    realised_lamports: int
    slippage_bps: int
    fills: int
    regime: str = ""
    tier: str = ""
    profile: str = ""

    @property
    def return_bps(self) -> int:
        """Profit as a share of what was put in, rounded towards zero."""
        return ratio_bps(self.realised_lamports, self.bought_lamports)


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """What a strategy's finished trades say about its next one. Means are of the returns, losses as positive bps."""

    trades: int = 0
    wins: int = 0
    mean_win_bps: int = 0
    mean_loss_bps: int = 0


def drawdown_bps(peak_lamports: int, equity_lamports: int) -> int:
    """Return the drop from the peak in bps, rounded up (against us); 0 at or above the peak."""
    if peak_lamports <= 0 or equity_lamports >= peak_lamports:
        return 0
    return min(BPS_ONE, -((equity_lamports - peak_lamports) * BPS_ONE // peak_lamports))


def floor_lamports(peak_lamports: int, limit_bps: int) -> int:
    """Return the lowest equity whose drop from the peak is not larger than the limit."""
    return ceil_div(peak_lamports * (BPS_ONE - limit_bps), BPS_ONE)


class HighWater:
    """The running peak of equity, moved by deposits and withdrawals in proportion, so that money which moves by
    itself neither makes nor hides a drawdown."""

    __slots__ = ("peak_lamports",)

    def __init__(self, equity_lamports: int = 0) -> None:
        self.peak_lamports = equity_lamports

    def mark(self, equity_lamports: int) -> int:
        """Take a new equity and return the drawdown in bps."""
        self.peak_lamports = max(self.peak_lamports, equity_lamports)
        return drawdown_bps(self.peak_lamports, equity_lamports)

    def flow(self, equity_before_lamports: int, amount_lamports: int) -> None:
        """Scale the peak by a deposit (positive) or a withdrawal (negative) made at this equity."""
        after = equity_before_lamports + amount_lamports
        if equity_before_lamports <= 0 or after <= 0:
            self.peak_lamports = max(0, after)
            return
        # Rounded down: a deposit must not make a drawdown larger, not even by its rounding.
        self.peak_lamports = self.peak_lamports * after // equity_before_lamports

    def rebase(self, equity_lamports: int) -> None:
        """Forget the past peak: from here on the drop is measured from this equity."""
        self.peak_lamports = equity_lamports

"""The reports of each strategy's window: at the end of a day and when the desk comes to another tier."""

from collections.abc import Callable
from typing import Any, Final

from trading.model import events
from trading.portfolio.windows import calibration_bins, window_cells

from .state import DAY, DeskState

EVIDENCE_MAX: Final = 50
"""Trades that the report of a window names."""

Emit = Callable[[events.WindowReported], Any]


def close_day(state: DeskState, emit: Emit) -> bool:
    """Report the windows when a day is over, at the first cycle of another one; tell whether it is."""
    day_ns = state.day.since_ns(state.now_ns)
    is_over = 0 < state.window_ns < day_ns
    if is_over:
        report_windows(state, emit, DAY, day_ns)
    return is_over


def report_windows(state: DeskState, emit: Emit, occasion: str, until_ns: int) -> None:
    """Report how the strategy of each bucket did since its window began."""
    since_ns = state.window_ns
    for bucket in list(state.ledger.buckets.values()):
        window = state.records.window(bucket.name, since_ns, until_ns)
        emit(
            events.WindowReported(
                ts_ns=state.now_ns,
                occasion=occasion,
                strategy=bucket.name,
                bucket=bucket.name,
                since_ns=since_ns,
                until_ns=until_ns,
                trades=window.trades,
                wins=window.wins,
                realised_lamports=window.realised_lamports,
                mean_return_bps=window.mean_return_bps,
                mean_slippage_bps=window.mean_slippage_bps,
                mean_holding_s=window.mean_holding_s,
                tier=state.tier.name,
                profile=state.profile.name,
                capital_lamports=bucket.book_lamports,
                evidence=window.evidence[-EVIDENCE_MAX:],
                cells=window_cells(state.records, bucket.name, until_ns),
                calibration=calibration_bins(state.forecasts, bucket.name),
            )
        )

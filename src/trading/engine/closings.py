"""How a trajectory ends, as the event that says so."""

from typing import Final

from trading.model.account import RoundTrip
from trading.model.events import PositionClosed
from trading.model.order import Order, Rejected

NOT_FILLED: Final = "not filled"
"""How the outcome of a trajectory begins whose entry never became a position."""


def closed(trip: RoundTrip, reason: str) -> PositionClosed:
    """Return the end of a position that was sold or written off."""
    return PositionClosed(
        trajectory_id=trip.trajectory_id,
        strategy=trip.strategy,
        bucket=trip.bucket,
        mint=trip.mint,
        ts_ns=trip.closed_ns,
        realised_lamports=trip.realised_lamports,
        return_bps=trip.return_bps,
        holding_ns=trip.closed_ns - trip.opened_ns,
        reason=reason,
    )


def never_filled(order: Order, report: Rejected) -> PositionClosed:
    """Return the end of an entry that was rejected: no position, only what the transaction cost."""
    return PositionClosed(
        trajectory_id=order.trajectory_id,
        strategy=order.strategy,
        bucket=order.bucket,
        mint=order.mint,
        ts_ns=report.ts_ns,
        realised_lamports=-report.charged_lamports,
        return_bps=0,
        holding_ns=0,
        reason=f"{NOT_FILLED}: {report.reason}: {report.message}",
    )

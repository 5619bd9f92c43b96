"""Shares of the capital that rotate, in words."""

from decimal import Decimal

from trading.model import events
from trading.model.rotation import RotationVerdict, StrategyShare
from trading.model.units import BPS_ONE


def rotation_text(event: events.SharesRotated) -> str:
    """Return the old and the new shares with the figures that they rest on."""
    said = {
        RotationVerdict.MOVED: "The shares of the capital are others now",
        RotationVerdict.BY_HAND: "The shares of the capital stay where a person put them",
    }.get(event.verdict, "The shares of the capital stay as they are")
    return f"{said}: {event.reason}. {' '.join(map(_share, event.shares))}"


def _share(share: StrategyShare) -> str:
    moved = _percent(share.before_bps)
    if share.after_bps != share.before_bps:
        moved = f"{moved} to {_percent(share.after_bps)}"
    day = "" if share.return_ppm is None else f"the day {_ppm(share.return_ppm)}, "
    barred = f"; it gets nothing new ({share.barred})" if share.barred else ""
    return (
        f"{share.strategy} {moved}: {day}{_ppm(share.mean_ppm)} a day over {share.windows} days after shrinking, "
        f"believed the best by {Decimal(share.belief_ppb) / 10_000_000:.1f} %, on its way to "
        f"{_percent(share.target_bps)}{barred}."
    )


def _percent(bps: int) -> str:
    return f"{Decimal(bps * 100) / BPS_ONE:.2f} %"


def _ppm(ppm: int) -> str:
    return f"{Decimal(ppm) / 10_000:+.3f} %"

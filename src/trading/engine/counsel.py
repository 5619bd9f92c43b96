"""Second opinions about an entry, before it is sized: what memory or an adviser makes of a signal.

A counsellor never waits: it looks at what the kernel has been told already. What it changes is bounded by sizing and
gate, which come after it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from trading.model.account import TrackRecord
from trading.model.order import Denied, Signal
from trading.model.units import BPS_ONE


@dataclass(frozen=True, slots=True)
class Weighed:
    """A signal with the record that its size goes by (``risk.sizing``), and the share of that size it is to get."""

    signal: Signal
    record: TrackRecord
    scale_bps: int = BPS_ONE


Counsellor = Callable[[str, Weighed], Weighed | Denied]
"""Takes the trajectory and the signal as it stands; returns what it makes of it, or why not to enter now. What it rests
on it journals itself."""

"""What the desk was when a trade was entered: its regime, tier and profile, kept until the trade is closed."""

from dataclasses import dataclass, replace
from typing import Final

from trading.model.account import RoundTrip
from trading.model.order import Signal

REGIME_KEY: Final = "regime"
"""Evidence of a signal: the market's regime as it was when the strategy spoke."""
UNKNOWN: Final = "unknown"
REGIME_LENGTH_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class EntryFacts:
    regime: str
    tier: str
    profile: str


class EntryBook:
    """A fold of signals, entries and their ends. It holds one entry for each trajectory that is open, and the regimes
    that the signals of one moment named."""

    def __init__(self) -> None:
        self._entries: dict[str, EntryFacts] = {}
        self._heard: dict[str, str] = {}
        self._heard_ns = 0

    def open(self) -> dict[str, EntryFacts]:
        """Return what each open trade was entered in, by trajectory."""
        return dict(self._entries)

    def hear(self, ts_ns: int, trajectory_id: str, signal: Signal) -> None:
        """Note the regime that a signal names; an order that follows from it comes at the same time."""
        if ts_ns != self._heard_ns:
            self._heard_ns = ts_ns
            self._heard.clear()
        named = signal.evidence.get(REGIME_KEY)
        if signal.strength > 0 and isinstance(named, str) and named:
            self._heard[trajectory_id] = named[:REGIME_LENGTH_MAX]

    def enter(self, ts_ns: int, trajectory_id: str, tier: str, profile: str) -> None:
        """Note what a trade is entered in. The first entry counts: what is added to a position later is part of it."""
        if trajectory_id not in self._entries:
            regime = self._heard.get(trajectory_id, UNKNOWN) if ts_ns == self._heard_ns else UNKNOWN
            self._entries[trajectory_id] = EntryFacts(regime, tier, profile)

    def forget(self, trajectory_id: str) -> None:
        """Take back an entry that came to nothing."""
        self._entries.pop(trajectory_id, None)

    def closed(self, trip: RoundTrip) -> RoundTrip:
        """Return a finished trade with what it was entered in, which is forgotten now."""
        facts = self._entries.pop(trip.trajectory_id, None)
        if facts is None:
            return trip
        return replace(trip, regime=facts.regime, tier=facts.tier, profile=facts.profile)

"""What was traded today (UTC), for the limits per day."""

from typing import Final

from trading.model.units import NS_PER_S

DAY_NS: Final = 86_400 * NS_PER_S


class DayTally:
    """Entries that were approved, and what was bought and sold, since the day began. A new day begins at nothing."""

    def __init__(self) -> None:
        self._day = 0
        self._entries = 0
        self._turnover_lamports = 0

    def enter(self, ts_ns: int) -> None:
        """Take an approved entry."""
        self._begin(ts_ns)
        self._entries += 1

    def trade(self, ts_ns: int, lamports: int) -> None:
        """Take what changed hands in a fill, bought or sold."""
        self._begin(ts_ns)
        self._turnover_lamports += lamports

    def entries(self, now_ns: int) -> int:
        return self._entries if self._day == now_ns // DAY_NS else 0

    def turnover_lamports(self, now_ns: int) -> int:
        return self._turnover_lamports if self._day == now_ns // DAY_NS else 0

    def _begin(self, ts_ns: int) -> None:
        if self._day != ts_ns // DAY_NS:
            self._day = ts_ns // DAY_NS
            self._entries = self._turnover_lamports = 0

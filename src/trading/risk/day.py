"""What was traded today, for the limits per day."""


class DayTally:
    """Entries that were approved, and what was bought and sold, since the day began. A new day begins at nothing.

    Days are told by their numbers (``TradingDay.number``).
    """

    def __init__(self) -> None:
        self._day = 0
        self._entries = 0
        self._turnover_lamports = 0

    def enter(self, day: int) -> None:
        """Take an approved entry."""
        self._begin(day)
        self._entries += 1

    def trade(self, day: int, lamports: int) -> None:
        """Take what changed hands in a fill, bought or sold."""
        self._begin(day)
        self._turnover_lamports += lamports

    def entries(self, day: int) -> int:
        return self._entries if self._day == day else 0

    def turnover_lamports(self, day: int) -> int:
        return self._turnover_lamports if self._day == day else 0

    def _begin(self, day: int) -> None:
        if self._day != day:
            self._day = day
            self._entries = self._turnover_lamports = 0

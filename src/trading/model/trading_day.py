"""The day that limits and digests count by: from midnight to midnight in one time zone, as its clocks show it."""

from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from .units import NS_PER_S

UTC: Final = "UTC"
_DAY_NS: Final = 86_400 * NS_PER_S
_EPOCH: Final = date(1970, 1, 1).toordinal()


class TradingDay:
    """The calendar of a zone. A day is as long as the zone makes it: 23 or 25 hours where the clocks are changed.

    Days follow each other without a gap and never overlap: an hour that the clocks show twice is counted once, and a
    midnight that they skip begins the day when they skip it. Raises: ZoneInfoNotFoundError for a zone of no name.
    """

    def __init__(self, zone: str = UTC) -> None:
        self.zone = zone
        self._info = None if zone == UTC else ZoneInfo(zone)
        self._number = 0
        self._since_ns = 0
        self._until_ns = 0
        """The day that was asked for last: almost every question is about the same one."""

    def number(self, ts_ns: int) -> int:
        """Return the number of the day, counted from 1970-01-01."""
        if self._info is None:
            return ts_ns // _DAY_NS
        self._look_up(ts_ns, self._info)
        return self._number

    def since_ns(self, ts_ns: int) -> int:
        """Return when the day of this time began."""
        if self._info is None:
            return ts_ns - ts_ns % _DAY_NS
        self._look_up(ts_ns, self._info)
        return self._since_ns

    def until_ns(self, ts_ns: int) -> int:
        """Return when the day of this time is over: the first moment of the next one."""
        if self._info is None:
            return ts_ns - ts_ns % _DAY_NS + _DAY_NS
        self._look_up(ts_ns, self._info)
        return self._until_ns

    def _look_up(self, ts_ns: int, info: ZoneInfo) -> None:
        if self._since_ns <= ts_ns < self._until_ns:
            return
        number = datetime.fromtimestamp(ts_ns // NS_PER_S, info).toordinal() - _EPOCH
        # Clocks that are set back over midnight show the day before once more.
        while ts_ns >= _midnight_ns(number + 1, info):
            number += 1
        self._number, self._since_ns = number, _midnight_ns(number, info)
        self._until_ns = _midnight_ns(number + 1, info)


def _midnight_ns(number: int, info: ZoneInfo) -> int:
    """Return the first moment at which the clocks show that day, where they skip its midnight the moment of that."""
    day = date.fromordinal(number + _EPOCH)
    return int(datetime(day.year, day.month, day.day, tzinfo=info).timestamp()) * NS_PER_S

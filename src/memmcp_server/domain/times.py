"""Nanoseconds since 1970-01-01 UTC inside, aware datetimes at the edges; exact both ways to the microsecond."""

from datetime import UTC, datetime, timedelta

from memmcp_server.errors import InvalidInput

NS_PER_S = 1_000_000_000
NS_PER_DAY = 86_400 * NS_PER_S
NS_MAX = 2**63 - 1
"""The largest time that a journal row can hold: 2262-04-11."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_ns(moment: datetime) -> int:
    """Return nanoseconds since the epoch. The datetime must be aware; floats are not involved."""
    return (moment - _EPOCH) // _MICROSECOND * 1_000


def from_ns(ts_ns: int) -> datetime:
    """Return the moment in UTC, rounded down to the microsecond."""
    return _EPOCH + timedelta(microseconds=ts_ns // 1_000)


def instant_ns(name: str, moment: datetime | None) -> int | None:
    """Return the caller's moment in nanoseconds, None for None.

    Raises: InvalidInput (no zone, or outside of what a journal row can hold), naming the field.
    """
    if moment is None:
        return None
    if moment.tzinfo is None or moment.utcoffset() is None:
        msg = f"{name} is {moment.isoformat()} without a zone; write it with one"
        raise InvalidInput(msg, field=name, hint="for example 2026-05-01T12:00:00Z or 2026-05-01T14:00:00+02:00")
    ts_ns = to_ns(moment)
    if not 0 <= ts_ns <= NS_MAX:
        msg = f"{name} is {moment.isoformat()}; allowed are 1970-01-01 to 2262-04-11 UTC"
        raise InvalidInput(msg, field=name)
    return ts_ns

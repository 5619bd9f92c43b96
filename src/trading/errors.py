"""The error tree of the trading runtime. A denial or a rejection is a value and an event, not an exception.

TradingError
  InvalidInput          an argument or a setting is wrong; names the field
  DataError             market data is unusable; names file and row
  IllegalTransition     an order or a position was asked for an impossible step (programmer error)
  LedgerMismatch        the books do not add up: the desk halts
  Unavailable           retry later
    FeedUnavailable
    MemoryUnavailable
    JournalUnavailable  the desk cannot record, so it does not act
"""

from typing import ClassVar


class TradingError(Exception):
    """Base of everything this package raises on purpose; see ``field`` and ``hint``."""

    code: ClassVar[str] = "trading_error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.hint = hint


class InvalidInput(TradingError):
    code = "invalid_input"


class DataError(TradingError):
    code = "data_error"


class IllegalTransition(TradingError):
    code = "illegal_transition"


class LedgerMismatch(TradingError):
    code = "ledger_mismatch"


class Unavailable(TradingError):
    code = "unavailable"
    retryable = True


class FeedUnavailable(Unavailable):
    code = "feed_unavailable"


class MemoryUnavailable(Unavailable):
    code = "memory_unavailable"


class JournalUnavailable(Unavailable):
    code = "journal_unavailable"

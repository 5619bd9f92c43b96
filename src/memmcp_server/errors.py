"""The error tree of the memory server.

    MemoryServerError
      InvalidInput            a field is wrong; nothing was written
        IdempotencyConflict   same key, other content
        PayloadTooLarge
        SecretRefused         a field holds a secret; the message names the field and the kind, never the value
      NotFound
      Refused                 understood, well-formed, and not allowed here
        Unauthorized
          InsufficientScope   the token is good, and not for this
      Unavailable             retry later; nothing was written
        JournalBusy
        JournalUnavailable
        StorageFull
        IndexUnavailable
        TradingUnavailable
        ReceiverUnavailable   who is told of traces does not take them now
        TooManyCalls          an agent is over its quota
        OutcomeUnknown        the effect may have happened; repeat with the same key
      DataDirectoryError      the data directory cannot be used
        LeaseHeld             another daemon owns it

Each class has a stable ``code`` and says whether the same call may be repeated (``retryable``).
One table per door (``web.errors``, ``tools.errors``, ``cli``) maps a class to its status.
"""

from typing import ClassVar


class MemoryServerError(Exception):
    """Base of everything this package raises on purpose.

    ``field`` names the offending input as the caller knows it, ``hint`` says what to do next.
    """

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.hint = hint


class InvalidInput(MemoryServerError):
    code = "invalid_input"


class IdempotencyConflict(InvalidInput):
    """The key was used before with other content; the message names both."""

    code = "idempotency_conflict"


class PayloadTooLarge(InvalidInput):
    code = "payload_too_large"


class SecretRefused(InvalidInput):
    """A text holds a private key, a seed phrase, a token or a password; the value is in no part of the error."""

    code = "secret_refused"


class NotFound(MemoryServerError):
    code = "not_found"


class Refused(MemoryServerError):
    code = "refused"


class Unauthorized(Refused):
    code = "unauthorized"


class InsufficientScope(Unauthorized):
    """``scope`` is what the token would need."""

    code = "insufficient_scope"

    def __init__(self, message: str, *, scope: str, hint: str | None = None) -> None:
        super().__init__(message, field="scope", hint=hint)
        self.scope = scope


class Unavailable(MemoryServerError):
    code = "unavailable"
    retryable = True


class JournalBusy(Unavailable):
    code = "journal_busy"


class JournalUnavailable(Unavailable):
    code = "journal_unavailable"


class StorageFull(Unavailable):
    code = "storage_full"


class IndexUnavailable(Unavailable):
    code = "index_unavailable"


class TradingUnavailable(Unavailable):
    code = "trading_unavailable"


class ReceiverUnavailable(Unavailable):
    """``retry_after_s``: how long it asks to be left alone, None when it does not say. ``is_closed``: it takes nothing
    from us now, whatever it is that we send."""

    code = "receiver_unavailable"

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, is_closed: bool = False, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s
        self.is_closed = is_closed


class TooManyCalls(Unavailable):
    """An agent called more often than it may; ``retry_after_s`` until it may again."""

    code = "too_many_calls"

    def __init__(self, message: str, *, retry_after_s: float, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class OutcomeUnknown(Unavailable):
    code = "outcome_unknown"


class DataDirectoryError(MemoryServerError):
    code = "data_directory"


class LeaseHeld(DataDirectoryError):
    code = "lease_held"

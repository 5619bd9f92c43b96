"""The error tree of the trading runtime. A denial or a rejection is a value and an event, not an exception.

TradingError
  InvalidInput          an argument or a setting is wrong; names the field
    KeyTaken            an idempotency key was used before, for something else: nothing was done
  DataError             market data is unusable; names file and row
  IllegalTransition     an order or a position was asked for an impossible step (programmer error)
  LedgerMismatch        the books do not add up: the desk halts
  LeaseLost             a wallet, or a node's name, is another process's by now: nothing was written
  WrongChain            the endpoints are of another cluster than the one that was pinned, or of several
  SendRefused           an endpoint's preflight refused a transaction; proves nothing about the chain
  RouteRefused          the router has no swap for this; ``reason`` is a word to count by
  ExchangeRefused       an exchange did not take an order, for certain; ``reason`` is a word to count by
  SigningRefused        the signer will not sign this
  NotArmed              real money is not armed, or what was armed does not cover this
  Unavailable           retry later
    FeedUnavailable
    MemoryUnavailable
    ChainUnavailable    no endpoint gave a usable answer; nothing is concluded from that
    RouterUnavailable
    ExchangeUnavailable an exchange gave no usable answer: what was sent may have been taken
    SignerUnavailable
      AwaitingOperator  an order waits for the operator's approval
    SidecarFault        no advice; ``reason`` is a word to count by
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


class KeyTaken(InvalidInput):
    code = "key_taken"


class DataError(TradingError):
    code = "data_error"


class IllegalTransition(TradingError):
    code = "illegal_transition"


class LedgerMismatch(TradingError):
    code = "ledger_mismatch"


class LeaseLost(TradingError):
    code = "lease_lost"


class WrongChain(TradingError):
    code = "wrong_chain"


class SendRefused(TradingError):
    """``error`` is the chain's error as canonical JSON; ``logs`` what the programs wrote."""

    code = "send_refused"

    def __init__(self, message: str, *, error: str = "", logs: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.error = error
        self.logs = logs


class RouteRefused(TradingError):
    code = "route_refused"

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class ExchangeRefused(TradingError):
    code = "exchange_refused"

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class SigningRefused(TradingError):
    """``reasons`` is everything that was wrong, not only the first."""

    code = "signing_refused"

    def __init__(self, message: str, *, reasons: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.reasons = reasons


class NotArmed(TradingError):
    code = "not_armed"


class Unavailable(TradingError):
    code = "unavailable"
    retryable = True


class FeedUnavailable(Unavailable):
    code = "feed_unavailable"


class MemoryUnavailable(Unavailable):
    code = "memory_unavailable"


class JournalUnavailable(Unavailable):
    code = "journal_unavailable"


class ChainUnavailable(Unavailable):
    code = "chain_unavailable"


class RouterUnavailable(Unavailable):
    """``retry_after_s``: how long the router asked to be left alone, 0 where it did not say."""

    code = "router_unavailable"

    def __init__(self, message: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ExchangeUnavailable(Unavailable):
    """``retry_after_s``: how long the exchange asked to be left alone, 0 where it did not say."""

    code = "exchange_unavailable"

    def __init__(self, message: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class SidecarFault(Unavailable):
    """``reason`` names what went wrong; ``away_s`` is how long the other side asked to be left alone, 0 where it did
    not say; ``tokens`` (in, out) is what the failed try was told to have taken, None where nothing was told."""

    code = "sidecar_unavailable"

    def __init__(
        self, message: str, *, reason: str, away_s: float = 0.0, tokens: tuple[int, int] | None = None
    ) -> None:
        super().__init__(message, hint="the desk decides without it")
        self.reason = reason
        self.away_s = away_s
        self.tokens = tokens


class SignerUnavailable(Unavailable):
    code = "signer_unavailable"


class AwaitingOperator(SignerUnavailable):
    """``approval_id`` is the signer's name of the question, which ends by itself at ``expires_ns``."""

    code = "awaiting_operator"

    def __init__(self, message: str, *, approval_id: str, expires_ns: int) -> None:
        super().__init__(message)
        self.approval_id = approval_id
        self.expires_ns = expires_ns

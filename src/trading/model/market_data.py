"""What a feed tells the kernel. Prices are SOL per whole token, exact decimals."""

from dataclasses import dataclass, field
from decimal import Decimal

from .advice import Exchange
from .instrument import Instrument
from .order import Side, VenueReport
from .token_facts import Facts


@dataclass(frozen=True, slots=True)
class Bar:
    """One closed bar: known at ``ts_close_ns``, never before.

    ``sol_usd`` is the SOL price in USD at the close, None where unknown. ``pool_lamports`` is the SOL-side reserve of
    the pool at the close, None where the data has none (then the instrument's declared depth is used).
    ``source`` refers to the recorded row ("<file sha256 prefix>:<row>") or names the generated or received message.
    """

    mint: str
    ts_open_ns: int
    ts_close_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    sol_usd: Decimal | None
    pool_lamports: int | None
    source: str


@dataclass(frozen=True, slots=True)
class TokenListed:
    """A token became tradable (always sent before its first bar)."""

    ts_ns: int
    instrument: Instrument
    source: str


@dataclass(frozen=True, slots=True)
class TokenGone:
    """A token can no longer be sold: its pool was drained or closed."""

    ts_ns: int
    mint: str
    reason: str
    source: str


@dataclass(frozen=True, slots=True)
class FeedGap:
    """Bars are missing between two times (nanoseconds); nothing is filled in."""

    ts_ns: int
    mint: str
    from_ns: int
    to_ns: int
    source: str


@dataclass(frozen=True, slots=True)
class History:
    """Bars of a token that closed before the desk followed it: strategies and the risk budget warm up on them, nobody
    trades on them.

    Oldest first, all closed by ``ts_ns``, of one length. They carry neither a SOL price nor a depth, and name the same
    ``source`` as the event.
    """

    ts_ns: int
    mint: str
    bars: tuple[Bar, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Swap:
    """Somebody's swap of a token against SOL, told with the bar that it lies in: known at ``ts_ns``, the bar's close.

    ``swapped_ns`` is when it happened, ``side`` what its trader did. Amounts are what changed hands, fees included.
    ``trader`` tells traders apart and is "" where the source names none.
    """

    ts_ns: int
    swapped_ns: int
    mint: str
    side: Side
    base_units: int
    lamports: int
    source: str
    trader: str = ""

    @property
    def flow_lamports(self) -> int:
        """What it brought into the pool, below 0 for what it took out."""
        return self.lamports if self.side is Side.BUY else -self.lamports


@dataclass(frozen=True, slots=True)
class FactsKnown:
    """What was found out about a listed token; the newest counts. Decisions rest on it, so it is written down whole."""

    ts_ns: int
    facts: Facts
    source: str


@dataclass(frozen=True, slots=True)
class CycleEnd:
    """Every event with this time has been sent: the kernel now decides. Carries the SOL price where known."""

    ts_ns: int
    sol_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class VenueReported:
    """What became of an order on a real venue. It comes between two cycles and is written down before it is booked.

    ``source`` names the transaction, or why there was none.
    """

    ts_ns: int
    report: VenueReport
    source: str


@dataclass(frozen=True, slots=True)
class Advised:
    """What the sidecar answered, or how it failed to. It comes between two cycles and is written down before anybody
    looks at it; nobody waits for it."""

    ts_ns: int
    exchange: Exchange


MarketEvent = Bar | Swap | TokenListed | FactsKnown | TokenGone | FeedGap | History | CycleEnd | VenueReported | Advised


@dataclass(frozen=True, slots=True)
class FeedDescription:
    """``kind``: market, replay or synthetic. ``detail`` is for people; ``inputs`` are (name, sha256) of what it reads.

    ``interval_s`` is the bar length; ``liquidity`` says where depth comes from ("declared" or "recorded"). ``origin``
    is what opens the feed again on this machine (``feeds.select.reopen``), empty where nothing does; no run is named
    by it.
    """

    kind: str
    detail: str
    interval_s: int
    inputs: tuple[tuple[str, str], ...] = ()
    liquidity: str = "declared"
    origin: str = field(default="", compare=False)


def ts_of(event: MarketEvent) -> int:
    """Return the time at which the event became known, in nanoseconds."""
    return event.ts_close_ns if isinstance(event, Bar) else event.ts_ns

"""What is still to be carried from the journal to a projection.

An entry holds id, version and sink, never content: the relay reads the present state at delivery, so that a late or
replayed entry can neither undo an update nor bring a forgotten text back.
"""

from dataclasses import dataclass
from typing import Literal

from .identifiers import MemoryId, Seq

SINK_QDRANT = "qdrant"
SINK_LANGFUSE = "langfuse"
SINK_OTLP = "otlp"

BACKOFF_NS_MAX = 3_600 * 1_000_000_000
"""No pause is longer. An entry that is due later than this was put off before the clock was set back: it is due now."""


@dataclass(frozen=True, slots=True)
class SinkSpec:
    """What a sink is given: every memory, or those of these kinds alone (their forgetting included).

    ``reads_threads``: what it keeps of a memory holds words of the one before it in its thread, so it is given the
    memory again when that one changes.
    ``is_own``: where several daemons share a journal each has such a sink of its own, as an index inside of it is.
    """

    name: str
    kinds: frozenset[str] | None = None
    reads_threads: bool = False
    is_own: bool = False

    def wants(self, kind: str) -> bool:
        return self.kinds is None or kind in self.kinds


QDRANT = SinkSpec(SINK_QDRANT, reads_threads=True, is_own=True)
"""The index inside of the daemon."""


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    id: int
    sink: str
    memory_id: MemoryId
    version: int
    seq: Seq
    attempts: int
    last_error: str = ""
    dead: bool = False


@dataclass(frozen=True, slots=True)
class SinkStats:
    """``oldest_ns``: commit time of the oldest pending entry, None when nothing is pending."""

    pending: int
    dead: int
    oldest_ns: int | None
    delivered: int = 0


RelayState = Literal["idle", "delivering", "backing_off"]


@dataclass(frozen=True, slots=True)
class RelayStats:
    """What a page shows of one sink's loop; how much waits is the journal's ``outbox_stats``.

    ``outages`` counts failed rounds in a row, ``retry_in_s`` is the pause the loop is in (0 when it is in none).
    """

    state: RelayState = "idle"
    delivered: int = 0
    failed: int = 0
    dead: int = 0
    outages: int = 0
    retry_in_s: float = 0.0
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Capped exponential back-off; after ``attempts_max`` failures an entry is dead and waits for an operator."""

    attempts_max: int = 8
    base_s: float = 0.5
    cap_s: float = 60.0

    def delay_s(self, attempts: int) -> float:
        """Seconds to wait after the given number of failed attempts (1 or more)."""
        return float(min(self.cap_s, self.base_s * 2 ** min(attempts - 1, 30)))

    def is_exhausted(self, attempts: int) -> bool:
        return attempts >= self.attempts_max

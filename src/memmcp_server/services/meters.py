"""What the daemon counts as it goes: calls of tools and routes, writes and searches, refusals, log records."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from memmcp_server.config import MetricsSection, Sections
from memmcp_server.domain.meters import CALL_BOUNDS_S, Family, Reading, Spread, Tally

TOOL_CALLS: Final = Family(
    "memmcp_tool_calls_total",
    "counter",
    "Calls of MCP tools, by outcome: ok, asked_back (the user is asked first), or the code of the error.",
    ("tool", "outcome"),
)
TOOL_SECONDS: Final = Family(
    "memmcp_tool_call_duration_seconds",
    "histogram",
    "How long calls of MCP tools took.",
    ("tool",),
    CALL_BOUNDS_S,
)
HTTP_REQUESTS: Final = Family(
    "memmcp_http_requests_total",
    "counter",
    "HTTP requests by the template of their route ('none' where none fits or the guard refused first) and the class of "
    "the answer's status.",
    ("method", "route", "status"),
)
HTTP_SECONDS: Final = Family(
    "memmcp_http_request_duration_seconds",
    "histogram",
    "How long HTTP requests took, until the answer's end; an event stream's until its beginning.",
    ("method", "route"),
    CALL_BOUNDS_S,
)
MEMORY_SECONDS: Final = Family(
    "memmcp_memory_operation_duration_seconds",
    "histogram",
    "How long memories took to be written durably (write, update) or found (search), over every door.",
    ("operation",),
    CALL_BOUNDS_S,
)
QUOTA_REFUSALS: Final = Family(
    "memmcp_quota_refusals_total",
    "counter",
    "Calls refused because an agent had used up its minute.",
    ("kind",),
)
LOG_RECORDS: Final = Family("memmcp_log_records_total", "counter", "Records of the daemon's log, by level.", ("level",))

LEVELS: Final = ("debug", "info", "warning", "error", "critical")


class Meters:
    """One per daemon, used from the event loop; only log records are counted from any thread.

    ``data_dir``: whose files a scrape measures, None for none.
    """

    def __init__(self, data_dir: Path | None = None, section: MetricsSection | None = None) -> None:
        self.data_dir = data_dir
        self.section = section or MetricsSection()
        self.tool_calls = Tally(TOOL_CALLS)
        self.tool_seconds = Spread(TOOL_SECONDS)
        self.http_requests = Tally(HTTP_REQUESTS)
        self.http_seconds = Spread(HTTP_SECONDS)
        self.memory_seconds = Spread(MEMORY_SECONDS)
        self.quota_refusals = Tally(QUOTA_REFUSALS)
        self.log_records = Tally(LOG_RECORDS)

    @classmethod
    def of(cls, sections: Sections) -> Self:
        return cls(sections.data_dir, sections.metrics)

    @contextmanager
    def timed(self, operation: str) -> Iterator[None]:
        """Time an operation on memories, also one that fails."""
        began_s = time.perf_counter()
        try:
            yield
        finally:
            self.memory_seconds.observe(time.perf_counter() - began_s, operation)

    def readings(self) -> Iterator[Reading]:
        for each in vars(self).values():
            if isinstance(each, Tally | Spread):
                yield from each.readings()

    @contextmanager
    def counting_logs(self) -> Iterator[None]:
        """Count what is logged while the block runs."""
        handler = _Counting(self.log_records)
        logging.getLogger().addHandler(handler)
        try:
            yield
        finally:
            logging.getLogger().removeHandler(handler)


class _Counting(logging.Handler):
    """Its lock, which every handler has, makes the tally safe between threads."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally
        for level in LEVELS:
            tally.add(level, by=0)

    def emit(self, record: logging.LogRecord) -> None:
        name = record.levelname.lower()
        self._tally.add(name if name in LEVELS else "other")

"""Carries what the desk recorded to the shared memory, from the desk's own disk, at memory's pace.

The relay reads committed rows behind a durable cursor, so memory being slow, full or gone costs the loop nothing and
loses nothing: the backlog is the journal itself. Keys are derived from rows, so a batch that was written but not
noted is written again without effect.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import anyio
import anyio.to_thread

from trading.adapters.canonical import parse_json
from trading.adapters.journal_archive import RunArchive
from trading.adapters.sql_journal import JournalStore, SqlJournal
from trading.config import RelaySection
from trading.engine.inputs import INPUT, LISTED, MARKET_KINDS
from trading.errors import JournalUnavailable, MemoryUnavailable
from trading.model.event_codec import KINDS
from trading.ports import JournalRow, Memory, MemoryRecord

from .naming import public_id
from .remember import NAMESPACE, Remembrance
from .snapshot_texts import snapshot_figures, snapshot_tags, snapshot_text

SINK = "memory"
WINDOW_KEY = "window/"
"""How the key of a snapshot begins that closes a window: it is remembered in words too."""
PENDING_COUNT_MAX = 100_000
CYCLE_KIND = "cycle_marked"
TRADE_KINDS = ("signal_raised", "situation_met", "order_approved", "order_filled")
"""What the end of a trade, and what came of a situation, is told from."""

TOLD_KINDS = (*(kind for kind in MARKET_KINDS if kind != INPUT), *KINDS)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RelayStats:
    """``pending`` rows and snapshots are on disk and not yet in memory; ``oldest_s`` counts since the first failure."""

    pending: int
    oldest_s: float
    delivered: int
    last_error: str


@dataclass(frozen=True, slots=True)
class _Batch:
    records: tuple[MemoryRecord, ...]
    seq: int
    snapshot_ids: tuple[int, ...]


class MemoryRelay:
    """One relay per run. ``wake`` tells it that there is something new; without it, it looks every ``poll_s``."""

    def __init__(
        self,
        store: JournalStore,
        journal: SqlJournal,
        run_id: str,
        memory: Memory,
        section: RelaySection,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._journal = journal
        self._run_id = run_id
        self._memory = memory
        self._section = section
        self._monotonic_s = monotonic_s
        self._remembrance: Remembrance | None = None
        self._batch: _Batch | None = None
        self._seq = 0
        self._pending = 0
        self._wake = anyio.Event()
        self._delivered = 0
        self._failing_since: float | None = None
        self._last_error = ""

    def wake(self) -> None:
        self._wake.set()

    def stats(self) -> RelayStats:
        since = self._failing_since
        return RelayStats(
            pending=0 if self._journal.horizon() <= self._seq else max(1, self._pending),
            oldest_s=0.0 if since is None else self._monotonic_s() - since,
            delivered=self._delivered,
            last_error=self._last_error,
        )

    async def run(self) -> None:
        """Carry until cancelled."""
        failures = 0
        while True:
            self._wake = anyio.Event()
            try:
                carried = await self.carry()
                failures = 0
            except (MemoryUnavailable, JournalUnavailable, TimeoutError) as error:
                failures += 1
                self._failed(error)
                await anyio.sleep(self._pause_s(failures))
                continue
            if not carried:
                with anyio.move_on_after(self._section.poll_s):
                    await self._wake.wait()

    async def carry(self) -> bool:
        """Carry one batch; return False when there was none.

        Raises: MemoryUnavailable, TimeoutError, JournalUnavailable; nothing is lost then.
        """
        batch = self._batch = self._batch or await anyio.to_thread.run_sync(self._next_batch)
        if batch is None:
            return False
        if batch.records:
            with anyio.fail_after(self._section.write_timeout_s):
                await self._memory.write(batch.records)
            # Noted also when the desk is closed just now: what was written need not be written again. Rows that say
            # nothing move the cursor in memory only: reading them again costs less than an fsync.
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._delivered_to, batch)
        self._batch = None
        self._seq = batch.seq
        self._delivered += len(batch.records)
        if self._failing_since is not None:
            logger.info("memory takes records again")
        self._failing_since = None
        self._last_error = ""
        return True

    def _next_batch(self) -> _Batch | None:
        if self._remembrance is None:
            self._remembrance = self._begun()
        self._pending = self._store.pending(self._journal.run, self._seq, limit=PENDING_COUNT_MAX)
        records: list[MemoryRecord] = []
        seq = self._seq
        snapshots = self._store.pending_snapshots(self._journal.run, self._section.batch_len_max)
        for row in self._rows(self._seq):
            found = self._remembrance.records_of(row)
            records += found
            seq = row.seq
            if len(records) >= self._section.batch_len_max:
                break
        records += [self._snapshot_record(at.ts_ns, at.key, at.body) for at in snapshots]
        if seq == self._seq and not snapshots:
            return None
        return _Batch(tuple(records), seq, tuple(at.number for at in snapshots))

    def _begun(self) -> Remembrance:
        """Return the state of mind at the cursor: the tokens known, and the signals of the cycle that was cut."""
        self._seq = self._store.cursor(self._journal.run, SINK)
        archive = RunArchive(self._store, self._journal.run)
        began_ns = self._store.began_ns(self._journal.run)
        remembrance = Remembrance(self._run_id, began_ns, lambda name: archive.mentioning((name,), TRADE_KINDS))
        for row in self._journal.rows(kinds=(LISTED,)):
            remembrance.records_of(row)
        last_cycle = self._journal.newest((CYCLE_KIND,), before=self._seq + 1)
        for row in self._rows(last_cycle[0].seq if last_cycle else 0):
            if row.seq > self._seq:
                break
            remembrance.records_of(row)
        return remembrance

    def _rows(self, after: int) -> Iterator[JournalRow]:
        return self._journal.rows(after=after, kinds=TOLD_KINDS)

    def _delivered_to(self, batch: _Batch) -> None:
        self._store.move_cursor(self._journal.run, SINK, batch.seq, batch.snapshot_ids)

    def _snapshot_record(self, ts_ns: int, key: str, body: bytes) -> MemoryRecord:
        if key.startswith(WINDOW_KEY):
            closing = parse_json(body)
            return MemoryRecord(
                action="note",
                key=public_id(self._run_id, key),
                ts_event_ns=ts_ns,
                namespace=NAMESPACE,
                kind="snapshot",
                text=snapshot_text(closing),
                tags=snapshot_tags(closing),
                metadata={**snapshot_figures(closing), "run_id": self._run_id},
                embed=True,
            )
        return MemoryRecord(
            action="snapshot",
            key=public_id(self._run_id, key),
            ts_event_ns=ts_ns,
            namespace=NAMESPACE,
            kind="snapshot",
            text="",
            metadata=parse_json(body),
        )

    def _failed(self, error: Exception) -> None:
        if self._failing_since is None:
            self._failing_since = self._monotonic_s()
            logger.warning("memory does not take records, they wait on disk: %s", error)
        self._last_error = str(error) or type(error).__name__

    def _pause_s(self, failures: int) -> float:
        return min(self._section.backoff_cap_s, self._section.backoff_base_s * 2.0 ** min(failures - 1, 30))

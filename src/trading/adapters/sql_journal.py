"""The desk's own database: runs, their rows, the relay's cursors, answers to repeated commands.

SQLAlchemy Core on SQLite (WAL, ``synchronous=FULL``): one writer, readers beside it. Nothing here is shared with the
memory journal, so memory being slow, full or gone never reaches the desk.
"""

import hashlib
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from trading.errors import JournalUnavailable
from trading.model.market_data import Bar
from trading.ports import JournalRow

from .canonical import RowHash, canonical_json, parse_json
from .journal_schema import (
    INPUT_KIND,
    NOT_INPUT,
    STEPS,
    answers,
    checkpoints,
    cursors,
    mentions,
    mints,
    plans,
    progress,
    results,
    rows,
    runs,
    snapshots,
    trades,
)
from .sqlite import open_engine, translating, writing
from .stored_bars import Packed, packed

CHUNK_ROWS = 2_000
CHECKPOINTS_KEPT = 2

# What was taken together stays, whatever is told of its beginning once more.
_KEEP_BARS = sa.text(
    "INSERT INTO kept_bars (run, mint, open_ns, width_ns, grain_s, parts, ohlcv) "
    "VALUES (:run, :mint, :open_ns, :width_ns, 0, 1, :ohlcv) ON CONFLICT (run, mint, open_ns) "
    "DO UPDATE SET width_ns = excluded.width_ns, ohlcv = excluded.ohlcv WHERE kept_bars.grain_s = 0"
)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """One run of the desk. ``identity`` tells whether a later start goes on with it; ``started_at_ns`` is wall time."""

    number: int
    run_id: str
    identity: str
    started_at_ns: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A state and the seq of the last row that is in it."""

    seq: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PendingSnapshot:
    """A telemetry document on its way to memory. ``key`` is unique within its run."""

    number: int
    ts_ns: int
    key: str
    body: bytes


class JournalStore:
    """Owner of one ``journal.db``. Made by ``JournalStore.at(path)``; every method may be called from any thread.

    Raises everywhere: JournalUnavailable naming the file.
    """

    def __init__(self, engine: sa.Engine, path: Path) -> None:
        self._engine = engine
        self._path = path
        self._write = threading.Lock()

    @classmethod
    def at(cls, path: Path) -> "JournalStore":
        """Open or make the database and bring its schema up to date."""
        engine = open_engine(path, STEPS)
        return cls(engine, path)

    @property
    def path(self) -> Path:
        return self._path

    def start_run(self, run_id: str, identity: str, started_at_ns: int) -> "SqlJournal":
        """Make a new, empty run."""
        with self.writing() as connection:
            found = connection.execute(
                sa.insert(runs).values(run_id=run_id, identity=identity, started_at_ns=started_at_ns)
            )
            number = found.inserted_primary_key
        assert number is not None
        return SqlJournal(self, int(number[0]))

    def open_run(self, number: int) -> "SqlJournal":
        return SqlJournal(self, number)

    def newest_run(self, identity: str) -> RunInfo | None:
        """Return the newest run with that identity."""
        query = sa.select(runs).where(runs.c.identity == identity).order_by(runs.c.number.desc()).limit(1)
        with self.reading() as connection:
            row = connection.execute(query).one_or_none()
        return RunInfo(*row) if row else None

    def keep_plan(self, run: int, plan: bytes) -> None:
        """Keep what the run is made of, as text of its owner's; what was kept first stands."""
        with self.writing() as connection:
            connection.execute(sa.insert(plans).prefix_with("OR IGNORE"), {"run": run, "body": plan})

    def plan(self, run: int) -> bytes | None:
        """Return what was kept of what the run is made of, None for a run that was never given any."""
        with self.reading() as connection:
            return connection.execute(sa.select(plans.c.body).where(plans.c.run == run)).scalar_one_or_none()

    def keep_result(self, run: int, result: bytes) -> None:
        """Keep what the finished run came to, as text of its owner's."""
        with self.writing() as connection:
            connection.execute(sa.insert(results).prefix_with("OR REPLACE"), {"run": run, "body": result})

    def result(self, run: int) -> bytes | None:
        """Return what a finished run came to, None where nobody said."""
        with self.reading() as connection:
            return connection.execute(sa.select(results.c.body).where(results.c.run == run)).scalar_one_or_none()

    def all_runs(self) -> list[RunInfo]:
        """Return every run, newest first."""
        with self.reading() as connection:
            found = connection.execute(sa.select(runs).order_by(runs.c.number.desc())).all()
        return [RunInfo(*row) for row in found]

    def began_ns(self, number: int) -> int:
        """Return the wall time at which the run was made, nanoseconds since 1970 UTC."""
        with self.reading() as connection:
            found = connection.execute(sa.select(runs.c.started_at_ns).where(runs.c.number == number))
            return int(found.scalar_one())

    def runs_named(self, run_id: str) -> int:
        """Return how many runs have this name, alone or with a number behind it."""
        named = runs.c.run_id.startswith(f"{run_id}#", autoescape=True) | (runs.c.run_id == run_id)
        with self.reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).where(named)).scalar_one())

    def cursor(self, run: int, sink: str) -> int:
        """Return the seq up to which the sink has everything."""
        query = sa.select(cursors.c.seq).where(cursors.c.run == run, cursors.c.sink == sink)
        with self.reading() as connection:
            return int(connection.execute(query).scalar_one_or_none() or 0)

    def move_cursor(self, run: int, sink: str, seq: int, delivered: Sequence[int] = ()) -> None:
        """Remember that the sink has everything up to ``seq`` (never moves back) and those snapshots."""
        with self.writing() as connection:
            known = connection.execute(
                sa.update(cursors)
                .where(cursors.c.run == run, cursors.c.sink == sink)
                .values(seq=sa.func.max(cursors.c.seq, seq))
            )
            if known.rowcount == 0:
                connection.execute(sa.insert(cursors).values(run=run, sink=sink, seq=seq))
            if delivered:
                connection.execute(sa.delete(snapshots).where(snapshots.c.number.in_(delivered)))

    def keep_checkpoint(self, run: int, seq: int, body: Mapping[str, Any]) -> None:
        """Keep a state beside its run; the newest ``CHECKPOINTS_KEPT`` stay."""
        text = canonical_json(body)
        row = {"run": run, "seq": seq, "sha256": hashlib.sha256(text).hexdigest(), "body": zlib.compress(text, 1)}
        kept = sa.select(checkpoints.c.seq).where(checkpoints.c.run == run).order_by(checkpoints.c.seq.desc())
        kept = kept.limit(CHECKPOINTS_KEPT)
        with self.writing() as connection:
            connection.execute(sa.insert(checkpoints).prefix_with("OR REPLACE"), row)
            connection.execute(
                sa.delete(checkpoints).where(checkpoints.c.run == run, checkpoints.c.seq.not_in(kept.scalar_subquery()))
            )

    def checkpoints(self, run: int, upto: int) -> Iterator[Checkpoint]:
        """Yield the sound states at or before a seq, newest first; damaged ones are passed over."""
        query = sa.select(checkpoints).where(checkpoints.c.run == run, checkpoints.c.seq <= upto)
        with self.reading() as connection:
            found = connection.execute(query.order_by(checkpoints.c.seq.desc())).all()
        for row in found:
            try:
                text = zlib.decompress(row.body)
            except zlib.error:
                text = b""
            if hashlib.sha256(text).hexdigest() == row.sha256:
                yield Checkpoint(row.seq, parse_json(text))

    def pending_snapshots(self, run: int, limit: int) -> list[PendingSnapshot]:
        """Return snapshots that wait for delivery, oldest first."""
        query = sa.select(snapshots.c.number, snapshots.c.ts_ns, snapshots.c.key, snapshots.c.body)
        query = query.where(snapshots.c.run == run).order_by(snapshots.c.number).limit(limit)
        with self.reading() as connection:
            found = connection.execute(query).all()
        return [PendingSnapshot(at.number, at.ts_ns, at.key, at.body) for at in found]

    def pending(self, run: int, after: int, *, limit: int) -> int:
        """Return how many snapshots and rows beyond ``after`` (inputs apart) wait, counting to ``limit`` at most."""
        waiting = sa.select(sa.literal(1)).where(rows.c.run == run, rows.c.seq > after, sa.text(NOT_INPUT))
        snaps = sa.select(sa.func.count()).select_from(snapshots).where(snapshots.c.run == run)
        with self.reading() as connection:
            count = connection.execute(sa.select(sa.func.count()).select_from(waiting.limit(limit).subquery()))
            return int(count.scalar_one()) + int(connection.execute(snaps).scalar_one())

    def answer(self, scope: str, key: str) -> dict[str, Any] | None:
        """Return what was answered to that key before."""
        query = sa.select(answers.c.body).where(answers.c.scope == scope, answers.c.key == key)
        with self.reading() as connection:
            body = connection.execute(query).scalar_one_or_none()
        return parse_json(body) if body is not None else None

    @contextmanager
    def writing(self, *, syncs_later: bool = False) -> Iterator[sa.Connection]:
        """One transaction of the only writer. ``syncs_later`` (see ``sqlite.writing``): for what can be made again."""
        with self._write, translating(self._path), writing(self._engine, syncs_later=syncs_later) as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        with translating(self._path), self._engine.connect() as connection, connection.begin():
            yield connection

    def close(self) -> None:
        self._engine.dispose()


class SqlJournal:
    """One run's rows in a JournalStore. ``append`` belongs to one thread at a time; reads may come from any."""

    def __init__(self, store: JournalStore, run: int) -> None:
        self._store = store
        self._run = run
        self._buffer: list[dict[str, Any]] = []
        self._answers: list[dict[str, Any]] = []
        self._snapshots: list[dict[str, Any]] = []
        self._mentions: list[dict[str, Any]] = []
        self._trades: list[dict[str, Any]] = []
        self._bars: list[Bar] = []
        self._mints: dict[str, int] = {}
        self._cycles: int | None = None
        self._cycles_kept: int | None = None
        self._committed = self._newest_seq()
        self._next = self._committed + 1
        self._is_open = True

    @property
    def run(self) -> int:
        return self._run

    @property
    def store(self) -> JournalStore:
        return self._store

    def append_canonical(self, ts_ns: int, kind: str, body: bytes) -> int:
        self._ensure_open()
        seq = self._next
        self._buffer.append({"run": self._run, "seq": seq, "ts_ns": ts_ns, "kind": kind, "body": body})
        self._next = seq + 1
        return seq

    def append(self, ts_ns: int, kind: str, body: Mapping[str, Any], *, is_plain: bool = False) -> int:
        seq = self.append_canonical(ts_ns, kind, canonical_json(body, is_plain=is_plain))
        if kind != INPUT_KIND:
            self._mentions += [{"run": self._run, "name": name, "seq": seq} for name in _names_in(body)]
        return seq

    def remember_trade(self, number: int, strategy: str, body: Mapping[str, Any]) -> None:
        """Keep a fill as it is shown, durable with the next commit; it is folded from rows and is none itself."""
        self._ensure_open()
        row = {"run": self._run, "number": number, "strategy": strategy, "body": canonical_json(body)}
        self._trades.append(row | _shown(body))

    def remember_bar(self, bar: Bar) -> None:
        """Keep a closed bar to be looked at later, durable with the next commit; it is no row of the run."""
        self._ensure_open()
        self._bars.append(bar)

    def trades_known(self) -> int:
        """Return the number of the newest committed trade."""
        query = sa.select(sa.func.max(trades.c.number)).where(trades.c.run == self._run)
        with self._store.reading() as connection:
            return int(connection.execute(query).scalar_one() or 0)

    def remember_answer(self, scope: str, key: str, body: Mapping[str, Any]) -> None:
        """Keep the answer to a command with the next commit; the first answer to a key stands."""
        self._ensure_open()
        self._answers.append({"scope": scope, "key": key, "body": canonical_json(body)})

    def remember_snapshot(self, ts_ns: int, key: str, body: bytes) -> None:
        """Queue a telemetry document for memory, durable with the next commit; it is no row of the run."""
        self._ensure_open()
        self._snapshots.append({"run": self._run, "ts_ns": ts_ns, "key": key, "body": body})

    def remember_progress(self, cycles: int) -> None:
        """Keep how many cycles were taken, durable with the next commit: quiet ones leave no row."""
        self._ensure_open()
        self._cycles = None if cycles == self._cycles_kept else cycles

    def progress(self) -> int:
        """Return how many cycles were taken when the run was committed last, 0 where nobody said."""
        query = sa.select(progress.c.cycles).where(progress.c.run == self._run)
        with self._store.reading() as connection:
            return int(connection.execute(query).scalar_one_or_none() or 0)

    def commit(self) -> None:
        self._ensure_open()
        extras = self._answers or self._snapshots or self._trades or self._bars
        if not (self._buffer or extras or self._cycles is not None):
            return
        ohlcvs = [packed(bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in self._bars]
        with self._store.writing() as connection:
            if self._buffer:
                connection.execute(sa.insert(rows), self._buffer)
            if self._mentions:
                connection.execute(sa.insert(mentions), self._mentions)
            if self._trades:
                connection.execute(sa.insert(trades), self._trades)
            numbers = self._keep_bars(connection, ohlcvs)
            if self._answers:
                connection.execute(sa.insert(answers).prefix_with("OR IGNORE"), self._answers)
            if self._snapshots:
                connection.execute(sa.insert(snapshots), self._snapshots)
            if self._cycles is not None:
                row = {"run": self._run, "cycles": self._cycles}
                connection.execute(sa.insert(progress).prefix_with("OR REPLACE"), row)
        self._committed = self._next - 1
        self._mints = numbers
        self._cycles_kept = self._cycles_kept if self._cycles is None else self._cycles
        self._forget()

    def rows(
        self,
        *,
        after: int = 0,
        kinds: Sequence[str] = (),
        since_ns: int | None = None,
        until_ns: int | None = None,
    ) -> Iterator[JournalRow]:
        # Keyset chunks instead of one open cursor: a slow reader must not hold a snapshot and grow the WAL.
        while True:
            query = self._select(kinds).where(rows.c.seq > after).order_by(rows.c.seq).limit(CHUNK_ROWS)
            if since_ns is not None:
                query = query.where(rows.c.ts_ns >= since_ns)
            if until_ns is not None:
                query = query.where(rows.c.ts_ns <= until_ns)
            with self._store.reading() as connection:
                chunk = connection.execute(query).all()
            for row in chunk:
                yield JournalRow(row.seq, row.ts_ns, row.kind, row.body)
            if len(chunk) < CHUNK_ROWS:
                return
            after = chunk[-1].seq

    def newest(self, kinds: Sequence[str] = (), *, before: int | None = None, limit: int = 1) -> list[JournalRow]:
        query = self._select(kinds).order_by(rows.c.seq.desc()).limit(limit)
        if before is not None:
            query = query.where(rows.c.seq < before)
        with self._store.reading() as connection:
            found = connection.execute(query).all()
        return [JournalRow(row.seq, row.ts_ns, row.kind, row.body) for row in found]

    def horizon(self) -> int:
        return self._committed

    def sha256(self) -> str:
        digest = RowHash()
        for row in self.rows():
            digest.add(row.seq, row.ts_ns, row.kind, row.body)
        return digest.hexdigest()

    def close(self) -> None:
        """Forget what was not committed. The store stays open: it is its owner's."""
        self._is_open = False
        self._forget()

    def _keep_bars(self, connection: sa.Connection, ohlcvs: Sequence[Packed]) -> dict[str, int]:
        """Write the bars down; return the numbers of their tokens, which hold once this is committed."""
        numbers = self._numbered(connection, {bar.mint for bar in self._bars})
        given = [
            {
                "run": self._run,
                "mint": numbers[bar.mint],
                "open_ns": bar.ts_open_ns,
                "width_ns": bar.ts_close_ns - bar.ts_open_ns,
                "ohlcv": ohlcv,
            }
            for bar, ohlcv in zip(self._bars, ohlcvs, strict=True)
        ]
        if given:  # a feed that is opened anew may tell what it told before
            connection.execute(_KEEP_BARS, given)
        return numbers

    def _numbered(self, connection: sa.Connection, names: set[str]) -> dict[str, int]:
        """Return the numbers of tokens that are known so far, those of these names among them."""
        if not (new := names - self._mints.keys()):
            return self._mints
        connection.execute(sa.insert(mints).prefix_with("OR IGNORE"), [{"mint": name} for name in sorted(new)])
        found = connection.execute(sa.select(mints.c.mint, mints.c.number).where(mints.c.mint.in_(new)))
        return self._mints | {str(mint): int(number) for mint, number in found}

    def _forget(self) -> None:
        self._buffer = []
        self._answers = []
        self._snapshots = []
        self._mentions = []
        self._trades = []
        self._bars = []
        self._cycles = None

    def _select(self, kinds: Sequence[str]) -> sa.Select[tuple[int, int, str, bytes]]:
        query = sa.select(rows.c.seq, rows.c.ts_ns, rows.c.kind, rows.c.body).where(rows.c.run == self._run)
        if kinds:
            query = query.where(rows.c.kind.in_(kinds))
            if INPUT_KIND not in kinds:  # said in so many words, or SQLite does not use the partial index
                query = query.where(sa.text(NOT_INPUT))
        return query

    def _newest_seq(self) -> int:
        query = sa.select(sa.func.max(rows.c.seq)).where(rows.c.run == self._run)
        with self._store.reading() as connection:
            return int(connection.execute(query).scalar_one() or 0)

    def _ensure_open(self) -> None:
        if not self._is_open:
            msg = f"the journal {self._store.path} is closed"
            raise JournalUnavailable(msg)


def _shown(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a fill that people filter by and add up, None where the body does not tell."""
    filled = body.get("filled", {})
    fill = filled.get("fill", {})
    fees = [fill.get(f"{name}_lamports", 0) for name in ("pool_fee", "network_fee", "priority_fee")]
    return {
        **{name: fill.get(name) for name in ("ts_ns", "mint", "side")},
        "bucket": filled.get("bucket"),
        "realised_lamports": body.get("realised_lamports"),
        "fee_lamports": sum(fees) if fill else None,
    }


def _names_in(body: Mapping[str, Any]) -> set[str]:
    """Return the ids of the orders and trajectories that a row speaks of."""
    order, fill, rejected = body.get("order"), body.get("fill"), body.get("rejected")
    found = {body.get("trajectory_id")}
    situation = body.get("situation")
    if isinstance(situation, Mapping):
        found.add(situation.get("trajectory_id"))
    if isinstance(order, Mapping):
        found |= {order.get("id"), order.get("trajectory_id")}
    for report in (fill, rejected):
        if isinstance(report, Mapping):
            found.add(report.get("order_id"))
    return {name for name in found if isinstance(name, str)}

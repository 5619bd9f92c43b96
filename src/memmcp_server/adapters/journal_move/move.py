"""A move from end to end: looked through, copied, indexed, compared; the head last, so that nothing half done opens.

Whatever ends it, a repeat goes on where the last committed batch was.
"""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final, Literal

import orjson

from memmcp_server.adapters.sql_journal.schema import REVISIONS, audit, head
from memmcp_server.domain.lifecycle import AUDIT_MIGRATE
from memmcp_server.errors import InvalidInput

from .layout import HEAD, LAYOUTS, UNSETTLED_LAYOUTS, Layout, Row
from .proof import DIFFERENCES_MAX, Difference, TableProof, differences, prove, whole_digest
from .source import Source
from .target import EMPTY_HINT, Mark, Reached, Target

BATCH_ROWS: Final = 20_000
MISFITS_MAX: Final = 20
AGENT: Final = "memmcp"

Stage = Literal["checking", "copying", "indexing", "comparing"]


@dataclass(frozen=True, slots=True)
class Progress:
    """``rows`` of ``rows_total`` are done in this stage."""

    stage: Stage
    table: str
    rows: int
    rows_total: int


@dataclass(frozen=True, slots=True)
class Moved:
    """What came of it. ``differences``: rows that are not equal; the target is then not finished, and not opened.

    ``seq``: of the source's last change. ``is_resumed``: an earlier run had begun it. ``was_done``: an earlier run had
    finished it, nothing was done now.
    """

    tables: tuple[TableProof, ...]
    sha256: str
    seq: int
    differences: tuple[Difference, ...] = ()
    is_resumed: bool = False
    was_done: bool = False

    @property
    def is_equal(self) -> bool:
        return not self.differences

    @property
    def rows(self) -> int:
        return sum(each.rows for each in self.tables)


@dataclass(frozen=True, slots=True)
class Found:
    """What a look at both sides says: the source's rows by table, and what is in the target already."""

    rows: dict[str, int]
    mark: Mark | None

    @property
    def rows_total(self) -> int:
        return sum(self.rows.values())


class Move:
    """Moves one source into one target. ``told`` hears of progress, also within a batch."""

    def __init__(
        self,
        source: Source,
        target: Target,
        told: Callable[[Progress], object] = lambda _: None,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        self._source = source
        self._target = target
        self._told = told
        self._now_ns = now_ns
        self._batch_rows = batch_rows

    def look(self) -> Found:
        """Say whether the move is possible, changing nothing.

        Raises: InvalidInput (a target that holds something else, values that PostgreSQL cannot hold, named).
        """
        mark = self._target.mark()
        if mark is not None:
            self._check(mark)
            if mark.finished_at_ns is not None:
                return Found({}, mark)
        counts = {layout.name: self._source.count(layout) for layout in LAYOUTS}
        done, total = 0, sum(counts.values())
        misfits: list[str] = []
        for layout in LAYOUTS:
            self._told(Progress("checking", layout.name, done, total))
            misfits += map(str, self._source.misfits(layout))
            done += counts[layout.name]
        if misfits:
            msg = f"PostgreSQL cannot hold these values: {'; '.join(misfits[:MISFITS_MAX])}"
            hint = "start the daemon on the old journal and forget or rewrite them, then repeat; nothing was changed"
            raise InvalidInput(msg, hint=hint)
        return Found(counts, mark)

    def run(self) -> Moved:
        """Move what is not moved yet, and compare everything.

        Raises: what ``look`` raises, and what the databases do.
        """
        found = self.look()
        if found.mark is not None and found.mark.proof is not None:
            return _read_proof(found.mark.proof)
        self._begin(found.mark)
        self._copy_all(found)
        self._build_indexes()
        proofs, unequal = self._compare_all(found)
        moved = Moved(proofs, whole_digest(proofs), int(self._of_head("seq")), unequal)
        if moved.is_equal:
            self._finish(moved)
        return replace(moved, is_resumed=found.mark is not None)

    def _check(self, mark: Mark) -> None:
        source, target = self._source, self._target
        if mark.instance_id != source.instance_id:
            state = "holds" if mark.finished_at_ns is not None else "holds a part of"
            msg = f"{target.shown} {state} another journal, {mark.instance_id} of {mark.source}"
            raise InvalidInput(msg, field="journal.url", hint=EMPTY_HINT)
        if mark.finished_at_ns is not None and (then := _seq_in(mark.source_head)) != self._of_head("seq"):
            msg = (
                f"{target.shown} has had this journal since an earlier run, and {source.path} was written to since: it "
                f"is at seq {self._of_head('seq')} now, and was at {then}"
            )
            hint = "to take the newer one over name an empty database (createdb); nothing was changed in this one"
            raise InvalidInput(msg, field="journal.url", hint=hint)
        if mark.finished_at_ns is None and mark.revision != REVISIONS[-1]:
            msg = f"{target.shown} was begun by another version of memMCP (schema {mark.revision})"
            raise InvalidInput(msg, field="journal.url", hint="finish it with that version, or name an empty database")

    def _begin(self, mark: Mark | None) -> None:
        """Make the tables, or find out what of an earlier run still holds."""
        path, head_text = str(self._source.path), HEAD.lines([self._source.head]).decode()
        if mark is None:
            begun = Mark(self._source.instance_id, path, head_text, REVISIONS[-1], None, None)
            self._target.prepare(begun, self._now_ns())
        elif mark.source_head != head_text:
            self._target.begin_anew(path, head_text)
        else:
            for layout in UNSETTLED_LAYOUTS:
                self._target.clear(layout)

    def _copy_all(self, found: Found) -> None:
        done = 0
        for layout in LAYOUTS:
            reached = self._target.reached(layout)
            if not reached.is_whole:
                self._copy(layout, reached, done, found.rows_total)
            done += found.rows[layout.name]

    def _copy(self, layout: Layout, reached: Reached, done: int, total: int) -> None:
        after = None if reached.last_key is None else layout.read_key(reached.last_key)
        with closing(self._source.chunks(layout, after)) as chunks:
            rows = next(chunks, None)
            while not reached.is_whole:
                with self._target.batch(layout, reached) as batch:
                    while rows is not None and batch.rows < self._batch_rows:
                        batch.put(layout, rows)
                        self._told(Progress("copying", layout.name, done + batch.reached.rows, total))
                        rows = next(chunks, None)
                    if rows is None:
                        batch.end()
                reached = batch.reached

    def _build_indexes(self) -> None:
        missing = self._target.missing_indexes()
        for number, index in enumerate(missing):
            self._told(Progress("indexing", str(index.name), number, len(missing)))
            self._target.build(index)
        self._told(Progress("indexing", "", len(missing), len(missing)))
        self._target.analyze()

    def _compare_all(self, found: Found) -> tuple[tuple[TableProof, ...], tuple[Difference, ...]]:
        """Return the source's proofs and what differs: each side is read by itself, after all was written."""
        done, total = 0, 2 * found.rows_total
        proofs, unequal = [], []

        for layout in LAYOUTS:

            def tell(rows: int, name: str = layout.name) -> None:
                nonlocal done
                done += rows
                self._told(Progress("comparing", name, done, total))

            with closing(self._source.chunks(layout)) as chunks:
                ours = prove(layout, chunks, tell)
            with closing(self._target.chunks(layout)) as chunks:
                theirs = prove(layout, chunks, tell)
            proofs.append(ours)
            if ours != theirs:
                unequal += self._named(layout, ours, theirs)
        return (*proofs, prove(HEAD, [[self._source.head]], lambda _: None)), tuple(unequal)

    def _named(self, layout: Layout, ours: TableProof, theirs: TableProof) -> list[Difference]:
        with closing(self._source.chunks(layout)) as here, closing(self._target.chunks(layout)) as there:
            named = list(islice(differences(layout, here, there), DIFFERENCES_MAX))
        # Whatever the second look says, two digests that differ are not equal.
        return named or [Difference(layout.name, "", f"has the digest {theirs.sha256}, not {ours.sha256}")]

    def _finish(self, moved: Moved) -> None:
        """Write the head with an audit entry of what was done, after which daemons open the target."""
        now_ns = max(self._now_ns(), int(self._of_head("known_at_ns")))
        seq = moved.seq + 1
        detail = {"path": str(self._source.path), "rows": moved.rows, "sha256": moved.sha256}
        noted: dict[str, Any] = {
            "seq": seq,
            "at_ns": now_ns,
            "action": AUDIT_MIGRATE,
            "kind": "",
            "agent": AGENT,
            "reason": "",
            "detail": orjson.dumps(detail, option=orjson.OPT_SORT_KEYS).decode(),
        }
        entry = ((audit, noted), (head, {"seq": seq, "known_at_ns": now_ns}))
        self._target.finish(self._source.head, entry, _write_proof(moved), self._now_ns())

    def _of_head(self, column: str) -> Any:
        return self._source.head[HEAD.columns.index(column)]


def _seq_in(head_text: str) -> int:
    return int(orjson.loads(head_text)[HEAD.columns.index("seq")])


def _write_proof(moved: Moved) -> str:
    tables = [{"name": each.name, "rows": each.rows, "sha256": each.sha256} for each in moved.tables]
    return orjson.dumps({"seq": moved.seq, "sha256": moved.sha256, "tables": tables}).decode()


def _read_proof(text: str) -> Moved:
    kept = orjson.loads(text)
    tables = tuple(TableProof(each["name"], each["rows"], each["sha256"]) for each in kept["tables"])
    return Moved(tables, kept["sha256"], kept["seq"], was_done=True)


__all__ = ["Found", "Move", "Moved", "Progress", "Row"]

"""What is marked on the equity curve: fills, deposits and withdrawals, evenly thinned where there are many."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from trading.adapters.canonical import parse_json
from trading.errors import InvalidInput
from trading.model import events
from trading.model.event_codec import decode
from trading.ports import JournalRow

from .documents import Document, iso
from .history import RunView, symbol_of
from .naming import public_id

KINDS: Final = ("buy", "sell", "deposit", "withdrawal")
ROWS: Final = ("order_filled", "capital_deposited", "capital_withdrawn")
ROWS_MAX: Final = 20_000
"""So many of the newest events are looked at; beyond them ``is_cut`` says that there are earlier ones."""
CHUNK: Final = 500
KEPT_MAX: Final = 100
"""Of each kind: beyond it every other one is left out, then three of four, and so on."""


@dataclass(slots=True)
class _Kept:
    step: int = 1
    seen: int = 0
    found: list[Document] = field(default_factory=list)

    def add(self, mark: Document) -> None:
        if self.seen % self.step == 0:
            self.found.append(mark)
            if len(self.found) > KEPT_MAX:
                del self.found[1::2]
                self.step *= 2
        self.seen += 1


def curve_marks(run: RunView, since_ns: int | None, until_ns: int | None) -> Document:
    """Return wire.CurveMarks without its context, oldest first. Nothing lies before ``since_ns`` or at ``until_ns``.

    What was there before the first mark of equity is the start, and no deposit. Raises: InvalidInput.
    """
    if since_ns is not None and until_ns is not None and since_ns >= until_ns:
        msg = f"since: {iso(since_ns)} is not before until, {iso(until_ns)}"
        raise InvalidInput(msg, field="since")
    kept = {kind: _Kept() for kind in KINDS}
    looked = 0
    flow: Document | None = None
    for row in newest_rows(run, ROWS, since_ns, until_ns):
        if looked == ROWS_MAX:
            break
        looked += 1
        mark = _mark(run, row)
        if flow is not None and (flow["kind"], flow["ts"]) == (mark["kind"], mark["ts"]):
            flow["lamports"] += mark["lamports"]  # one deposit is split over the buckets
            continue
        kept[mark["kind"]].add(mark)
        flow = None if mark["mint"] else mark
    found = [mark for each in kept.values() for mark in each.found]
    return {
        "marks": sorted(found, key=lambda mark: str(mark["ts"])),
        "totals": {kind: each.seen for kind, each in kept.items()},
        "is_cut": looked == ROWS_MAX,
    }


def newest_rows(
    run: RunView, kinds: tuple[str, ...], since_ns: int | None = None, until_ns: int | None = None
) -> Iterator[JournalRow]:
    """Yield the rows of these kinds within the times, newest first; none from before the first mark."""
    first = run.archive.seq_from(0)
    if first is None:
        return
    after = max(first, run.archive.seq_before(since_ns) if since_ns is not None else 0)
    before = None if until_ns is None else run.archive.seq_from(until_ns)
    while True:
        rows = run.journal.newest(kinds, before=before, limit=CHUNK)
        for row in rows:
            if row.seq <= after:
                return
            if (since_ns is None or row.ts_ns >= since_ns) and (until_ns is None or row.ts_ns < until_ns):
                yield row
        if len(rows) < CHUNK:
            return
        before = rows[-1].seq


def _mark(run: RunView, row: JournalRow) -> Document:
    """Return wire.CurveMark."""
    event = decode(row.kind, parse_json(row.body))
    if isinstance(event, events.OrderFilled):
        fill = event.fill
        return {
            "ts": iso(row.ts_ns),
            "kind": fill.side.value,
            "lamports": fill.lamports,
            "mint": fill.mint,
            "symbol": symbol_of(run, fill.mint),
            "trajectory_id": public_id(run.run_id, event.trajectory_id),
        }
    assert isinstance(event, events.CapitalDeposited | events.CapitalWithdrawn)
    kind = "deposit" if isinstance(event, events.CapitalDeposited) else "withdrawal"
    text = {"mint": "", "symbol": "", "trajectory_id": None}
    return {"ts": iso(row.ts_ns), "kind": kind, "lamports": event.lamports, **text}

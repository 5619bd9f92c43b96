"""What happened since a person looked last: results, denials, and whatever changed the desk, as one document."""

from collections import Counter
from decimal import Decimal
from itertools import islice
from typing import Final

from trading.adapters.canonical import parse_json
from trading.adapters.journal_archive import Range
from trading.model import events
from trading.model.event_codec import decode
from trading.ports import JournalRow

from .documents import Document, amount, iso
from .history import RunView, trade
from .remember import Remembrance

TRADES_MAX: Final = 20
HAPPENINGS_MAX: Final = 200
ROWS_MAX: Final = 50_000
"""So many denials and results are counted; a night has far fewer."""
HAPPENINGS: Final = (
    "trading_state_changed",
    "level_state_changed",
    "gap_seen",
    "profile_switched",
    "strategy_promoted",
    "strategy_demoted",
    "tier_changed",
    "capital_deposited",
    "capital_withdrawn",
    "position_written_off",
    "stop_entries",
    "reduce_only",
    "flatten_and_halt",
    "resume",
)
DENIALS: Final = ("signal_passed", "order_denied")
CLOSINGS: Final = ("position_closed",)


def night(run: RunView, since_ns: int, sol_usd: Decimal | None) -> Document:
    """Return wire.NightReport without its context and without what waits for an answer.

    ``is_cut``: there is more than is told. A trade counts where it was closed since then.
    """
    after = run.archive.seq_before(since_ns)
    found = run.journal.newest(HAPPENINGS, limit=HAPPENINGS_MAX + 1)
    happenings = [row for row in found if row.seq > after and row.ts_ns >= since_ns]
    closings = list(islice(run.journal.rows(after=after, kinds=CLOSINGS, since_ns=since_ns), ROWS_MAX + 1))
    denied = list(islice(run.journal.rows(after=after, kinds=DENIALS, since_ns=since_ns), ROWS_MAX + 1))
    closed = [decode(row.kind, parse_json(row.body)) for row in closings]
    results = [each.realised_lamports for each in closed if isinstance(each, events.PositionClosed)]
    marks = run.archive.marks(Range(since_ns, None), bucket_ns=1, limit=1)
    fills = [each for each in run.archive.trades(before=None, limit=TRADES_MAX) if _ts(each.body) >= since_ns]
    return {
        "since": iso(since_ns),
        "until": iso(run.now_ns),
        "equity_before": _equity(run, Range(None, since_ns - 1), sol_usd),
        "equity": _equity(run, Range(), sol_usd) if marks else None,
        "closed": len(results),
        "wins": sum(result > 0 for result in results),
        "realised": amount(sum(results), sol_usd),
        "trades": [trade(run, each.body) for each in fills],
        "denials": dict(Counter(_reason(row) for row in denied).most_common()),
        "happenings": [_told(run, row) for row in happenings[:HAPPENINGS_MAX]],
        "is_cut": len(happenings) > HAPPENINGS_MAX or max(len(closings), len(denied)) > ROWS_MAX,
    }


def _equity(run: RunView, within: Range, sol_usd: Decimal | None) -> Document | None:
    marks = run.archive.marks(within, bucket_ns=1, limit=1)
    return amount(marks[-1][1]["equity_lamports"], sol_usd) if marks else None


def _ts(body: Document) -> int:
    return int(body["filled"]["fill"]["ts_ns"])


def _reason(row: JournalRow) -> str:
    event = decode(row.kind, parse_json(row.body))
    assert isinstance(event, events.SignalPassed | events.OrderDenied)
    return event.denied.reason


def _told(run: RunView, row: JournalRow) -> Document:
    """Return wire.Happening: in the words in which memory is told of it, where it is."""
    event = decode(row.kind, parse_json(row.body))
    if isinstance(event, events.PositionWrittenOff):
        known = run.instruments.get(event.mint)
        name = event.mint if known is None else known.symbol
        text = f"{name} of {event.bucket} was written off: {event.reason}"
    else:
        told = Remembrance(run.run_id, 0, lambda _names: ()).records_of(row)
        text = told[0].text if told else row.kind
    return {"ts": iso(row.ts_ns), "kind": row.kind, "text": text}

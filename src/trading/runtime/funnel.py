"""Why nothing happened: how far each opinion came, what stopped it, and how near the nearest came to being bought."""

from collections import Counter
from collections.abc import Sequence

from trading.adapters.canonical import parse_json
from trading.adapters.journal_archive import Range, Tallied, Tally, within_time
from trading.engine.kernel import Kernel
from trading.model import events
from trading.model.event_codec import decode
from trading.model.order import Denied, Measure, Purpose, Side
from trading.model.units import BPS_ONE, NS_PER_S
from trading.ports import JournalRow
from trading.risk import rug_checks

from .documents import Document, iso
from .history import RunView, mint_of, symbol_of

FUNNEL_KINDS = (
    "forecast_made",
    "signal_raised",
    "signal_passed",
    "order_approved",
    "order_denied",
    "order_filled",
    "order_rejected",
)
DENIALS = ("signal_passed", "order_denied")
FUNNEL_SPAN_NS = 86_400 * NS_PER_S
ROWS_MAX = 20_000
"""Of each kind so many of the newest rows are counted at most; ``is_cut`` says that there were more, and ``since`` from
when on they count."""
MISSES_MAX = 500
"""Among so many of the newest denials of each kind the nearest miss is looked for."""


def passed_over(kernel: Kernel) -> dict[str, str]:
    """Return the tokens that nothing would be bought of now, whatever a strategy said, with the reason."""
    state, venue, facts = kernel.state, kernel.venue, kernel.valuer.facts
    age_max_ns = state.profile.limits.data_age_s_max * NS_PER_S
    found: dict[str, str] = {}
    for mint in kernel.valuer.instruments:
        bar = venue.mark(mint)
        lock = next(state.protections.locks(state.now_ns, mint), None)
        if mint in state.profile.rugs.banned:
            found[mint] = "banned"
        elif bar is None or not venue.is_tradable(mint):
            found[mint] = "untradable"
        elif state.now_ns - bar.ts_close_ns > age_max_ns:
            found[mint] = "data_age_s"
        elif venue.pool_lamports(mint) < state.tier.pool_lamports_min:
            found[mint] = "pool_lamports"
        elif lock is not None:
            found[mint] = lock.kind.value
        elif (refused := rug_checks.refusal(facts.get(mint), state.profile.rugs, are_needed=False)) is not None:
            found[mint] = refused.reason
    return found


def funnel(run: RunView, *, mint: str | None, since_ns: int | None, until_ns: int | None = None) -> Document:
    """Return why nothing happened, as wire.WhyAnswer without its context. Both ends of the time are included.

    What is seen, eligible and passed over, and the newest price, are of now, whatever the time that is asked about.

    The nearest miss is the denial that the least change would have cured: of all limits that the order broke the one it
    broke most counts, because every one of them has to hold.
    """
    end_ns = run.now_ns if until_ns is None else within_time(until_ns)
    begin_ns = within_time(end_ns - FUNNEL_SPAN_NS if since_ns is None else since_ns)
    span = run.archive.span(Range())
    if span is not None and begin_ns < span[0] <= end_ns:
        begin_ns = span[0]  # before its first mark a run has nothing to tell
    within = Range(begin_ns, None if until_ns is None else end_ns)
    tally = run.archive.tally(FUNNEL_KINDS, within, mint=mint, limit=ROWS_MAX)
    counts, denied = _counted(tally)
    nearest = _nearest(run, Range(tally.since_ns, end_ns if until_ns is not None else None), mint)
    passed = Counter(reason for name, reason in run.passed_over.items() if mint is None or name == mint)
    seen = len(run.instruments) if mint is None else 1
    shown: Document = {
        "since": iso(tally.since_ns),
        "until": iso(end_ns),
        "is_cut": tally.is_cut,
        "seen": seen,
        "eligible": seen - passed.total(),
        "passed_over": dict(sorted(passed.items())),
        "forecast": counts["forecast"],
        "signalled": counts["signalled"],
        "sized": counts["approved"] + counts["denied_by_gate"],
        "approved": counts["approved"],
        "filled": counts["filled"],
        "rejected": counts["rejected"],
        "exits": counts["exits"],
        "denied": dict(sorted(denied.items())),
        "newest_price": _newest_price(run, mint),
    }
    return {
        "summary": _funnel_text(shown, run, mint, nearest),
        "chain": [],
        "funnel": shown,
        "nearest_miss": nearest,
    }


def _newest_price(run: RunView, mint: str | None) -> Document | None:
    """Return when the newest bar closed, of the token or of all, and how old it is by the market's time."""
    closed_ns = max(run.seen_ns.values(), default=None) if mint is None else run.seen_ns.get(mint)
    if closed_ns is None:
        return None
    return {"ts": iso(closed_ns), "age_s": max(0, run.now_ns - closed_ns) // NS_PER_S}


def _counted(tally: Tally) -> tuple[Counter[str], Counter[str]]:
    """Return how many rows there are of each stage, and how many denials for each reason."""
    counts: Counter[str] = Counter()
    denied: Counter[str] = Counter()
    for each in tally.found:
        counts[_stage_of(each)] += each.number
        if each.kind in DENIALS:
            denied[each.reason] += each.number
    return counts, denied


def _stage_of(row: Tallied) -> str:
    """Return how far along the way into a position these rows are; rows about the way out count apart."""
    match row.kind:
        case "forecast_made":
            return "forecast"
        case "signal_raised":
            return "signalled" if row.what == "buy" else "exit_signals"
        case "order_approved":
            return "approved" if row.what == Purpose.ENTRY.value else "exits"
        case "order_denied":
            return "denied_by_gate" if row.what == Purpose.ENTRY.value else "exits_denied"
        case "order_filled":
            return "filled" if row.what == Side.BUY.value else "sold"
        case "order_rejected":
            return "rejected"
        case _:
            return "passed"


def _nearest(run: RunView, within: Range, mint: str | None) -> Document | None:
    """Return the denial that the least change would have cured, the newest of equals."""
    before = None if within.until_ns is None else run.archive.seq_from(within.until_ns + 1)
    rows = [row for kind in DENIALS for row in run.journal.newest((kind,), before=before, limit=MISSES_MAX)]
    nearest: Document | None = None
    for row in sorted(rows, key=lambda each: each.seq):
        if row.ts_ns < (within.since_ns or 0) or (within.until_ns is not None and row.ts_ns > within.until_ns):
            continue
        event = decode(row.kind, parse_json(row.body))
        assert isinstance(event, events.SignalPassed | events.OrderDenied)
        if mint is not None and mint_of(event) != mint:
            continue
        miss = _miss(run, row, event)
        if miss is not None and (nearest is None or _distance(miss) <= _distance(nearest)):
            nearest = miss
    return nearest


def _funnel_text(shown: Document, run: RunView, mint: str | None, nearest: Document | None) -> str:
    what = f"{shown['seen']} tokens" if mint is None else symbol_of(run, mint)
    reasons = ", ".join(f"{reason} {count}" for reason, count in shown["denied"].items()) or "none"
    passed = ", ".join(f"{reason} {count}" for reason, count in shown["passed_over"].items())
    text = (
        f"Since {shown['since']}: {what} seen, {shown['eligible']} eligible{f' (not: {passed})' if passed else ''}, "
        f"{shown['signalled']} signals to buy, {shown['approved']} orders, {shown['filled']} filled, "
        f"{shown['exits']} exits sent. Not acted on: {reasons}."
    )
    if nearest is None:
        return text
    limits = ", ".join(each["name"] for each in nearest["limits"])
    return f"{text} The nearest miss, {nearest['symbol']}, was {nearest['distance_bps']} bps away ({limits})."


def _distance(miss: Document) -> tuple[int, int]:
    """Order misses: how far the limit that was broken most is away, and how many were broken; the newest of equals."""
    return miss["distance_bps"], len(miss["limits"])


def _miss(run: RunView, row: JournalRow, event: events.SignalPassed | events.OrderDenied) -> Document | None:
    denied = event.denied
    limits = _limits_of(denied)
    if not limits:
        return None
    mint = mint_of(event) or ""
    return {
        "ts": iso(row.ts_ns),
        "mint": mint,
        "symbol": symbol_of(run, mint),
        "strategy": event.strategy if isinstance(event, events.SignalPassed) else event.order.strategy,
        "reason": denied.reason,
        "message": denied.message,
        "limit": denied.limit,
        "used": denied.used,
        "limits": limits,
        "distance_bps": limits[0]["distance_bps"],
    }


def _limits_of(denied: Denied) -> list[Document]:
    """Return every limit that was broken, the furthest first; none for a refusal without a figure."""
    broken: Sequence[Measure] = denied.broken
    if not broken and denied.limit is not None and denied.used is not None:
        broken = (Measure(denied.reason, denied.used, denied.limit, "", is_floor=denied.used < denied.limit),)
    found: list[Document] = [
        {
            "name": measure.name,
            "used": measure.used,
            "limit": measure.limit,
            "unit": measure.unit,
            "is_floor": measure.is_floor,
            "distance_bps": abs(measure.used - measure.limit) * BPS_ONE // max(1, abs(measure.limit)),
        }
        for measure in broken
    ]
    return sorted(found, key=lambda each: (-each["distance_bps"], each["name"]))

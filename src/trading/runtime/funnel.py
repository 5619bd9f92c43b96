"""Why nothing happened: how far each opinion came, what stopped it, and how near the nearest came to being bought."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from trading.adapters.canonical import parse_json
from trading.adapters.journal_archive import within_time
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
FUNNEL_SPAN_NS = 86_400 * NS_PER_S


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
    """Return why nothing happened, as wire.WhyAnswer without its context.

    The nearest miss is the denial that the least change would have cured: of all limits that the order broke the one it
    broke most counts, because every one of them has to hold.
    """
    end_ns = run.now_ns if until_ns is None else within_time(until_ns)
    begin_ns = within_time(end_ns - FUNNEL_SPAN_NS if since_ns is None else since_ns)
    counts: Counter[str] = Counter()
    denied: Counter[str] = Counter()
    nearest: Document | None = None
    after = run.archive.seq_before(begin_ns)
    last_ns = None if until_ns is None else end_ns
    for row in run.journal.rows(after=after, kinds=FUNNEL_KINDS, since_ns=begin_ns, until_ns=last_ns):
        event = decode(row.kind, parse_json(row.body))
        if mint is not None and mint_of(event) != mint:
            continue
        counts[_stage_of(event)] += 1
        if isinstance(event, events.SignalPassed | events.OrderDenied):
            denied[event.denied.reason] += 1
            miss = _miss(run, row, event)
            if miss is not None and (nearest is None or _distance(miss) <= _distance(nearest)):
                nearest = miss
    passed = Counter(reason for name, reason in run.passed_over.items() if mint is None or name == mint)
    seen = len(run.instruments) if mint is None else 1
    shown: Document = {
        "since": iso(begin_ns),
        "until": iso(end_ns),
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


def _stage_of(event: Any) -> str:
    """Return how far along the way into a position this row is; rows about the way out count apart."""
    match event:
        case events.ForecastMade():
            return "forecast"
        case events.SignalRaised(signal=signal):
            return "signalled" if signal.strength > 0 else "exit_signals"
        case events.OrderApproved(order=order):
            return "approved" if order.purpose is Purpose.ENTRY else "exits"
        case events.OrderDenied(order=order):
            return "denied_by_gate" if order.purpose is Purpose.ENTRY else "exits_denied"
        case events.OrderFilled(fill=fill):
            return "filled" if fill.side is Side.BUY else "sold"
        case events.OrderRejected():
            return "rejected"
        case _:
            return "passed"


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

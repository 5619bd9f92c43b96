"""The desk's past, as documents: fills, the equity series, the chain of a trade, and why nothing happened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from trading.adapters.canonical import parse_json
from trading.adapters.journal_archive import Range, RunArchive
from trading.adapters.mark_buckets import MarkBuckets, Spans
from trading.engine.inputs import FACTS, REPORTED, decode_input
from trading.engine.state import Trade
from trading.model import events
from trading.model.event_codec import decode, encode
from trading.model.identifiers import forecast_trajectory
from trading.model.instrument import Instrument
from trading.model.market_data import FactsKnown, VenueReported
from trading.model.order import Denied, Fill, Purpose, Side
from trading.model.rug_rules import RugRules
from trading.model.units import NS_PER_S, sol_text
from trading.ports import Journal, JournalRow

from .advice_texts import weighed_text
from .documents import Document, amount, costs_of_fill, iso, price_sol, tokens
from .fact_texts import facts_text
from .forecast_texts import forecast_text, impact_text, score_text
from .naming import local_id, public_id
from .recall_texts import recalled_text, situation_text

EQUITY_POINTS_MAX = 2_000
FACTS_ROWS_MAX = 2_000
"""How far a chain looks back for the facts that its entry rested on; a token has about one row of them."""
FORECAST_KINDS = ("forecast_made", "forecast_scored")
CHAIN_KINDS = (
    "forecast_made",
    "forecast_scored",
    "situation_met",
    "situation_recalled",
    "signal_raised",
    "signal_passed",
    "advice_weighed",
    "order_approved",
    "order_denied",
    "order_filled",
    "order_rejected",
    "position_written_off",
    "position_closed",
)


@dataclass(frozen=True, slots=True)
class RunView:
    """What a reader must know about the run besides its rows. ``passed_over``: tokens that nothing would be bought of
    now, whatever a strategy said, and why; ``seen_ns``: the close of the newest bar of each token; ``rugs``: what is
    asked of a token's facts now."""

    run_id: str
    journal: Journal
    archive: RunArchive
    instruments: Mapping[str, Instrument]
    now_ns: int
    passed_over: Mapping[str, str]
    seen_ns: Mapping[str, int]
    rugs: RugRules


def stored_trade(each: Trade) -> Document:
    """Return what is kept of a fill, so that it can be shown without folding the run."""
    return {
        "filled": encode(each.filled)[1],
        "realised_lamports": each.realised_lamports,
        "reason": each.reason,
        "sol_usd": None if each.sol_usd is None else str(each.sol_usd),
    }


def trade(run: RunView, body: Mapping[str, Any]) -> Document:
    """Return wire.TradeView."""
    filled = decode("order_filled", body["filled"])
    assert isinstance(filled, events.OrderFilled)
    fill, realised = filled.fill, body["realised_lamports"]
    usd = None if body["sol_usd"] is None else Decimal(body["sol_usd"])
    instrument = run.instruments[fill.mint]
    return {
        "order_id": public_id(run.run_id, fill.order_id),
        "trajectory_id": public_id(run.run_id, filled.trajectory_id),
        "ts": iso(fill.ts_ns),
        "side": fill.side.value,
        "mint": fill.mint,
        "symbol": instrument.symbol,
        "strategy": filled.strategy,
        "bucket": filled.bucket,
        "amount": tokens(fill.base_units, instrument.decimals),
        "amount_base_units": str(fill.base_units),
        "value": amount(fill.lamports, usd),
        "price_sol": price_sol(fill.lamports, fill.base_units, instrument.decimals),
        "costs": costs_of_fill(fill),
        "slippage_bps": fill.slippage_bps,
        "realised": None if realised is None else amount(realised, usd),
        "reason": body["reason"],
    }


def equity_series(
    archive: RunArchive, within: Range, resolution_s: int | None, buckets: MarkBuckets | None = None
) -> Document:
    """Return wire.EquitySeries without its context: the last mark of each bucket of ``resolution_s``.

    Without a resolution every mark is given, or the finest thinning to whole seconds, minutes or hours that fits. With
    ``buckets`` each point also says what lay between it and the point before: so no spike is lost, however coarse.
    """
    if resolution_s is None and archive.count(within, EQUITY_POINTS_MAX + 1) > EQUITY_POINTS_MAX:
        first_ns, last_ns = archive.span(within) or (0, 0)
        # One bucket less than points: the span may begin and end in the middle of one.
        resolution_s = _whole(max(1, -(-(last_ns - first_ns) // ((EQUITY_POINTS_MAX - 1) * NS_PER_S))))
    bucket_ns = 1 if resolution_s is None else resolution_s * NS_PER_S
    points = archive.marks(within, bucket_ns=bucket_ns, limit=EQUITY_POINTS_MAX)
    spans: Spans | None = None
    if buckets is not None and resolution_s is not None and points:
        first_ns = max(within.since_ns or 0, points[0][0] // bucket_ns * bucket_ns)
        spans = buckets.spans(Range(first_ns, within.until_ns), bucket_ns)
    return {
        "points": [_point(ts_ns, body, spans, bucket_ns) for ts_ns, body in points],
        "resolution_s": resolution_s,
    }


def _whole(seconds: int) -> int:
    """Return the next whole number of minutes or hours: what is kept is put together from these."""
    unit = next((each for each in (3_600, 60) if seconds > each), 1)
    return -(-seconds // unit) * unit


def _point(ts_ns: int, body: Mapping[str, Any], spans: Spans | None, bucket_ns: int) -> Document:
    """Return wire.EquityPoint."""
    point = {
        "ts": iso(ts_ns),
        "equity_lamports": body["equity_lamports"],
        "drawdown_bps": body["drawdown_bps"],
        "sol_usd": body["sol_usd"],
    }
    span = None if spans is None else spans.get(ts_ns // bucket_ns * bucket_ns)
    if span is None:
        return point
    return point | {
        "first_lamports": span.first_lamports,
        "low_lamports": span.low_lamports,
        "high_lamports": span.high_lamports,
        "drawdown_bps_max": span.drawdown_bps_max,
        "marks": span.marks,
    }


def chain(run: RunView, *, order_id: str | None, trajectory_id: str | None) -> Document | None:
    """Return the steps of a trade, in order, as wire.WhyAnswer without context; None if there is none."""
    local_order = None if order_id is None else local_id(run.run_id, order_id)
    local = None if trajectory_id is None else local_id(run.run_id, trajectory_id)
    if local_order is not None:
        found = _chain_events(run.archive, local_order)
        local = next((_trajectory(event) for _, event in found if _order(event) == local_order), None)
    if local is None:
        return None
    found = _chain_events(run.archive, local)
    ours = [(row, event) for row, event in found if _trajectory(event) == local]
    ours += _earlier_forecasts(run.archive, ours, local)
    ours += _facts_before(run, ours)
    ours += _transactions(run.archive, ours)
    steps = [_step(run, row, event) for row, event in sorted(ours, key=lambda each: each[0].seq)]
    if not steps:
        return None
    told = "; ".join(step["text"] for step in steps)
    return {
        "order_id": order_id if order_id is None else public_id(run.run_id, local_order or ""),
        "trajectory_id": public_id(run.run_id, local),
        "summary": told if len(told) <= 1_000 else f"{told[:999]}…",
        "chain": steps,
    }


def _chain_events(archive: RunArchive, name: str) -> list[tuple[JournalRow, Any]]:
    found = archive.mentioning((name,), CHAIN_KINDS)
    return [(row, decode(row.kind, parse_json(row.body))) for row in found]


def _earlier_forecasts(
    archive: RunArchive, ours: Sequence[tuple[JournalRow, Any]], trajectory: str
) -> list[tuple[JournalRow, Any]]:
    """Return the forecasts that orders followed and that were made in an earlier trajectory."""
    impacts = [event.impact for _, event in ours if isinstance(event, events.OrderApproved | events.OrderDenied)]
    ids = {impact.forecast_id for impact in impacts if impact is not None and impact.forecast_id}
    names = sorted({forecast_trajectory(each) for each in ids} - {trajectory})
    if not names:
        return []
    found = [(row, decode(row.kind, parse_json(row.body))) for row in archive.mentioning(names, FORECAST_KINDS)]
    return [(row, event) for row, event in found if _forecast_id(event) in ids]


def _facts_before(run: RunView, ours: Sequence[tuple[JournalRow, Any]]) -> list[tuple[JournalRow, Any]]:
    """Return what was known about the token when an entry into it was decided, as far as anything was."""
    entry = next(((row, event) for row, event in ours if isinstance(event, events.SignalRaised)), None)
    if entry is None or entry[1].signal.strength <= 0:
        return []
    for row in run.journal.newest((FACTS,), before=entry[0].seq, limit=FACTS_ROWS_MAX):
        body = parse_json(row.body)
        if body["mint"] == entry[1].signal.mint:
            return [(row, decode_input(FACTS, row.ts_ns, body))]
    return []


def _transactions(archive: RunArchive, ours: Sequence[tuple[JournalRow, Any]]) -> list[tuple[JournalRow, Any]]:
    """Return what the chain reported of the orders; a simulated fill has no transaction."""
    orders = {order for _, event in ours if (order := _order(event)) is not None}
    if not orders:
        return []
    return [
        (row, decode_input(REPORTED, row.ts_ns, parse_json(row.body)))
        for row in archive.mentioning(orders, (REPORTED,))
    ]


def _forecast_id(event: Any) -> str | None:
    match event:
        case events.ForecastMade(forecast=forecast):
            return str(forecast.id)
        case events.ForecastScored(score=score):
            return str(score.forecast_id)
        case _:
            return None


def _trajectory(event: Any) -> str | None:
    if isinstance(event, events.OrderApproved | events.OrderDenied):
        return event.order.trajectory_id
    if isinstance(event, events.SituationMet):
        return event.situation.trajectory_id
    return getattr(event, "trajectory_id", None)


def _order(event: Any) -> str | None:
    match event:
        case events.OrderApproved() | events.OrderDenied():
            return event.order.id
        case events.OrderFilled():
            return event.fill.order_id
        case events.OrderRejected():
            return event.rejected.order_id
        case VenueReported(report=report):
            return report.order_id
        case _:
            return None


def mint_of(event: Any) -> str | None:
    """Return the token that an event is about, None where it is about none."""
    match event:
        case events.SignalRaised():
            return event.signal.mint
        case events.OrderApproved() | events.OrderDenied():
            return event.order.mint
        case events.OrderFilled():
            return event.fill.mint
        case _:
            return getattr(event, "mint", None)


def _step(run: RunView, row: JournalRow, event: Any) -> Document:
    """Return one step: what it is, when, in words, and its figures."""
    body = parse_json(row.body)
    kind, text = _told(run, event)
    order = _order(event)
    return {
        "step": kind,
        "ts": iso(row.ts_ns),
        "text": text,
        "order_id": None if order is None else public_id(run.run_id, order),
        "figures": body,
    }


def _told(run: RunView, event: Any) -> tuple[str, str]:
    match event:
        case FactsKnown(facts=facts):
            return "facts", facts_text(facts, symbol_of(run, facts.mint), run.rugs)
        case events.ForecastMade(forecast=forecast):
            return "forecast", forecast_text(forecast, symbol_of(run, forecast.mint))
        case events.ForecastScored(score=score):
            return "forecast_score", score_text(score, symbol_of(run, score.mint))
        case events.SituationMet(situation=situation):
            return "situation", situation_text(situation, symbol_of(run, situation.mint))
        case events.SituationRecalled():
            return "recalled", recalled_text(event, symbol_of(run, event.mint))
        case events.SignalRaised(signal=signal):
            text = f"{signal.strategy} on {symbol_of(run, signal.mint)}: {signal.reason}"
            return "signal", text
        case events.AdviceWeighed():
            return "advice", weighed_text(event, symbol_of(run, event.mint))
        case events.SignalPassed(denied=Denied() as denied) | events.OrderDenied(denied=Denied() as denied):
            return "verdict", f"denied ({denied.reason}): {denied.message}"
        case events.OrderApproved(order=order, measures=measures, impact=impact):
            what = (
                f"{sol_text(order.amount_in)} SOL of" if order.side is Side.BUY else f"{order.amount_in} base units of"
            )
            within = " (an exit, which no limit holds back)" if order.purpose is Purpose.EXIT else ""
            if measures:
                within = f", within {len(measures)} {'limit' if len(measures) == 1 else 'limits'}"
            text = f"approved{within}: {order.side.value} {what} {symbol_of(run, order.mint)}, {order.reason}"
            return "order", text if impact is None else f"{text}. {impact_text(impact)}"
        case events.OrderFilled(fill=fill):
            instrument = run.instruments.get(fill.mint)
            size = plain_tokens(fill.base_units, instrument)
            return "fill", f"{fill.side.value} filled: {size} for {sol_text(fill.lamports)} SOL"
        case VenueReported(report=report, source=signature):
            landed = isinstance(report, Fill)
            return "transaction", f"transaction {signature} landed" if landed else f"no transaction landed: {signature}"
        case events.OrderRejected(rejected=rejected):
            return "rejection", f"rejected ({rejected.reason}): {rejected.message}"
        case events.PositionWrittenOff(reason=reason):
            return "write_off", f"written off: {reason}"
        case events.PositionClosed():
            return (
                "outcome",
                f"closed with {sol_text(event.realised_lamports)} SOL ({event.return_bps} bps): {event.reason}",
            )
        case _:
            return "event", type(event).__name__


def plain_tokens(base_units: int, instrument: Instrument | None) -> str:
    if instrument is None:
        return f"{base_units} base units"
    return f"{tokens(base_units, instrument.decimals)} {instrument.symbol}"


def symbol_of(run: RunView, mint: str) -> str:
    """Return the token's symbol, its mint where none is known."""
    instrument = run.instruments.get(mint)
    return mint if instrument is None else instrument.symbol

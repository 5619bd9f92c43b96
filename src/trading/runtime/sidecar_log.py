"""What the sidecar was asked and answered, what that took, and how it came out: read from the run's own rows."""

from itertools import islice
from typing import Final

from trading.adapters.canonical import parse_json
from trading.engine.inputs import ADVISED, decode_input
from trading.model import events
from trading.model.advice import ANSWERED, Exchange
from trading.model.event_codec import decode
from trading.model.market_data import Advised
from trading.model.units import BPS_ONE

from .advice_texts import response_text
from .documents import Document, iso
from .history import RunView

LATER_ROWS_MAX: Final = 2_000
"""So far the rows after a page are read for what its answers did and how they came out."""
LATER_KINDS: Final = ("advice_weighed", "advice_scored")
TEXT_MAX: Final = 1_000


def sidecar_log(run: RunView, before: int | None, limit: int) -> Document:
    """Return wire.SidecarLog without its context and standing, newest first; the cursor is the seq of the oldest entry
    given."""
    found = run.journal.newest((ADVISED,), before=before, limit=limit + 1)
    page = found[:limit]
    weighed, scored = _later(run, page[-1].seq) if page else ({}, {})
    entries = []
    for row in page:
        advised = decode_input(row.kind, row.ts_ns, parse_json(row.body))
        assert isinstance(advised, Advised)
        known = advised.exchange.id
        entries.append(_entry(row.seq, advised.exchange, weighed.get(known, []), scored.get(known)))
    return {"entries": entries, "next_cursor": str(page[-1].seq) if len(found) > limit else None}


def _later(run: RunView, after: int) -> tuple[dict[str, list[events.AdviceWeighed]], dict[str, events.AdviceScored]]:
    """Return what later rows say, by the answer that they are about."""
    weighed: dict[str, list[events.AdviceWeighed]] = {}
    scored: dict[str, events.AdviceScored] = {}
    for row in islice(run.journal.rows(after=after, kinds=LATER_KINDS), LATER_ROWS_MAX):
        event = decode(row.kind, parse_json(row.body))
        if isinstance(event, events.AdviceWeighed):
            weighed.setdefault(event.advice_id, []).append(event)
        elif isinstance(event, events.AdviceScored):
            scored[event.score.advice_id] = event
    return weighed, scored


def _entry(
    seq: int, exchange: Exchange, weighed: list[events.AdviceWeighed], scored: events.AdviceScored | None
) -> Document:
    advice = exchange.advice
    return {
        "seq": seq,
        "id": exchange.id,
        "ts": iso(exchange.asked_ns),
        "kind": exchange.kind,
        "mint": exchange.mint,
        "symbol": exchange.symbol,
        "strategy": exchange.strategy,
        "question": exchange.question[:TEXT_MAX],
        "evidence": len(exchange.evidence),
        "outcome": exchange.outcome,
        "is_answered": exchange.outcome == ANSWERED,
        "detail": exchange.detail,
        "text": response_text(exchange)[:TEXT_MAX],
        "model": "" if advice is None else advice.model,
        "latency_ms": exchange.latency_ms,
        "tokens_in": exchange.tokens_in,
        "tokens_out": exchange.tokens_out,
        "cost_micro_usd": exchange.cost_micro_usd,
        "is_cached": exchange.is_cached,
        "effect": None if not weighed else _effect(weighed[-1]),
        "score": None if scored is None else _score(scored),
    }


def _effect(event: events.AdviceWeighed) -> Document:
    """Return what the answer did to the newest entry that it was weighed for."""
    is_changed = bool(event.wait_until_ns) or event.scale_bps < BPS_ONE
    return {
        "scale_bps": event.scale_bps,
        "wait_until": iso(event.wait_until_ns) if event.wait_until_ns else None,
        "weight_bps": event.weight_bps,
        "reason": event.reason if not is_changed else "",
    }


def _score(event: events.AdviceScored) -> Document:
    score = event.score
    return {"is_hit": score.is_hit, "realised_bps": score.realised_bps, "brier_ppm": score.brier_ppm}

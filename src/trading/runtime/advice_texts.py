"""What the sidecar was asked, what it said and how that came out, in words and as documents.

Its reasons are a stranger's words: they are quoted and cut, and nobody acts on them.
"""

from typing import Any, Final

from trading.model import events
from trading.model.advice import ANSWERED, AdviceScore, Exchange
from trading.model.event_codec import encode_record
from trading.model.units import BPS_ONE

from .documents import iso

BANK: Final = "memory_bank"
"""The namespace in which every request and every response is kept."""
_SUBJECTS: Final = {
    "entry": "an entry",
    "launch": "a launch",
    "rebalance": "a position",
    "review_loss": "a loss",
    "scenario": "a scenario",
}


def request_text(exchange: Exchange) -> str:
    """Return what was asked."""
    about = f" of {exchange.symbol}" if exchange.symbol else ""
    whose = f" ({exchange.strategy})" if exchange.strategy else ""
    rests = f" It rests on {len(exchange.evidence)} things that were given." if exchange.evidence else ""
    return f"The sidecar was asked about {_SUBJECTS[exchange.kind]}{about}{whose}: «{exchange.question}»{rests}"


def response_text(exchange: Exchange) -> str:
    """Return what came of a question: the answer in figures and its reasons as a quotation, or the fault."""
    about = exchange.symbol or _SUBJECTS[exchange.kind]
    advice = exchange.advice
    if exchange.outcome != ANSWERED or advice is None:
        return f"The sidecar gave no advice about {about} ({exchange.outcome}): {exchange.detail}."
    wait = f", after {advice.wait_s} s" if advice.wait_s else ""
    again = ", as it said before" if exchange.is_cached else ""
    reasons = " / ".join(advice.reasons)
    return (
        f"{advice.model} on {about}{again}: a rise within {advice.horizon_s} s has {_percent(advice.probability_bps)}, "
        f"{advice.expected_bps} bps expected ({advice.low_bps} to {advice.high_bps}); it would take "
        f"{_percent(advice.size_scale_bps)} of the desk's size{wait}. It gives as reasons (its own words): «{reasons}»"
    )


def score_text_of(score: AdviceScore, symbol: str) -> str:
    """Return how advice came out."""
    came = "was right" if score.is_hit else "was wrong"
    why = f" ({score.reason})" if score.reason else ""
    return (
        f"{score.model} {came} about {symbol}{why}: it gave a rise {_percent(score.probability_bps)}, and the price "
        f"moved {score.realised_bps} bps; the Brier score is {score.brier_ppm} millionths."
    )


def weighed_text(event: events.AdviceWeighed, symbol: str) -> str:
    """Return what advice did to an entry."""
    if event.wait_until_ns:
        did = f"the entry waits until {iso(event.wait_until_ns)}"
    elif event.scale_bps < BPS_ONE:
        did = f"the entry is {_percent(event.scale_bps)} of the desk's own size"
    else:
        did = f"nothing changes: {event.reason}"
    return f"Advice of {event.model} on {symbol} counts {_percent(event.weight_bps)}; {did}."


def exchange_document(exchange: Exchange) -> dict[str, Any]:
    """Return the newest exchange for the snapshot."""
    advice = exchange.advice
    return {
        "id": exchange.id,
        "kind": exchange.kind,
        "mint": exchange.mint,
        "asked": iso(exchange.asked_ns),
        "outcome": exchange.outcome,
        "text": response_text(exchange),
        "expires": None if advice is None else iso(advice.expires_ns),
    }


def response_figures(exchange: Exchange) -> dict[str, Any]:
    """Return what a response took and says, for the memory of it."""
    figures = encode_record(exchange)
    del figures["question"]
    return figures


def _percent(bps: int) -> str:
    return f"{bps / 100:g} %"

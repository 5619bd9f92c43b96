"""Exchanges with a sidecar, sound by default; each field can be given."""

from dataclasses import replace
from typing import Any

from tests.doubles.scripted_market import MINT, START_NS
from trading.model.advice import Advice, AdviceScore, Exchange, score_of
from trading.model.market_data import Advised
from trading.model.units import NS_PER_S

MODEL = "a-model"
STRATEGY = "momentum_breakout"


def make_advice(**changes: Any) -> Advice:
    advice = Advice(
        model=MODEL,
        horizon_s=3_600,
        stance_bps=-3_000,
        probability_bps=4_000,
        expected_bps=-50,
        low_bps=-300,
        high_bps=200,
        size_scale_bps=0,
        wait_s=0,
        confidence_bps=6_000,
        expires_ns=START_NS + 86_400 * NS_PER_S,
        evidence=("fct_1",),
        reasons=("the move is over",),
    )
    return replace(advice, **changes)


def make_exchange(advice: Advice | None = None, **changes: Any) -> Exchange:
    """Return an answered exchange about an entry; with an ``outcome`` that is a fault it brings no advice."""
    exchange = Exchange(
        id="asm_1",
        kind="entry",
        mint=MINT,
        symbol="AAA",
        strategy=STRATEGY,
        asked_ns=START_NS,
        question="Should the desk buy now?",
        evidence=("fct_1",),
        outcome="answered",
        detail="",
        latency_ms=120,
        tokens_in=400,
        tokens_out=90,
        cost_micro_usd=310,
        is_cached=False,
        advice=make_advice() if advice is None else advice,
    )
    if changes.get("outcome", "answered") != "answered":
        exchange = replace(exchange, advice=None)
    return replace(exchange, **changes)


def advised(ts_ns: int, advice: Advice | None = None, **changes: Any) -> Advised:
    return Advised(ts_ns, make_exchange(advice, **{"asked_ns": ts_ns, **changes}))


def scored(*, is_up: bool, probability_bps: int, number: int = 0) -> AdviceScore:
    """Return the score of one answer."""
    exchange = make_exchange(make_advice(probability_bps=probability_bps), id=f"asm_{number}")
    return score_of(exchange, 100 if is_up else -100, START_NS, "")

"""From committed rows to questions for the sidecar: what the desk thinks of doing, what it holds, what it lost.

Rows are on disk before they are read here, so asking takes nothing from the loop. A question names what it rests on by
ids, and gives figures as whole numbers; every text in it is data for whoever reads it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from trading.adapters.canonical import parse_json
from trading.engine.inputs import FACTS, decode_input
from trading.model import events
from trading.model.event_codec import decode
from trading.model.forecast import Direction, Forecast, RankedToken
from trading.model.identifiers import derived_id
from trading.model.instrument import Instrument
from trading.model.market_data import FactsKnown
from trading.model.rug_rules import RugRules
from trading.model.units import BPS_ONE, sol_text
from trading.ports import JournalRow
from trading.sidecar.assessment import EVIDENCE_TEXT_MAX, AssessmentRequest, DeskFigures, Evidence, MarketFigures, plain

from .documents import plain as written
from .fact_texts import facts_text
from .forecast_texts import forecast_text, score_text
from .naming import public_id

ASKED_KINDS: Final = ("forecast_made", "universe_ranked", "position_closed", FACTS)
"""Rows that a question may come from."""
RANKED_ASKED: Final = 3
"""Of a ranking the first so many are asked about before anybody speaks for them, so that advice is there in time."""
DAY_S: Final = 86_400
HOUR_S: Final = 3_600


@dataclass(frozen=True, slots=True)
class Scene:
    """What the newest committed state says beside a row. ``scores`` returns the newest scored forecasts of a token."""

    run_id: str
    snapshot: Mapping[str, Any]
    instruments: Mapping[str, Instrument]
    rugs: RugRules
    scores: Callable[[str], Sequence[events.ForecastScored]]

    def symbol(self, mint: str) -> str:
        instrument = self.instruments.get(mint)
        return plain(instrument.symbol if instrument else mint, 64)

    def desk(self) -> DeskFigures:
        shown = self.snapshot
        equity = max(0, int(shown["equity"]["lamports"]))
        total = max(0, int(shown["exposure"]["total"]["lamports"]))
        return DeskFigures(
            state=str(shown["state"]),
            equity_lamports=equity,
            exposure_bps=min(100 * BPS_ONE, total * BPS_ONE // equity if equity else 0),
            drawdown_bps=min(BPS_ONE, max(0, int(shown["drawdown_bps"]))),
            positions=len(shown["positions"]),
        )


def questions_of(row: JournalRow, scene: Scene) -> Iterator[AssessmentRequest]:
    """Yield what a row gives reason to ask."""
    if row.kind == FACTS:
        known = decode_input(row.kind, row.ts_ns, parse_json(row.body))
        assert isinstance(known, FactsKnown)
        yield _launch(known, row, scene)
        return
    event = decode(row.kind, parse_json(row.body))
    if isinstance(event, events.ForecastMade) and event.forecast.direction is Direction.UP:
        yield _entry(event.forecast, row, scene)
    elif isinstance(event, events.UniverseRanked):
        for ranked in event.ranked[:RANKED_ASKED]:
            yield _ranked(ranked, row, scene)
        for held in scene.snapshot["positions"]:
            yield _held(held, row, scene)
    elif isinstance(event, events.PositionClosed) and event.realised_lamports < 0:
        yield _loss(event, row, scene)


def _entry(forecast: Forecast, row: JournalRow, scene: Scene) -> AssessmentRequest:
    symbol = scene.symbol(forecast.mint)
    said = f"{forecast_text(forecast, symbol)} It rests on this: {forecast.reason}."
    horizon_s = max(60, (forecast.due_ns - forecast.ts_ns) // 10**9)
    return AssessmentRequest(
        id=_id(scene, row, forecast.mint),
        kind="entry",
        question="A strategy wants to buy this token. How much of the desk's own size is right, or should it wait?",
        mint=forecast.mint,
        symbol=symbol,
        strategy=forecast.strategy,
        side="buy",
        horizon_s=min(30 * DAY_S, horizon_s),
        market=MarketFigures(
            price_sol=_price(forecast.mark_sol),
            volatility_day_bps=forecast.volatility_day_bps,
            cost_bps=forecast.cost_bps,
            expected_bps=_move(forecast.expected_bps),
        ),
        desk=scene.desk(),
        evidence=(_evidence(public_id(scene.run_id, forecast.id), said), *_past(forecast.mint, scene)),
    )


def _ranked(ranked: RankedToken, row: JournalRow, scene: Scene) -> AssessmentRequest:
    symbol = scene.symbol(ranked.mint)
    edge = "no forecast is open" if ranked.edge_bps is None else f"{ranked.edge_bps} bps are expected after costs"
    said = f"{symbol} stands among the first of the desk's ranking: {edge}."
    return AssessmentRequest(
        id=_id(scene, row, ranked.mint),
        kind="entry",
        question="A strategy may want to buy this token soon. How much of the desk's own size would be right?",
        mint=ranked.mint,
        symbol=symbol,
        side="buy",
        horizon_s=HOUR_S,
        market=MarketFigures(pool_lamports=ranked.pool_lamports, volatility_day_bps=ranked.volatility_day_bps),
        desk=scene.desk(),
        evidence=(_evidence(f"{scene.run_id}.ranking_{row.seq}", said), *_past(ranked.mint, scene)),
    )


def _held(held: Mapping[str, Any], row: JournalRow, scene: Scene) -> AssessmentRequest:
    mint, symbol = str(held["mint"]), scene.symbol(str(held["mint"]))
    said = (
        f"The desk holds {held['amount']} {symbol} at a cost of {held['cost']['sol']} SOL, worth {held['value']['sol']}"
        f" SOL now ({held['unrealised_bps']} bps)."
    )
    return AssessmentRequest(
        id=_id(scene, row, f"held/{held['bucket']}/{mint}"),
        kind="rebalance",
        question="Should this position be kept? The desk's own rules decide; your view is for the people who read it.",
        mint=mint,
        symbol=symbol,
        strategy=str(held["strategy"]),
        side="sell",
        horizon_s=HOUR_S,
        desk=scene.desk(),
        evidence=(_evidence(str(held["trajectory_id"]), said), *_past(mint, scene)),
    )


def _launch(known: FactsKnown, row: JournalRow, scene: Scene) -> AssessmentRequest:
    mint, symbol = known.facts.mint, scene.symbol(known.facts.mint)
    return AssessmentRequest(
        id=_id(scene, row, mint),
        kind="launch",
        question="This token is new to the desk. Do its facts look like a trap?",
        mint=mint,
        symbol=symbol,
        side="buy",
        horizon_s=HOUR_S,
        market=MarketFigures(pool_lamports=known.facts.liquidity_lamports),
        desk=scene.desk(),
        evidence=(_evidence(f"{scene.run_id}.facts_{row.seq}", facts_text(known.facts, symbol, scene.rugs)),),
    )


def _loss(event: events.PositionClosed, row: JournalRow, scene: Scene) -> AssessmentRequest:
    symbol = scene.symbol(event.mint)
    said = (
        f"{event.strategy} lost {sol_text(-event.realised_lamports)} SOL on {symbol} ({event.return_bps} bps) in "
        f"{event.holding_ns // 10**9} s; it was sold because of {event.reason}."
    )
    return AssessmentRequest(
        id=_id(scene, row, event.mint),
        kind="review_loss",
        question="What led to this loss: signal, size, timing, costs or luck? And is the token to be left alone now?",
        mint=event.mint,
        symbol=symbol,
        strategy=event.strategy,
        horizon_s=HOUR_S,
        desk=scene.desk(),
        evidence=(_evidence(public_id(scene.run_id, event.trajectory_id), said), *_past(event.mint, scene)),
    )


def _past(mint: str, scene: Scene) -> tuple[Evidence, ...]:
    """Cite how the newest forecasts of the token came out."""
    return tuple(
        _evidence(
            f"score.{public_id(scene.run_id, each.score.forecast_id)}", score_text(each.score, scene.symbol(mint))
        )
        for each in scene.scores(mint)
    )


def _evidence(name: str, text: str) -> Evidence:
    return Evidence(id=name[:128], text=text[:EVIDENCE_TEXT_MAX])


def _id(scene: Scene, row: JournalRow, about: str) -> str:
    return derived_id("asm", scene.run_id, row.seq, about)


def _price(price: Decimal) -> str:
    """Return twelve significant digits without an exponent."""
    return written(Decimal(f"{price:.12g}"))


def _move(bps: int) -> int:
    return max(-BPS_ONE, min(100 * BPS_ONE, bps))

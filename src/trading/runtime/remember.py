"""Journal rows -> memory records: what the shared memory is told about the desk, in words and in figures.

A signal that led to an order opens a trajectory (signal -> verdict -> order -> fill -> outcome); a signal that was not
acted on is one note with its reason; how a strategy did in a window is a digest in its own namespace that cites its
trades. Keys are made from the run and the row, so telling it twice changes nothing.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from trading.adapters.canonical import parse_json
from trading.engine.inputs import ADVISED, HISTORY, LISTED, MARKET_KINDS, decode_input
from trading.engine.trader import cited_by
from trading.engine.windows import EVIDENCE_MAX
from trading.model import commands, events
from trading.model.event_codec import decode, encode_record
from trading.model.forecast import Direction
from trading.model.instrument import Instrument
from trading.model.market_data import Advised, History, TokenListed
from trading.model.order import Order, Purpose, Side, Signal
from trading.model.recall import Situation
from trading.model.rotation import RotationVerdict
from trading.model.units import sol_text
from trading.ports import JournalRow, MemoryRecord

from .advice_texts import BANK, request_text, response_figures, response_text, score_text_of, weighed_text
from .digests import window_text
from .forecast_texts import forecast_text, impact_text, ranking_text, score_text
from .naming import public_id
from .outcomes import duration_text, outcome_of, tokens_text
from .profile_texts import switch_text
from .promotion_texts import demotion_text, judgement_text, promotion_text
from .recall_texts import judged_text, outcome_text, situation_text
from .rotation_texts import rotation_text

NAMESPACE: Final = "trading"
STRATEGIES: Final = "strategies"
"""Below it each strategy has a namespace, with the digests of its windows."""
PROMOTION, ALERT = "promotion", "alert"
"""Kinds of memories: each step of a candidate, and what a person should look at."""
SIGNALS_MAX: Final = 4_096
"""Signals waiting for what became of them; their consequence is in the same cycle, so this is never reached."""

Handler = Callable[[Any, JournalRow], list[MemoryRecord]]
Past = Callable[[str], Sequence[JournalRow]]


CONTROLS: Final = (
    commands.StopEntries,
    commands.AllowEntries,
    commands.ReduceOnly,
    commands.FlattenAndHalt,
    commands.Resume,
)


class Remembrance:
    """Turns the rows of one run into records, in order. Feed it every row from the start of a cycle on.

    ``began_ns`` is the wall time of the run's start: what happened before the first event has no market time. ``past``
    returns the rows of a trajectory: the end of a trade is told with its beginning.
    """

    def __init__(self, run_id: str, began_ns: int, past: Past) -> None:
        self._run_id = run_id
        self._began_ns = began_ns
        self._past = past
        self._signals: OrderedDict[str, Signal] = OrderedDict()
        self._instruments: dict[str, Instrument] = {}
        self._handlers: Mapping[type, Handler] = {
            events.RunStarted: self._run_started,
            events.SignalRaised: self._signal_raised,
            events.SignalPassed: self._signal_passed,
            events.ForecastMade: self._forecast_made,
            events.ForecastScored: self._forecast_scored,
            events.RecallJudged: self._recall_judged,
            events.UniverseRanked: self._universe_ranked,
            events.AdviceWeighed: self._advice_weighed,
            events.AdviceScored: self._advice_scored,
            events.OrderApproved: self._order_approved,
            events.OrderDenied: self._order_denied,
            events.OrderFilled: self._order_filled,
            events.OrderRejected: self._order_rejected,
            events.PositionWrittenOff: self._written_off,
            events.PositionClosed: self._position_closed,
            events.TradingStateChanged: self._state_changed,
            events.LevelStateChanged: self._level_changed,
            events.GapSeen: self._gap_seen,
            events.ProfileSwitched: self._profile_switched,
            events.StrategyPromoted: self._promoted,
            events.StrategyDemoted: self._promoted,
            events.StrategyJudged: self._judged,
            events.TierChanged: self._tier_changed,
            events.WindowReported: self._window_reported,
            events.SharesRotated: self._shares_rotated,
            events.CapitalDeposited: self._capital_flow,
            events.CapitalWithdrawn: self._capital_flow,
            events.CapitalMoved: self._capital_moved,
            events.AccountClosed: self._kept_up,
            events.FeePaid: self._kept_up,
        }

    def records_of(self, row: JournalRow) -> list[MemoryRecord]:
        """Return what memory is told about the row; most rows say nothing."""
        if row.kind in MARKET_KINDS:
            if row.kind == LISTED:
                listed = decode_input(row.kind, row.ts_ns, parse_json(row.body))
                assert isinstance(listed, TokenListed)
                self._instruments[listed.instrument.mint] = listed.instrument
            if row.kind == ADVISED:
                return self._advised(row)
            return [self._warmed_up(row)] if row.kind == HISTORY else []
        event = decode(row.kind, parse_json(row.body))
        if isinstance(event, CONTROLS):
            where = f" of {level}" if (level := getattr(event, "level", "")) else ""
            text = f"{event.actor}: {row.kind}{where}. {event.reason}"
            return [self._note(row, "control", text, {"actor": event.actor})]
        handler = self._handlers.get(type(event))
        return handler(event, row) if handler else []

    def _advised(self, row: JournalRow) -> list[MemoryRecord]:
        """A question and its answer are two memories: what was asked stays, whatever came of it."""
        advised = decode_input(row.kind, row.ts_ns, parse_json(row.body))
        assert isinstance(advised, Advised)
        exchange = advised.exchange
        asked = {"id": exchange.id, "kind": exchange.kind, "mint": exchange.mint, "evidence": list(exchange.evidence)}
        tags = (exchange.kind, exchange.outcome)
        said = response_text(exchange)
        return [
            self._banked(row, "request", request_text(exchange), asked, tags=(exchange.kind,)),
            self._banked(row, "response", said, response_figures(exchange), tags=tags, embed=True),
        ]

    def _advice_weighed(self, event: events.AdviceWeighed, row: JournalRow) -> list[MemoryRecord]:
        figures = {**encode_record(event), "trajectory_id": public_id(self._run_id, event.trajectory_id)}
        text = weighed_text(event, self._symbol(event.mint))
        return [self._banked(row, "weighed", text, figures, tags=(event.strategy,))]

    def _advice_scored(self, event: events.AdviceScored, row: JournalRow) -> list[MemoryRecord]:
        score = event.score
        text = score_text_of(score, self._symbol(score.mint))
        tags = (score.kind, "hit" if score.is_hit else "miss")
        return [self._banked(row, "score", text, encode_record(score), tags=tags)]

    def _banked(
        self,
        row: JournalRow,
        kind: str,
        text: str,
        figures: Mapping[str, Any],
        *,
        tags: tuple[str, ...],
        embed: bool = False,
    ) -> MemoryRecord:
        return replace(self._note(row, kind, text, figures, tags=tags, embed=embed), namespace=BANK)

    def _warmed_up(self, row: JournalRow) -> MemoryRecord:
        history = decode_input(row.kind, row.ts_ns, parse_json(row.body))
        assert isinstance(history, History)
        first, last = history.bars[0], history.bars[-1]
        text = (
            f"The strategies warmed up on {len(history.bars)} past bars of {self._symbol(history.mint)}, "
            f"{duration_text(last.ts_close_ns - first.ts_open_ns)} long; nothing was traded on them."
        )
        figures = {"mint": history.mint, "bars": len(history.bars), "source": history.source}
        return self._note(row, "feed", text, figures)

    def _run_started(self, event: events.RunStarted, row: JournalRow) -> list[MemoryRecord]:
        text = f"The desk began the run {event.run_id} ({event.mode}) with profile {event.profile} on {event.feed}."
        return [self._note(row, "run", text, {"profile": event.profile, "feed": event.feed}, embed=True)]

    def _signal_raised(self, event: events.SignalRaised, _row: JournalRow) -> list[MemoryRecord]:
        self._signals[f"{event.trajectory_id}/{event.signal.ts_ns}"] = event.signal
        while len(self._signals) > SIGNALS_MAX:
            self._signals.popitem(last=False)
        return []

    def _signal_passed(self, event: events.SignalPassed, row: JournalRow) -> list[MemoryRecord]:
        signal = self._signals.pop(f"{event.trajectory_id}/{event.ts_ns}", None)
        said = f" It said: {signal.reason}" if signal else ""
        text = (
            f"{event.strategy} on {self._symbol(event.mint)} was not acted on ({event.denied.reason}): "
            f"{event.denied.message}.{said}"
        )
        figures = {"mint": event.mint, "strategy": event.strategy, "denied": encode_record(event.denied)}
        figures["trajectory_id"] = public_id(self._run_id, event.trajectory_id)
        if signal:
            figures["signal"] = _signal_body(signal)
        return [self._note(row, "signal", text, figures, tags=(event.strategy, event.denied.reason))]

    def _forecast_made(self, event: events.ForecastMade, row: JournalRow) -> list[MemoryRecord]:
        forecast = event.forecast
        text = f"{forecast_text(forecast, self._symbol(forecast.mint))} It rests on this: {forecast.reason}."
        figures = {**encode_record(forecast), "trajectory_id": public_id(self._run_id, event.trajectory_id)}
        return [self._note(row, "forecast", text, figures, tags=(forecast.strategy, forecast.direction.value))]

    def _forecast_scored(self, event: events.ForecastScored, row: JournalRow) -> list[MemoryRecord]:
        score = event.score
        text = score_text(score, self._symbol(score.mint))
        figures = {**encode_record(score), "trajectory_id": public_id(self._run_id, event.trajectory_id)}
        tags = (score.strategy, score.direction.value, "hit" if score.is_hit else "miss")
        return [self._note(row, "outcome", text, figures, tags=tags), *self._came_of_it(event, row)]

    def _came_of_it(self, event: events.ForecastScored, row: JournalRow) -> list[MemoryRecord]:
        """Return what the market was like when the forecast was made, with what came of it, where that was kept."""
        score = event.score
        if score.direction is not Direction.UP:
            return []
        name = score.forecast_id
        met = [decode(each.kind, parse_json(each.body)) for each in self._past(event.trajectory_id)]
        found = [each.situation for each in met if isinstance(each, events.SituationMet) and each.situation.id == name]
        return [self._situation(each, score.realised_bps, row) for each in found[:1]]

    def _situation(self, situation: Situation, move_bps: int, row: JournalRow) -> MemoryRecord:
        symbol = self._symbol(situation.mint)
        text = f"{situation_text(situation, symbol)} {outcome_text(situation, move_bps)}"
        figures = {
            **encode_record(situation),
            "trajectory_id": public_id(self._run_id, situation.trajectory_id),
            "move_bps": move_bps,
        }
        record = self._note(row, "situation", text, figures, tags=(situation.strategy, symbol), embed=True)
        return replace(record, namespace=f"{STRATEGIES}/{situation.strategy}")

    def _recall_judged(self, event: events.RecallJudged, row: JournalRow) -> list[MemoryRecord]:
        return [self._note(row, "recall", judged_text(event), encode_record(event), tags=(event.strategy,), embed=True)]

    def _universe_ranked(self, event: events.UniverseRanked, row: JournalRow) -> list[MemoryRecord]:
        symbols = [self._symbol(each.mint) for each in event.ranked]
        text = ranking_text(event, symbols)
        return [self._note(row, "ranking", text, encode_record(event), tags=(event.occasion,))]

    def _order_approved(self, event: events.OrderApproved, row: JournalRow) -> list[MemoryRecord]:
        order = event.order
        records: list[MemoryRecord] = []
        signal = self._signals.pop(f"{order.trajectory_id}/{order.ts_ns}", None)
        if signal is not None:
            if order.purpose is Purpose.ENTRY:
                records.append(self._opened(order, signal, row))
            text = f"Signal of {signal.strategy} on {self._symbol(order.mint)}: {signal.reason}"
            step = self._step(row, order.trajectory_id, "signal", text, _signal_body(signal))
            records.append(replace(step, cites=cited_by(signal)))
        measures = [encode_record(measure) for measure in event.measures]
        limits = "1 limit" if len(measures) == 1 else f"{len(measures)} limits"
        verdict = f"Approved by the risk gate, within {limits}."
        if order.purpose is Purpose.EXIT:
            verdict = "Approved by the risk gate: limits bind entries and never hold an exit back."
        records.append(self._step(row, order.trajectory_id, "verdict", verdict, {"measures": measures}))
        text = f"Order to {order.side.value} {self._amount_in(order)}: {order.reason}"
        body = self._order_body(order)
        if event.impact is not None:
            text = f"{text}. {impact_text(event.impact)}"
            body["impact"] = encode_record(event.impact)
        records.append(self._step(row, order.trajectory_id, "order", text, body))
        return records

    def _opened(self, order: Order, signal: Signal, row: JournalRow) -> MemoryRecord:
        symbol = self._symbol(order.mint)
        return MemoryRecord(
            action="open",
            key=self._key(row, "open"),
            ts_event_ns=row.ts_ns,
            namespace=NAMESPACE,
            kind="trade",
            title=f"{order.strategy} buys {symbol}",
            text=f"{order.strategy} buys {symbol} for {sol_text(order.amount_in)} SOL: {signal.reason}",
            tags=(order.strategy, symbol),
            metadata={"mint": order.mint, "bucket": order.bucket, "order_id": public_id(self._run_id, order.id)},
            trajectory_id=public_id(self._run_id, order.trajectory_id),
            embed=True,
        )

    def _order_denied(self, event: events.OrderDenied, row: JournalRow) -> list[MemoryRecord]:
        order, denied = event.order, event.denied
        signal = self._signals.pop(f"{order.trajectory_id}/{order.ts_ns}", None)
        said = f" It said: {signal.reason}" if signal else ""
        text = (
            f"The risk gate denied {order.strategy} to {order.side.value} {self._amount_in(order)} "
            f"({denied.reason}): {denied.message}.{said}"
        )
        figures = {**self._order_body(order), "denied": encode_record(denied)}
        if signal:
            figures["signal"] = _signal_body(signal)
        return [self._note(row, "signal", text, figures, tags=(order.strategy, denied.reason))]

    def _order_filled(self, event: events.OrderFilled, row: JournalRow) -> list[MemoryRecord]:
        fill = event.fill
        verb = "Bought" if fill.side is Side.BUY else "Sold"
        text = (
            f"{verb} {self._tokens(fill.mint, fill.base_units)} for {sol_text(fill.lamports)} SOL, "
            f"slippage {fill.slippage_bps} bps."
        )
        figures = encode_record(fill) | {"order_id": public_id(self._run_id, fill.order_id)}
        return [self._step(row, event.trajectory_id, "fill", text, figures)]

    def _order_rejected(self, event: events.OrderRejected, row: JournalRow) -> list[MemoryRecord]:
        rejected = event.rejected
        text = f"The venue rejected the order ({rejected.reason}): {rejected.message}."
        figures = encode_record(rejected) | {"order_id": public_id(self._run_id, rejected.order_id)}
        return [self._step(row, event.trajectory_id, "rejection", text, figures)]

    def _written_off(self, event: events.PositionWrittenOff, row: JournalRow) -> list[MemoryRecord]:
        text = f"{self._symbol(event.mint)} was written off, all of its cost is lost: {event.reason}"
        return [self._step(row, event.trajectory_id, "write_off", text, encode_record(event))]

    def _position_closed(self, event: events.PositionClosed, row: JournalRow) -> list[MemoryRecord]:
        before = [
            decode(past.kind, parse_json(past.body)) for past in self._past(event.trajectory_id) if past.seq < row.seq
        ]
        told = outcome_of(event, before, self._instruments.get(event.mint))
        return [
            MemoryRecord(
                action="close",
                key=self._key(row, "close"),
                ts_event_ns=row.ts_ns,
                namespace=NAMESPACE,
                kind="trade",
                text=told.text,
                metadata=told.figures,
                trajectory_id=public_id(self._run_id, event.trajectory_id),
                outcome=told.outcome,
                reward_lamports=event.realised_lamports,
                embed=True,
            )
        ]

    def _state_changed(self, event: events.TradingStateChanged, row: JournalRow) -> list[MemoryRecord]:
        entries = "allowed" if event.entries_allowed else "stopped"
        text = f"Trading went from {event.before.value} to {event.after.value}, entries {entries}: {event.reason}"
        return [self._note(row, "state", text, {"state": event.after.value}, embed=True)]

    def _level_changed(self, event: events.LevelStateChanged, row: JournalRow) -> list[MemoryRecord]:
        what = f"{event.level.value} {event.name}"
        text = f"The {what} went from {event.before.value} to {event.after.value}: {event.reason}"
        return [self._note(row, "state", text, {"state": event.after.value, "level": what}, embed=True)]

    def _gap_seen(self, event: events.GapSeen, row: JournalRow) -> list[MemoryRecord]:
        done = Counter(step.action.value for step in event.steps)
        told = ", ".join(f"{count} to {action}" for action, count in sorted(done.items())) or "none were open"
        figures = {"since": event.since_ns, "positions": dict(done)}
        return [self._note(row, "gap", f"A gap: {event.reason}. Positions: {told}.", figures, embed=True)]

    def _profile_switched(self, event: events.ProfileSwitched, row: JournalRow) -> list[MemoryRecord]:
        told = [encode_record(each) for each in event.changes]
        figures = {"before": event.before, "after": event.after, "sha256": event.sha256, "changes": told}
        return [self._note(row, "profile", switch_text(event), figures, embed=True)]

    def _promoted(self, event: events.StrategyPromoted | events.StrategyDemoted, row: JournalRow) -> list[MemoryRecord]:
        """Tell a step twice: as a memory of the strategy, and as an alert."""
        is_up = isinstance(event, events.StrategyPromoted)
        text = promotion_text(event) if isinstance(event, events.StrategyPromoted) else demotion_text(event)
        word = "promoted" if is_up else "demoted"
        tags = (event.strategy, event.candidate, word)
        told = self._note(row, PROMOTION, text, encode_record(event), tags=tags, embed=True)
        figures = {"strategy": event.strategy, "candidate": event.candidate, "step": word}
        return [
            replace(told, namespace=f"{STRATEGIES}/{event.strategy}"),
            self._note(row, ALERT, text, figures, tags=(PROMOTION, *tags), embed=True),
        ]

    def _judged(self, event: events.StrategyJudged, row: JournalRow) -> list[MemoryRecord]:
        tags = (event.strategy, event.candidate, event.stage.value)
        record = self._note(row, "gates", judgement_text(event), encode_record(event), tags=tags)
        return [replace(record, namespace=f"{STRATEGIES}/{event.strategy}")]

    def _tier_changed(self, event: events.TierChanged, row: JournalRow) -> list[MemoryRecord]:
        text = f"The desk went from tier {event.before} to {event.after} at {sol_text(event.equity_lamports)} SOL."
        return [self._note(row, "tier", text, {"before": event.before, "after": event.after}, embed=True)]

    def _window_reported(self, event: events.WindowReported, row: JournalRow) -> list[MemoryRecord]:
        figures = encode_record(event)
        cells = [
            {**encode_record(cell), "evidence": [public_id(self._run_id, each) for each in cell.evidence]}
            for cell in event.cells
        ]
        named = dict.fromkeys((*event.evidence, *(each for cell in event.cells for each in cell.evidence)))
        evidence = tuple(public_id(self._run_id, each) for each in list(named)[:EVIDENCE_MAX])
        # A window without a trade is found by its words and its time; by meaning every quiet day would be alike.
        figures = figures | {"evidence": list(evidence), **({"cells": cells} if cells else {})}
        record = self._note(row, "digest", window_text(event), figures, embed=event.trades > 0)
        tags = (event.strategy, event.tier, event.occasion)
        return [replace(record, namespace=f"{STRATEGIES}/{event.strategy}", tags=tags, cites=evidence)]

    def _shares_rotated(self, event: events.SharesRotated, row: JournalRow) -> list[MemoryRecord]:
        # Found by meaning where something moved; days on which nothing did are alike.
        is_move = event.verdict is RotationVerdict.MOVED
        return [
            self._note(
                row,
                "rotation",
                rotation_text(event),
                encode_record(event),
                tags=(event.verdict.value, *(each.strategy for each in event.shares)),
                embed=is_move,
            )
        ]

    def _capital_flow(
        self, event: events.CapitalDeposited | events.CapitalWithdrawn, row: JournalRow
    ) -> list[MemoryRecord]:
        verb = "Deposited" if isinstance(event, events.CapitalDeposited) else "Withdrew"
        text = f"{verb} {sol_text(event.lamports)} SOL in bucket {event.bucket}: {event.reason}"
        return [self._note(row, "flow", text, {"lamports": event.lamports, "bucket": event.bucket})]

    def _capital_moved(self, event: events.CapitalMoved, row: JournalRow) -> list[MemoryRecord]:
        text = (
            f"Moved {sol_text(event.lamports)} SOL from bucket {event.from_bucket} to {event.to_bucket}: {event.reason}"
        )
        figures = {"lamports": event.lamports, "from_bucket": event.from_bucket, "to_bucket": event.to_bucket}
        return [self._note(row, "flow", text, figures)]

    def _kept_up(self, event: events.AccountClosed | events.FeePaid, row: JournalRow) -> list[MemoryRecord]:
        lamports = f"{sol_text(event.lamports)} SOL"
        if isinstance(event, events.AccountClosed):
            text = f"The deposit of {lamports} for an account of {self._symbol(event.mint)} came back: {event.reason}"
            return [self._note(row, "flow", text, {"lamports": event.lamports, "mint": event.mint})]
        text = f"Bucket {event.bucket} paid a fee of {lamports} {event.reason}"
        return [self._note(row, "flow", text, {"lamports": event.lamports, "bucket": event.bucket})]

    def _step(
        self, row: JournalRow, trajectory_id: str, step: str, text: str, figures: Mapping[str, Any]
    ) -> MemoryRecord:
        return MemoryRecord(
            action="step",
            key=self._key(row, step),
            ts_event_ns=row.ts_ns,
            namespace=NAMESPACE,
            kind=step,
            text=text,
            metadata=dict(figures),
            trajectory_id=public_id(self._run_id, trajectory_id),
        )

    def _note(
        self,
        row: JournalRow,
        kind: str,
        text: str,
        figures: Mapping[str, Any],
        *,
        tags: tuple[str, ...] = (),
        embed: bool = False,
    ) -> MemoryRecord:
        return MemoryRecord(
            action="note",
            key=self._key(row, kind),
            ts_event_ns=row.ts_ns or self._began_ns,
            namespace=NAMESPACE,
            kind=kind,
            text=text,
            tags=tags,
            metadata={**figures, "run_id": self._run_id},
            embed=embed,
        )

    def _key(self, row: JournalRow, part: str) -> str:
        return f"{self._run_id}/{row.seq}/{part}"

    def _symbol(self, mint: str) -> str:
        instrument = self._instruments.get(mint)
        return instrument.symbol if instrument else mint

    def _tokens(self, mint: str, base_units: int) -> str:
        return tokens_text(base_units, mint, self._instruments.get(mint))

    def _amount_in(self, order: Order) -> str:
        if order.side is Side.BUY:
            return f"{self._symbol(order.mint)} for {sol_text(order.amount_in)} SOL"
        return self._tokens(order.mint, order.amount_in)

    def _order_body(self, order: Order) -> dict[str, Any]:
        return encode_record(order) | {
            "id": public_id(self._run_id, order.id),
            "trajectory_id": public_id(self._run_id, order.trajectory_id),
        }


def _signal_body(signal: Signal) -> dict[str, Any]:
    return encode_record(signal)

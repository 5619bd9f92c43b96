"""The report on a run, finished or still going on, as one document: page and terminal show these figures, no others.

Read once through the journal for the figures and once through the bars for prices; what is drawn is thinned on the way,
so a long run takes no more memory than a short one.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from trading.adapters.canonical import parse_json
from trading.adapters.exit_rows import time_to_flat
from trading.adapters.trial_ledger import Standing, family_of
from trading.engine.inputs import ENDED, INPUT, LISTED, decode_input
from trading.engine.kernel import CYCLE_MARKED
from trading.engine.state import RETURN_PERIOD_NS
from trading.errors import DataError, InvalidInput
from trading.feeds.select import reopen
from trading.model import events
from trading.model.event_codec import decode
from trading.model.instrument import Instrument
from trading.model.market_data import Bar, TokenListed
from trading.model.order import Purpose, Side
from trading.model.tier import tier_of
from trading.model.time_to_flat import TimeToFlat
from trading.model.units import BPS_ONE, NS_PER_S, ratio_bps
from trading.portfolio.account_fold import COST_KINDS, AccountFold, Costs, Tally
from trading.portfolio.buckets import Booking
from trading.portfolio.performance import Skill, skill
from trading.ports import Feed, Journal

from .assembly import RunPlan
from .backtest import CONVENTIONS
from .documents import Document, amount, iso, price_sol, tokens
from .plans import KeptPlan
from .recorded_runs import EXECUTION_NAME, RecordedRun
from .report_series import Drawn

NEWEST_TRADES: Final = 100
EVERY_CYCLE: Final = "one at the end of each cycle"
MARKS: Final = "one at the end of a cycle in which something happened, and one an hour; the largest drawdown is theirs"
_KINDS: Final = (
    "run_started",
    "capital_deposited",
    "capital_withdrawn",
    "capital_moved",
    "account_closed",
    "fee_paid",
    "signal_raised",
    "signal_passed",
    "order_approved",
    "order_denied",
    "order_filled",
    "order_rejected",
    "position_written_off",
    "profile_switched",
    "tier_changed",
    CYCLE_MARKED,
    LISTED,
    ENDED,
)


@dataclass(frozen=True, slots=True)
class ReportSource:
    """What a report is made of. ``result``: what the engine said of a finished backtest. ``bars``: where the prices of
    a run by reference are read, if not where they were; ``standing``: how often its strategies were tried;
    ``on_chain``: how long its exits took there, None for a run whose orders went to no chain."""

    run_id: str
    journal: Journal
    plan: RunPlan
    result: Mapping[str, Any] | None = None
    bars: Feed | None = None
    standing: Callable[[str], Standing] | None = None
    on_chain: TimeToFlat | None = None

    @classmethod
    def of(cls, run: RecordedRun, standing: Callable[[str], Standing] | None = None) -> "ReportSource":
        """Return the source that a recorded run is. Raises: InvalidInput for one that does not say what it is of."""
        kept: KeptPlan = run.plan()
        on_chain = time_to_flat(run.path.parent / EXECUTION_NAME, run.run_id)
        return cls(run.run_id, run.journal, kept.plan, run.result(), standing=standing, on_chain=on_chain)


def report_of(source: ReportSource) -> Document:
    """Return the report. Raises: DataError for rows that cannot be read."""
    return _Builder(source).document()


class _Builder:
    def __init__(self, source: ReportSource) -> None:
        self._source = source
        journal = source.journal
        first = next(iter(journal.rows(kinds=(CYCLE_MARKED,))), None)
        newest = journal.newest((CYCLE_MARKED,))
        span = (first.ts_ns, newest[0].ts_ns) if first is not None and newest else (0, 0)
        self._fold = AccountFold(RETURN_PERIOD_NS)
        self._drawn = Drawn(*span)
        self._instruments: dict[str, Instrument] = {}
        self._newest: deque[tuple[events.OrderFilled, Booking | None, str]] = deque(maxlen=NEWEST_TRADES)
        self._reasons: dict[str, str] = {}
        self._profile = source.plan.profile.name
        self._tier: str | None = None
        self._parameters: dict[str, Any] = {}
        self._has_ended = False
        self._exits = TimeToFlat()
        for row in journal.rows(kinds=_KINDS):
            self._take(row.kind, row.ts_ns, parse_json(row.body))

    def _take(self, kind: str, ts_ns: int, body: dict[str, Any]) -> None:
        if kind == ENDED:
            self._has_ended = True
            return
        if kind == LISTED:
            listed = decode_input(kind, ts_ns, body)
            assert isinstance(listed, TokenListed)
            self._instruments[listed.instrument.mint] = listed.instrument
            return
        event = decode(kind, body)
        booking = self._fold.take(event)
        match event:
            case events.CycleMarked():
                self._drawn.mark(event, self._fold.curve.drawdown_bps, self._fold.curve.net_flows_lamports)
            case events.OrderApproved(order=order):
                self._reasons[order.id] = order.reason
                if order.purpose is Purpose.EXIT:
                    self._exits.decided((order.bucket, order.mint), order.ts_ns)
            case events.OrderRejected(rejected=rejected):
                self._reasons.pop(rejected.order_id, None)
            case events.OrderFilled(fill=fill):
                self._drawn.fill(fill)
                if fill.side is Side.SELL:
                    self._exits.filled((event.bucket, fill.mint), fill.ts_ns)
                self._newest.append((event, booking, self._reasons.pop(fill.order_id, "")))
            case events.RunStarted(parameters=parameters):
                self._parameters = parse_json(parameters.encode()) if parameters else {}
            case events.PositionWrittenOff():
                self._exits.given_up((event.bucket, event.mint))
            case events.ProfileSwitched(after=after):
                self._profile = after
            case events.TierChanged(after=after):
                self._tier = after

    def document(self) -> Document:
        fold, plan, result = self._fold, self._source.plan, self._source.result or {}
        first, last = fold.first, fold.last
        prices = self._prices()
        return {
            "run_id": self._source.run_id,
            "mode": plan.mode,
            "money": "real" if plan.mode == "live" else "paper",
            "feed": {"kind": plan.feed.kind, "detail": plan.feed.detail, "interval_s": plan.feed.interval_s},
            "profile": self._profile,
            "tier": self._tier or tier_of(fold.start_lamports).name,
            "is_finished": self._has_ended,
            "first": None if first is None else iso(first.ts_ns),
            "last": None if last is None else iso(last.ts_ns),
            "cycles": 0 if last is None else last.cycle,
            **self._account(),
            **self._skill(),
            "benchmarks": self._benchmarks(result),
            "trades": fold.total.fills,
            "signals": fold.signals,
            "rejections": fold.rejections,
            "total": _tally(fold.total, ""),
            "time_to_flat": self._time_to_flat(),
            "costs": _costs(fold.total.costs),
            "costs_of_capital_bps": ratio_bps(fold.total.costs.total, fold.curve.net_flows_lamports),
            "strategies": [
                {**_tally(each, each.name), "parameters": self._parameters.get(each.name, {})}
                for each in self._by_name(fold.strategies)
            ],
            "tokens": [
                {**_tally(each, self._symbol(each.name)), "mint": each.name, **self._held(each.name)}
                for each in sorted(fold.tokens.values(), key=lambda each: (-each.turnover_lamports, each.name))
            ],
            "denials": dict(sorted(fold.denials.items(), key=lambda each: (-each[1], each[0]))),
            "newest_trades": [self._trade(*each) for each in reversed(self._newest)],
            "rests_on": self._rests_on(),
            "series": self._drawn.series(result.get("curve")),
            "prices": prices,
        }

    def _by_name(self, tallies: Mapping[str, Tally]) -> list[Tally]:
        """Return the strategies of the run in the order of their first trade, those that never traded behind."""
        idle = [name for name in self._parameters if name not in tallies]
        return [*tallies.values(), *(Tally(name) for name in idle)]

    def _account(self) -> Document:
        fold, last, result = self._fold, self._fold.last, self._source.result or {}
        drawn = result.get("curve", {}).get("drawdown_bps") or [fold.curve.drawdown_bps]
        usd = None if last is None else last.sol_usd
        end = fold.curve.equity_lamports
        return {
            "equity_start_lamports": fold.start_lamports,
            "equity_end_lamports": end,
            "equity_start": amount(fold.start_lamports, None if fold.first is None else fold.first.sol_usd),
            "equity_end": amount(end, usd),
            "net_flows_lamports": fold.curve.net_flows_lamports - fold.start_lamports,
            "return_bps": fold.curve.time_weighted_return_bps,
            "realised": amount(fold.ledger.realised_lamports, usd),
            "max_drawdown_bps": result.get("max_drawdown_bps", fold.curve.max_drawdown_bps),
            "drawdown_bps": drawn[-1],
            "exposure_bps_mean": fold.exposure_bps_mean,
            "exposure_bps_max": fold.exposure_bps_max,
            "marks": fold.marks,
        }

    def _skill(self) -> Document:
        """Return the engine's own figures for a finished backtest, else those of the marks and the ledger of trials."""
        result = self._source.result
        if result is not None:
            named = ("sharpe", "deflated_sharpe", "trials")
            return {**{name: result[name] for name in named}, "days": self._fold.curve.moments().count}
        strategies = [choice.name for choice in self._source.plan.profile.strategies]
        counted = None if self._source.standing is None else self._source.standing(family_of(strategies))
        standing = counted or Standing(1, None)
        found: Skill = skill(
            self._fold.curve.moments(), max(1, standing.trials), standing.sharpe_variance, RETURN_PERIOD_NS / NS_PER_S
        )
        return {
            "sharpe": found.sharpe,
            "deflated_sharpe": found.deflated_sharpe,
            "trials": found.trials,
            "days": found.periods,
        }

    def _benchmarks(self, result: Mapping[str, Any]) -> Document:
        if "benchmarks" in result:
            return dict(result["benchmarks"])
        first, last = self._fold.first, self._fold.last
        usd = None
        if first is not None and last is not None and first.sol_usd and last.sol_usd:
            usd = int((last.sol_usd / first.sol_usd - 1) * BPS_ONE)
        return {"hold_sol": {"return_bps": 0, "usd_return_bps": usd}, "hold_tokens": {"return_bps": None}}

    def _time_to_flat(self) -> Document:
        """Return how long exits took: on a chain by the wall's clock, else by the market's, which moves with bars."""
        on_chain = self._source.on_chain
        return self._exits.document("market") if on_chain is None else on_chain.document("wall")

    def _rests_on(self) -> Document:
        plan = self._source.plan
        recorded = plan.feed.liquidity == "recorded"
        return {
            "conventions": CONVENTIONS,
            "conditions": plan.conditions.name,
            "liquidity": "recorded with the bars" if recorded else plan.conditions.liquidity_text(),
            "seed": plan.seed,
            "marks": MARKS if plan.by_reference and self._source.result is None else EVERY_CYCLE,
            "returns": "daily (UTC), time-weighted: deposits and withdrawals are no return",
            "inputs": [f"{name} {digest[:16]}" for name, digest in plan.feed.inputs],
        }

    def _symbol(self, mint: str) -> str:
        known = self._instruments.get(mint)
        return mint if known is None else known.symbol

    def _decimals(self, mint: str) -> int:
        known = self._instruments.get(mint)
        return 0 if known is None else known.decimals

    def _held(self, mint: str) -> Document:
        held = self._fold.ledger.holding(mint)
        if held is None:
            return {"held": "0", "held_cost_lamports": 0}
        return {"held": tokens(held.base_units, self._decimals(mint)), "held_cost_lamports": held.cost_lamports}

    def _trade(self, filled: events.OrderFilled, booking: Booking | None, reason: str) -> Document:
        fill = filled.fill
        return {
            "ts": iso(fill.ts_ns),
            "side": fill.side.value,
            "symbol": self._symbol(fill.mint),
            "strategy": filled.strategy,
            "lamports": fill.lamports,
            "amount": tokens(fill.base_units, self._decimals(fill.mint)),
            "price_sol": price_sol(fill.lamports, fill.base_units, self._decimals(fill.mint)),
            "realised_lamports": None if booking is None else booking.realised_lamports,
            "slippage_bps": fill.slippage_bps,
            "reason": reason,
        }

    # Prices

    def _prices(self) -> Document:
        """Return the prices of the tokens with the most fills, and the fills on them."""
        mints = self._drawn.busiest()
        said = ""
        if mints:
            try:
                for bar in self._bars():
                    self._drawn.bar(bar)
            except (InvalidInput, DataError) as error:
                said = f"prices at fills only: the bars cannot be read ({error.message})"
        drawn = [
            {"mint": mint, "symbol": self._symbol(mint), **self._drawn.prices(mint, self._decimals(mint))}
            for mint in mints
        ]
        return {"tokens": drawn, "left_out": max(0, len(self._fold.tokens) - len(mints)), "note": said}

    def _bars(self) -> Iterator[Bar]:
        plan = self._source.plan
        if not plan.by_reference:
            for row in self._source.journal.rows(kinds=(INPUT,)):
                event = decode_input(row.kind, row.ts_ns, parse_json(row.body))
                if isinstance(event, Bar):
                    yield event
            return
        feed = self._source.bars or reopen(plan.feed.origin)
        if feed.description.inputs != plan.feed.inputs:
            msg = "they are other ones than the run was made from"
            raise DataError(msg, field="data")
        for event in feed.events():
            if isinstance(event, Bar):
                if event.ts_close_ns > self._drawn.last_ns:
                    return
                yield event


def _tally(each: Tally, name: str) -> Document:
    return {
        "name": name,
        "fills": each.fills,
        "round_trips": each.round_trips,
        "wins": each.wins,
        "win_rate_bps": each.win_rate_bps,
        "realised_lamports": each.realised_lamports,
        "return_bps": each.return_bps,
        "turnover_lamports": each.turnover_lamports,
        "mean_slippage_bps": each.mean_slippage_bps,
        "mean_holding_s": each.mean_holding_s,
        "costs": _costs(each.costs),
        "cost_of_turnover_bps": each.cost_of_turnover_bps,
    }


def _costs(costs: Costs) -> Document:
    """Return sums by kind, and each kind's share of what was spent; rent is a deposit and has none."""
    return {
        **{f"{kind}_lamports": getattr(costs, kind) for kind in (*COST_KINDS, "rent")},
        "network_lamports": costs.network,
        "total_lamports": costs.total,
        "share_bps": {kind: costs.share_bps(kind) for kind in COST_KINDS},
    }

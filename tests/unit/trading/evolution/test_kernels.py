"""What kernels make of opinions, against the full engine on the same bars and against a plain account."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import yardstick
from tests.support.trading import STEP, T0, make_bar
from tests.support.yardstick import BARS_START_NS, EQUITY_LAMPORTS, FAST, FEE_BPS, MINT, MINUTE_NS, SLOW, Walk

from trading.adapters.canonical import parse_json
from trading.adapters.memory_journal import MemoryJournal
from trading.errors import InvalidInput
from trading.evolution.kernels import Market, Terms, fills, opinions, screen, screenable
from trading.evolution.kernels.account import equity_of_fills
from trading.model.event_codec import decode
from trading.model.events import CycleMarked, OrderFilled
from trading.model.market_data import Bar
from trading.model.network import SIGNATURE_FEE_LAMPORTS
from trading.model.order import Side
from trading.model.profile import BASELINE, ExitRules
from trading.runtime.assembly import RunPlan, begin, make_kernel
from trading.strategies.parameters import Value

SOL = 10**9
ONE_TOKEN_EACH = Terms(fee_bps=FEE_BPS, units=1.0, equity=EQUITY_LAMPORTS / SOL)
PAIR: Mapping[str, Value] = {"fast_bars": FAST, "slow_bars": SLOW}


def engine_run(prices: Walk) -> MemoryJournal:
    feed = yardstick.feed_of(prices)
    plan = RunPlan("backtest", feed.description, yardstick.profile(), EQUITY_LAMPORTS, 10**16)
    journal = MemoryJournal()
    kernel = make_kernel(plan, "run", journal)
    begin(kernel)
    for event in feed.events():
        kernel.on_event(event)
    kernel.end()
    journal.commit()
    return journal


def told(journal: MemoryJournal, kind: str) -> list[Any]:
    return [decode(row.kind, parse_json(row.body)) for row in journal.rows(kinds=(kind,))]


@pytest.fixture(scope="module")
def walk() -> Walk:
    return yardstick.walk(6_000)


@pytest.fixture(scope="module")
def journal(walk: Walk) -> MemoryJournal:
    return engine_run(walk)


@pytest.fixture(scope="module")
def market(walk: Walk) -> Market:
    return Market.of({MINT: list(yardstick.bars_of(walk))}, ONE_TOKEN_EACH)


def bar_of(ts_ns: int) -> int:
    return (ts_ns - BARS_START_NS) // MINUTE_NS


@pytest.mark.requirement("T1")
def test_a_kernel_alone_trades_what_the_engine_trades(market: Market, journal: MemoryJournal) -> None:
    filled: list[OrderFilled] = told(journal, "order_filled")
    assert len(filled) > 100
    mine = [(each.ts_ns, each.is_buy) for each in fills("sma_cross", market, PAIR)]
    assert mine == [(each.fill.ts_ns, each.fill.side is Side.BUY) for each in filled]
    screened = screen("sma_cross", market, [PAIR])
    assert screened.trades[0] == len(filled) // 2
    end: CycleMarked = told(journal, "cycle_marked")[-1]
    # The kernel knows neither network fees nor impact here.
    costs = sum(SIGNATURE_FEE_LAMPORTS + each.fill.impact_lamports for each in filled)
    profit = (end.equity_lamports - EQUITY_LAMPORTS + costs) / SOL
    assert profit_of(screened.returns[0]) == pytest.approx(profit, rel=1e-6)


def profit_of(returns: Sequence[float]) -> float:
    return ONE_TOKEN_EACH.equity * math.expm1(sum(math.log1p(each) for each in returns))


@pytest.mark.requirement("T1")
def test_given_the_engines_fills_the_kernels_equity_is_the_engines(market: Market, journal: MemoryJournal) -> None:
    given = []
    for each in told(journal, "order_filled"):
        fill = each.fill
        sign = 1 if fill.side is Side.BUY else -1
        fees = fill.network_fee_lamports + fill.priority_fee_lamports
        paid = Decimal(sign * fill.lamports + fees) / SOL
        given.append((bar_of(fill.ts_ns), sign * fill.base_units / yardstick.ONE_TOKEN, float(paid)))
    equity = equity_of_fills(market, given, EQUITY_LAMPORTS / SOL)
    marks: list[CycleMarked] = told(journal, "cycle_marked")
    assert len(marks) > 200
    for mark in marks:
        assert equity[bar_of(mark.ts_ns) - 1] == pytest.approx(mark.equity_lamports / SOL, rel=1e-9)


class Plain:
    """An account as one would write it down first: every token at every time, exits asked one by one."""

    def __init__(self, bars: Mapping[str, Sequence[Bar]], terms: Terms) -> None:
        self.terms, self.exits = terms, terms.exits
        self.bars = {(bar.mint, bar.ts_close_ns): bar for each in bars.values() for bar in each}
        self.times = sorted({ts_ns for _, ts_ns in self.bars})
        self.mints = sorted(bars)
        self.newest: dict[str, Bar] = {}
        self.held: dict[str, dict[str, float]] = {}
        self.stakes: dict[str, float] = {}
        self.leaving: set[str] = set()
        self.cash = terms.equity
        self.trips, self.days, self.deepest = 0, dict[int, float](), 0.0
        fee, cost = terms.fee_bps / 1e4, terms.cost_bps / 1e4
        self.buys, self.sells = (1 + fee) * (1 + cost), (1 - fee) * (1 - cost)

    def run(self, said: Mapping[tuple[str, int], tuple[float, int]]) -> None:
        peak = self.terms.equity
        for ts_ns in self.times:
            for mint in self.mints:
                if (mint, ts_ns) in self.bars:
                    self.fill(self.bars[mint, ts_ns])
            now = {mint: said[mint, ts_ns] for mint in self.mints if (mint, ts_ns) in said}
            for mint in self.held:
                if self.is_over(mint, ts_ns) or now.get(mint, (1.0, 0))[0] < 0:
                    self.leaving.add(mint)
            worth = self.worth()
            self.enter({mint: each for mint, each in now.items() if each[0] >= 0}, worth, ts_ns)
            peak = max(peak, worth)
            self.deepest = max(self.deepest, 1 - worth / peak)
            self.days[(ts_ns - 1) // (86_400 * SOL)] = worth

    def fill(self, bar: Bar) -> None:
        mint, opened = bar.mint, float(bar.open)
        self.newest[mint] = bar
        if mint in self.leaving:
            self.cash += self.sold(self.held.pop(mint)["units"] * opened)
            self.leaving.discard(mint)
            self.trips += 1
        elif mint in self.stakes:
            stake = self.stakes.pop(mint)
            self.cash -= stake
            spent = stake / self.buys
            units = spent / (opened * (1 + spent / self.terms.pool_sol))
            self.held[mint] = {"units": units, "cost": stake, "since_ns": bar.ts_open_ns, "peak": 0.0}

    def is_over(self, mint: str, ts_ns: int) -> bool:
        held, exits = self.held[mint], self.exits
        close = float(self.newest[mint].close)
        held["peak"] = max(held["peak"], close)
        if exits is None:
            return False
        gain = close * held["units"] / held["cost"] - 1
        is_armed = held["peak"] * held["units"] / held["cost"] - 1 >= exits.trailing_arm_bps / 1e4
        return bool(
            (exits.stop_loss_bps and gain <= -exits.stop_loss_bps / 1e4)
            or (exits.take_profit_bps and gain >= exits.take_profit_bps / 1e4)
            or (exits.trailing_stop_bps and is_armed and 1 - close / held["peak"] >= exits.trailing_stop_bps / 1e4)
            or ts_ns - held["since_ns"] >= exits.holding_s_max * SOL
        )

    def worth(self) -> float:
        marks = (held["units"] * float(self.newest[mint].close) for mint, held in self.held.items())
        return self.cash + sum(map(self.sold, marks))

    def sold(self, worth: float) -> float:
        return worth / (1 + worth / self.terms.pool_sol) * self.sells

    def enter(self, ups: Mapping[str, tuple[float, int]], worth: float, ts_ns: int) -> None:
        for mint in sorted(ups, key=lambda mint: (-ups[mint][0] * ups[mint][1], mint)):
            strength, edge_bps = ups[mint]
            least = self.terms.edge_over_cost_bps_min + 2 * (self.terms.fee_bps + self.terms.cost_bps)
            next_bar = self.bars.get((mint, ts_ns + STEP))
            count = len(self.held) + len(self.stakes)
            if mint in self.held or next_bar is None or count >= self.terms.positions_max:
                continue
            stake = min(worth * self.terms.stake_share * strength, self.cash - sum(self.stakes.values()))
            is_worth_it = edge_bps >= least + 20_000 * stake / self.terms.pool_sol
            is_worth_it = is_worth_it or self.terms.edge_over_cost_bps_min == -10_000
            if stake > worth * 1e-6 and is_worth_it:
                self.stakes[mint] = stake


def a_market(chance: Random, tokens: int, bars: int) -> dict[str, list[Bar]]:
    found: dict[str, list[Bar]] = {}
    for mint in "abc"[:tokens]:
        price, now_ns = 100.0, T0 + STEP * chance.randrange(40)
        found[mint] = []
        for number in range(bars):
            now_ns += STEP * (1 if chance.random() < 0.97 else 30)
            opened = price * math.exp(chance.gauss(0, 0.002))
            price = opened * math.exp(chance.gauss(0, 0.02))
            sol_usd = Decimal(round(15_000 + 4_000 * math.sin(now_ns // STEP / 6))) / 100
            times = {"ts_open_ns": now_ns - STEP, "ts_close_ns": now_ns}
            bar = make_bar(number, f"{price:.6f}", mint=mint, sol_usd=sol_usd, **times)
            shown = Decimal(f"{opened:.6f}")
            found[mint].append(replace(bar, open=shown, high=max(shown, bar.close), low=min(shown, bar.close)))
    return found


EXITS = st.builds(
    ExitRules,
    stop_loss_bps=st.sampled_from([0, 200, 500]),
    trailing_stop_bps=st.sampled_from([0, 300]),
    trailing_arm_bps=st.sampled_from([0, 200]),
    take_profit_bps=st.sampled_from([0, 400]),
    holding_s_max=st.sampled_from([7_200, 30 * 86_400]),
)
TERMS = st.builds(
    Terms,
    fee_bps=st.sampled_from([0, 30, 300]),
    cost_bps=st.sampled_from([0, 20]),
    stake_share=st.sampled_from([0.1, 0.7, 1.0]),
    exits=st.none() | EXITS,
    edge_over_cost_bps_min=st.sampled_from([-10_000, 0, 200]),
    positions_max=st.sampled_from([1, 2, 1_000]),
    pool_sol=st.sampled_from([math.inf, 20.0]),
)


@pytest.mark.requirement("T11")
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3), TERMS, st.integers(2, 6), st.sampled_from([0.3, 5.0]))
def test_a_screened_set_is_what_a_plain_account_makes_of_it(
    seed: int, tokens: int, terms: Terms, fast_bars: int, edge_share: float
) -> None:
    bars = a_market(Random(seed), tokens, 400)
    market = Market.of(bars, terms)
    values: dict[str, Value] = {"fast_bars": fast_bars, "slow_bars": 9, "edge_share": edge_share}
    plain = Plain(bars, terms)
    said = opinions("sma_cross", market, values)
    plain.run({(each.mint, each.ts_ns): (each.strength, each.edge_bps) for each in said})
    found = screen("sma_cross", market, [{"fast_bars": 1, "slow_bars": 2}, values])
    assert found.trades[1] == plain.trips
    assert found.max_drawdown[1] == pytest.approx(plain.deepest, abs=1e-9)
    equity, before = {}, terms.equity
    for day in market.days.tolist():
        equity[day] = before = plain.days.get(day, before)
    assert terms.equity * np.cumprod(1.0 + found.returns[1]) == pytest.approx(list(equity.values()), rel=1e-9)


@pytest.mark.requirement("T11")
def test_a_part_of_a_market_is_screened_as_if_it_were_all_there_is() -> None:
    bars = a_market(Random(5), 3, 900)
    terms = Terms(fee_bps=30, stake_share=0.3)
    whole = Market.of(bars, terms)
    from_ns, to_ns = T0 + 100 * STEP, T0 + 700 * STEP
    inside = {
        mint: [b for b in each if b.ts_open_ns >= from_ns and b.ts_close_ns <= to_ns] for mint, each in bars.items()
    }
    part, alone = whole.cut(from_ns, to_ns), Market.of(inside, terms)
    assert part.columns.closes is whole.columns.closes
    assert (part.bars, part.days.tolist()) == (alone.bars, alone.days.tolist())
    for name in sorted(screenable()):
        mine, theirs = screen(name, part, [SHORT[name]]), screen(name, alone, [SHORT[name]])
        assert mine.trades[0] == theirs.trades[0] > 0
        assert mine.returns == pytest.approx(theirs.returns, rel=1e-12)
        assert fills(name, part, SHORT[name]) == fills(name, alone, SHORT[name])
    with pytest.raises(InvalidInput, match="no bar opens"):
        whole.cut(to_ns, from_ns)


SHORT: Mapping[str, Mapping[str, Value]] = {
    "lead_lag": {"window_bars": 20, "move_bars": 1, "hold_bars": 2, "entry_deviations": 0.5, "t_min": 0.0},
    "mean_reversion": {"mean_bars": 10, "trend_bars": 20, "entry_z": 1.0, "strength_max": 90.0},
    "momentum_breakout": {"channel_bars": 12, "exit_bars": 4, "volume_ratio": 0.5},
    "sma_cross": {"fast_bars": 3, "slow_bars": 9},
    "trend_following": {"fast_bars": 3, "slow_bars": 9, "range_bars": 5, "entry_ranges": 0.2, "stop_ranges": 1.0},
    "volatility_breakout": {"range_bars": 5, "usual_bars": 20, "quiet_share": 1.2, "widening": 1.3, "hold_bars": 5},
}


def test_what_cannot_be_screened_is_refused() -> None:
    bar = make_bar()
    market = Market.of({"a": [bar]}, Terms(fee_bps=30))
    with pytest.raises(InvalidInput, match="must be below slow_bars"):
        screen("sma_cross", market, [{"fast_bars": 50, "slow_bars": 50}])
    with pytest.raises(InvalidInput, match="sets: from 1"):
        screen("sma_cross", market, [])
    with pytest.raises(InvalidInput, match="has no kernel"):
        screen("launch_scanner", market, [{}])
    with pytest.raises(InvalidInput, match="at least one of a token"):
        Market.of({"a": []}, Terms(fee_bps=30))
    with pytest.raises(InvalidInput, match="all of one length"):
        Market.of({"a": [bar, replace(bar, ts_open_ns=bar.ts_close_ns, ts_close_ns=bar.ts_close_ns + 1)]}, market.terms)
    with pytest.raises(InvalidInput, match="in time order and at prices above 0"):
        Market.of({"a": [bar, bar]}, market.terms)
    with pytest.raises(InvalidInput, match="in time order and at prices above 0"):
        Market.of({"a": [make_bar(close="0")]}, market.terms)
    for wrong in ({"fee_bps": 10_000}, {"fee_bps": 0, "stake_share": 0.0}, {"fee_bps": 0, "equity": 0.0}):
        with pytest.raises(InvalidInput):
            Terms(**wrong)  # type: ignore[arg-type]


def test_terms_of_a_profile_are_its_first_entry() -> None:
    terms = Terms.of(BASELINE, fee_bps=30, equity_lamports=2 * SOL, pool_lamports=1_000 * SOL)
    share = min(BASELINE.sizing.probe_bps, BASELINE.limits.order_bps_max) / 10_000
    assert (terms.stake_share, terms.exits) == (share, BASELINE.exits)
    network = (SIGNATURE_FEE_LAMPORTS + BASELINE.priority_fee_lamports) / (2 * SOL * share)
    assert terms.cost_bps == round(1e4 * network)
    assert (terms.equity, terms.pool_sol) == (2.0, 1_000.0)

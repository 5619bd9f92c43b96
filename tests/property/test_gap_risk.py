"""What a gap may cost, one token at zero or a joint fall: after every decision, and on recorded deaths."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.doubles.kernel_bench import KernelBench, profile
from tests.doubles.scripted_market import MINT, merged, script

from trading.adapters.memory_journal import MemoryJournal
from trading.engine.kernel import Kernel
from trading.engine.trader import Trader
from trading.errors import InvalidInput
from trading.evolution.launch_study import token_feeds
from trading.feeds.replay import ReplayFeed, open_replay
from trading.model import events
from trading.model.market_data import Bar, CycleEnd, MarketEvent
from trading.model.order import Side
from trading.model.profile import BASELINE, FOUNDATION, GAP_JOINT_MOVE_BPS, Limits, Profile, StrategyChoice
from trading.model.units import BPS_ONE
from trading.risk.gap import excess_lamports
from trading.runtime.assembly import RunPlan, begin, make_kernel

OTHER = "sim:BBB"
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def rules(**limits: int) -> Profile:
    """Return rules that buy much, never sell by themselves and let a token be a third of equity, both together half."""
    wanted = profile(
        **{
            "order_bps_max": 3_000,
            "token_exposure_bps_max": 3_000,
            "total_exposure_bps_max": 5_500,
            "edge_over_cost_bps_min": 0,
            "drawdown_reducing_bps": 10_000,
            "drawdown_halted_bps": 10_000,
            "day_loss_bps_max": 10_000,
            "gap_token_bps_max": 3_300,
            "gap_joint_bps_max": 3_400,
            "protections": (),
            "cvar_bps_max": 10_000,
            **limits,
        }
    )
    exits = wanted.exits.model_copy(
        update={"stop_loss_bps": 0, "trailing_stop_bps": 0, "take_profit_bps": 0, "holding_s_max": 10**7}
    )
    sizing = wanted.sizing.model_copy(update={"probe_bps": 2_900, "volatility_target_bps": 10_000})
    return wanted.model_copy(update={"exits": exits, "sizing": sizing})


def breaches(kernel: Kernel) -> list[str]:
    """Say what a gap would cost too much now, counting what is held and not on sale."""
    state, limits = kernel.state, kernel.state.profile.limits
    equity = kernel.valuer.value().equity_lamports
    found, free = [], 0
    for mint, holding in state.ledger.holdings.items():
        on_sale = sum(state.units_on_sale(name, mint) for name in state.ledger.buckets)
        value = kernel.venue.liquidation_lamports(mint, holding.base_units)
        value = value * (holding.base_units - on_sale) // holding.base_units
        free += value
        if value * BPS_ONE > equity * limits.gap_token_bps_max + BPS_ONE * ROUNDING:
            found.append(f"{mint} at zero costs {value} of {equity}")
    if free * GAP_JOINT_MOVE_BPS > equity * limits.gap_joint_bps_max + BPS_ONE * ROUNDING:
        found.append(f"a joint fall costs {free * GAP_JOINT_MOVE_BPS // BPS_ONE} of {equity}")
    return found


ROUNDING = 10
"""Lamports: shares are cut down to whole ones."""


def walk(jumps: Sequence[int], gone_at: int | None) -> list[Decimal | None]:
    price, found = Decimal(1), list[Decimal | None]()
    for number, jump in enumerate(jumps):
        price = (price * (10_000 + jump) / 10_000).quantize(Decimal("0.000001"))
        found.append(price)
        if number == gone_at:
            return [*found, None]
    return found


def markets() -> st.SearchStrategy[list[MarketEvent]]:
    moves = st.lists(st.integers(-3_000, 20_000), min_size=6, max_size=25)
    return st.builds(
        lambda one, two, gone: merged(script(walk(one, None)), script(walk(two, gone), mint=OTHER)),
        moves,
        moves,
        st.none() | st.integers(2, 20),
    )


def run(market: list[MarketEvent], given_rules: Profile) -> list[str]:
    bench = KernelBench(lambda _: 1.0, rules=given_rules)
    found = []
    for event in market:
        bench.kernel.on_event(event)
        if isinstance(event, CycleEnd):
            found += breaches(bench.kernel)
    return found


@pytest.mark.requirement("T7")
@SETTINGS
@given(markets())
def test_after_every_decision_a_gap_costs_at_most_its_limits(market: list[MarketEvent]) -> None:
    assert run(market, rules()) == []


@SETTINGS
@given(st.lists(st.integers(-150, 260), min_size=20, max_size=90))
def test_no_quiet_cycle_passes_over_a_position_that_grew_too_large(jumps: list[int]) -> None:
    market = list[MarketEvent](script(walk(jumps, None)))
    quick, whole = (KernelBench(lambda _: 1.0, rules=rules()) for _ in range(2))
    whole.kernel.quiet.holds = lambda _cycle: False  # type: ignore[method-assign]
    for bench in (quick, whole):
        bench.feed(market)
    assert quick.journal.sha256() == whole.journal.sha256()


def test_the_checker_catches_a_desk_that_lets_a_winner_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    market: list[MarketEvent] = list(script([Decimal(1), Decimal(1), Decimal(2), Decimal(4)]))
    assert run(market, rules()) == []
    monkeypatch.setattr(Trader, "_cut_back", lambda *_: None)
    assert any("at zero costs" in each for each in run(market, rules()))


def test_a_winner_is_cut_back_in_the_event_in_which_it_grew_with_its_reason() -> None:
    bench = KernelBench(lambda _: 1.0, rules=rules()).feed(
        list(script([Decimal(1), Decimal(1), Decimal(2), Decimal(2)]))
    )
    sold = [each.order for each in bench.events(events.OrderApproved) if each.order.side is Side.SELL]
    assert sold[0].reason.startswith("gap: ")
    bar_three = [event for event in script([Decimal(1)] * 3) if isinstance(event, Bar)][-1]
    assert sold[0].ts_ns == bar_three.ts_close_ns
    [held] = bench.kernel.state.ledger.positions()
    assert held.mint == MINT  # cut back, not sold
    assert held.base_units > sold[0].amount_in > 0


@given(
    st.dictionaries(st.text("ab", min_size=1, max_size=3), st.integers(0, 10**12), max_size=5),
    st.integers(1, 10**12),
    st.integers(0, BPS_ONE),
    st.integers(0, BPS_ONE),
)
def test_after_the_cut_both_limits_hold_and_no_more_is_cut_than_they_ask(
    exposures: dict[str, int], equity: int, token: int, joint: int
) -> None:
    limits = FOUNDATION.limits.model_copy(update={"gap_token_bps_max": token, "gap_joint_bps_max": joint})
    excess = excess_lamports(limits, equity, exposures)
    left = {mint: value - excess.get(mint, 0) for mint, value in exposures.items()}
    assert all(0 <= value <= equity * token // BPS_ONE for value in left.values())
    assert sum(left.values()) * GAP_JOINT_MOVE_BPS <= equity * joint
    if all(value * BPS_ONE <= equity * token for value in exposures.values()) and (
        (sum(exposures.values()) + BPS_ONE) * GAP_JOINT_MOVE_BPS <= equity * joint
    ):
        assert excess == {}


def test_limits_of_gaps_that_no_entry_could_keep_are_refused() -> None:
    with pytest.raises(ValueError, match="gap_token_bps_max must be at least"):
        Limits.model_validate({**FOUNDATION.limits.model_dump(), "gap_token_bps_max": 2_000})
    with pytest.raises(ValueError, match="gap_joint_bps_max must be at least 3600"):
        Limits.model_validate({**FOUNDATION.limits.model_dump(), "gap_joint_bps_max": 3_000})


@pytest.mark.market
@pytest.mark.requirement("T7")
def test_on_recorded_deaths_a_gap_costs_at_most_its_limits(market_dir: Path) -> None:
    dex = market_dir / "dex"
    feed = open_replay([dex / "pumpfun_tokens_1h_usd.csv.gz", dex / "solusdc_raydium_1h_close.csv.gz"])
    limits = BASELINE.limits.model_copy(update={"gap_token_bps_max": 2_500, "gap_joint_bps_max": 4_000})
    choice = StrategyChoice(name="random_entry", weight_bps=10_000, parameters={"wait_bars": 2, "hold_bars": 400})
    given_rules = BASELINE.model_copy(update={"limits": limits, "strategies": (choice,)})
    kernel = make_kernel(RunPlan("backtest", feed.description, given_rules, 2 * 10**9, 10**10), "run", MemoryJournal())
    begin(kernel)
    found, held = [], 0
    try:
        for event in feed.events():
            kernel.on_event(event)
            if isinstance(event, CycleEnd):
                held = max(held, len(kernel.state.ledger.holdings))
                found += breaches(kernel)
    except InvalidInput as error:  # pragma: no cover - the message is what one wants to see
        pytest.fail(str(error))
    assert found == []
    assert held >= 3
    assert kernel.state.fills_total > 30


LATE_BUYER: dict[str, int | float] = {
    "window_bars": 48, "entry_rise": -1.0, "entry_flow": -1.0, "hold_bars": 5_000, "stop_share": 1.0, "needs_facts": 0,
}  # fmt: skip
"""Buys every launch and holds it whatever becomes of it."""
DEAD_SHARE = Decimal("0.05")


def holder(**limits: int) -> Profile:
    """Return the rules of ``rules`` for a desk that buys every launch it can and never sells."""
    choice = StrategyChoice(name="launch_scanner", weight_bps=10_000, parameters=LATE_BUYER)
    wanted = rules(**{"edge_over_cost_bps_min": -10_000, "impact_bps_max": 1_000, "slippage_bps_max": 10_000, **limits})
    return wanted.model_copy(update={"strategies": (choice,)})


def deaths(feed: ReplayFeed, given_rules: Profile) -> list[tuple[int, int]]:
    """Return, for every held token that fell to a twentieth of its best close since, what it cost in all and the most
    that the account was worth meanwhile."""
    plan = RunPlan("backtest", feed.description, given_rules, 2 * 10**9, 10**10)
    kernel = make_kernel(plan, "run", MemoryJournal())
    begin(kernel)
    put_in: dict[str, int] = {}
    best: dict[str, Decimal] = {}
    peak = 0
    for event in feed.events():
        kernel.on_event(event)
        if isinstance(event, CycleEnd):
            peak = max(peak, kernel.state.equity_lamports)
        elif isinstance(event, Bar) and event.mint in kernel.state.ledger.holdings:
            best[event.mint] = max(best.get(event.mint, event.close), event.close)
    for trade in kernel.state.trades:
        fill = trade.filled.fill
        paid = fill.lamports if fill.side is Side.BUY else -fill.lamports
        fees = fill.network_fee_lamports + fill.priority_fee_lamports
        put_in[fill.mint] = put_in.get(fill.mint, 0) + paid + fees
    worth = kernel.valuer.value().by_mint
    closes = {mint: bar.close for mint in best if (bar := kernel.venue.mark(mint)) is not None}
    dead = [mint for mint in best if closes[mint] <= best[mint] * DEAD_SHARE]
    return [(put_in[mint] - worth.get(mint, 0), peak) for mint in dead]


@pytest.mark.market
@pytest.mark.requirement("T7")
def test_a_recorded_launch_that_dies_costs_at_most_the_limit_of_one_token(market_dir: Path) -> None:
    dex = market_dir / "dex"
    whole = open_replay([dex / "pumpfun_tokens_1h_usd.csv.gz", dex / "solusdc_raydium_1h_close.csv.gz"])
    alone = token_feeds(whole)
    tight = {"order_bps_max": 900, "token_exposure_bps_max": 900, "gap_token_bps_max": 1_000}
    worst = []
    for given_rules in (holder(), holder(**tight)):
        costs = [each for mint in alone for each in deaths(alone[mint], given_rules)]
        assert len(costs) >= 30
        worst.append(max(cost * BPS_ONE // peak for cost, peak in costs))
        assert worst[-1] <= given_rules.limits.gap_token_bps_max
    assert worst[0] > 1_000  # the tighter limit is one that a desk can break
    together = deaths(whole, holder())
    assert together
    assert all(cost * BPS_ONE <= peak * holder().limits.gap_token_bps_max for cost, peak in together)

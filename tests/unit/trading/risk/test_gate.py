from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.support.trading import (
    MINT,
    RENT,
    SOL,
    T0,
    make_account,
    make_bounds,
    make_exit,
    make_order,
    make_quote,
    make_token,
)

from trading.model.account import Level, LosingExit, TradingState
from trading.model.order import Approved, Denied, Side
from trading.model.position import Holding, Position
from trading.model.protection import ProtectionKind
from trading.risk import limits
from trading.risk.gate import Gate

SECOND = 10**9
ORDER = make_order(min_out=990_000)
# 1,000 base units are 0.00001 SOL at the default mark of 0.001 SOL a token of 5 decimals.
HELD = Holding(MINT, 1_000, 10_000)
OWN = Position("momentum_breakout", MINT, "momentum_breakout", "t", T0, 1_000, 9_803, last_buy_lamports=SOL)
"""Worth 10,000 lamports at the mark, 2 % and a little above its cost."""
LOSS = LosingExit(MINT, T0, 20_000, 1_000)  # sold at twice the default mark


def _check(order: Any = ORDER, account: Any = None, token: Any = None, **bounds: Any) -> Approved | Denied:
    return Gate(make_bounds(**bounds)).check(order, account or make_account(), token or make_token())


def test_a_sound_entry_is_approved_with_how_far_each_limit_is_used() -> None:
    verdict = _check()
    assert isinstance(verdict, Approved)
    measures = {measure.name: measure for measure in verdict.measures}
    assert not any(measure.is_broken for measure in verdict.measures)
    assert (measures["order_lamports"].used, measures["order_lamports"].limit) == (SOL // 5, 4 * SOL // 10)
    assert measures["exit_reserve_lamports"].used == 2 * SOL - SOL // 5 - 25_000 - RENT
    assert measures["edge_over_cost_bps"].used == 300 - 55
    # Nothing is held, was sold at a loss or waits; no budget is asked for, nothing of the levels or of wallets.
    silent = 8 + len(ProtectionKind) + len(Level)
    assert len(verdict.measures) == len(limits.ENTRY_LIMITS) - silent


@pytest.mark.requirement("T19")
def test_a_denial_names_every_limit_that_is_broken_the_one_it_is_denied_for_first() -> None:
    verdict = _check(account=make_account(drawdown_bps=1_501, day_loss_bps=501))
    assert isinstance(verdict, Denied)
    assert [measure.name for measure in verdict.broken] == ["drawdown_bps", "day_loss_bps"]
    assert (verdict.reason, verdict.used) == (verdict.broken[0].name, verdict.broken[0].used)
    assert all(measure.is_broken for measure in verdict.broken)


DENIALS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("state_reducing", {}, {"state": TradingState.REDUCING}, {}),
    ("state_halted", {}, {"state": TradingState.HALTED}, {}),
    ("entries_stopped", {}, {"entries_allowed": False}, {}),
    ("untradable", {}, {}, {"quote": None}),
    ("untradable", {}, {}, {"mark_sol": None}),
    ("own_order_open", {}, {}, {"open_orders": 1}),
    ("no_amount", {"amount_in": 0}, {}, {}),
    ("no_amount", {"amount_in": -5}, {}, {}),
    ("not_an_entry", {"side": Side.SELL}, {}, {}),
    ("data_age_s", {}, {}, {"data_age_ns": 900 * SECOND + 1}),
    ("total_drawdown_bps", {}, {"total_drawdown_bps": 2_501}, {}),
    ("drawdown_bps", {}, {"drawdown_bps": 1_501}, {}),
    ("day_loss_bps", {}, {"day_loss_bps": 501}, {}),
    ("cooldown_s", {}, {"now_ns": T0 + 3_599 * SECOND}, {"losing_exit": LOSS}),
    ("reentry_s", {}, {"now_ns": T0 + 21_599 * SECOND}, {"losing_exit": LOSS}),
    ("average_cost", {}, {"tokens_held": 1}, {"holding": replace(HELD, cost_lamports=10_001)}),
    ("adds", {}, {}, {"position": replace(OWN, buys=3)}),
    ("add_step_lamports", {}, {}, {"position": replace(OWN, cost_lamports=9_804)}),
    ("add_lamports", {"amount_in": SOL // 5}, {}, {"position": replace(OWN, last_buy_lamports=4 * SOL // 10 - 1)}),
    ("pool_lamports", {}, {}, {"pool_lamports": 20 * SOL - 1}),
    ("priority_fee_lamports", {"priority_fee_lamports": 200_001}, {}, {}),
    ("fee_position_bps", {"amount_in": 9_999_999}, {}, {}),
    ("slippage_bps", {"min_out": 984_999}, {}, {}),
    ("slippage_bps", {"min_out": 0}, {}, {}),
    ("impact_bps", {}, {}, {"quote": make_quote(price_impact_bps=101)}),
    ("edge_over_cost_bps", {}, {}, {"edge_bps": 79}),
    ("order_lamports", {"amount_in": 4 * SOL // 10 + 1}, {}, {"edge_bps": None}),
    ("token_exposure_lamports", {}, {}, {"exposure_lamports": 3 * SOL // 10 + 1}),
    ("total_exposure_lamports", {}, {"exposure_lamports": SOL + 1}, {}),
    ("positions", {}, {"tokens_held": 4}, {}),
    ("entries_day", {}, {"entries_day": 50}, {}),
    ("turnover_day_lamports", {}, {"turnover_day_lamports": 12 * SOL - SOL // 5 + 1}, {}),
    ("bucket_cash_lamports", {}, {}, {"bucket_cash_lamports": SOL // 5 + 25_000 + RENT - 1}),
    ("exit_reserve_lamports", {}, {"cash_lamports": SOL // 5 + 25_000 + RENT + 2_000_000 - 1}, {}),
]


@pytest.mark.parametrize(("reason", "order", "account", "token"), DENIALS, ids=[case[0] for case in DENIALS])
@pytest.mark.requirement("T7")
def test_an_entry_one_step_beyond_a_limit_is_denied_by_its_name(
    reason: str, order: dict[str, Any], account: dict[str, Any], token: dict[str, Any]
) -> None:
    verdict = _check(replace(ORDER, **order), make_account(**account), make_token(**token))
    assert isinstance(verdict, Denied)
    assert verdict.reason == reason
    assert verdict.message


AT_LIMIT: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({}, {}, {"data_age_ns": 900 * SECOND}),
    ({}, {"total_drawdown_bps": 2_500, "drawdown_bps": 1_500, "day_loss_bps": 500}, {}),
    ({}, {"now_ns": T0 + 21_600 * SECOND}, {"losing_exit": LOSS}),
    ({}, {"now_ns": T0 + 3_600 * SECOND}, {"losing_exit": replace(LOSS, lamports=10_000)}),
    ({}, {"tokens_held": 4}, {"holding": HELD}),
    ({}, {}, {"pool_lamports": 20 * SOL}),
    ({"min_out": 985_000}, {}, {}),
    ({}, {}, {"quote": make_quote(price_impact_bps=100)}),
    ({}, {}, {"edge_bps": 80}),
    ({}, {}, {"edge_bps": None}),
    ({"amount_in": 4 * SOL // 10}, {}, {}),
    ({}, {}, {"exposure_lamports": 3 * SOL // 10}),
    ({}, {"exposure_lamports": SOL}, {}),
    ({}, {"tokens_held": 3}, {}),
    ({}, {"entries_day": 49, "turnover_day_lamports": 12 * SOL - SOL // 5}, {}),
    ({}, {}, {"bucket_cash_lamports": SOL // 5 + 25_000 + RENT}),
    ({}, {"cash_lamports": SOL // 5 + 25_000 + RENT + 2_000_000}, {}),
]


@pytest.mark.parametrize(("order", "account", "token"), AT_LIMIT)
def test_an_entry_exactly_at_a_limit_is_approved(
    order: dict[str, Any], account: dict[str, Any], token: dict[str, Any]
) -> None:
    verdict = _check(replace(ORDER, **order), make_account(**account), make_token(**token))
    assert isinstance(verdict, Approved), verdict


@pytest.mark.requirement("T7")
@pytest.mark.parametrize("level", Level)
def test_what_a_level_holds_is_limited_and_the_headroom_goes_up_to_that(level: Level) -> None:
    bounds = make_bounds(**{f"{level.value}_exposure_bps_max": 2_500})
    gate, account = Gate(bounds), make_account()
    most = account.equity_lamports // 4 - ORDER.amount_in
    at, beyond = (make_token(exposures={level: held}, edge_bps=None) for held in (most, most + 1))
    assert isinstance(gate.check(ORDER, account, at), Approved)
    assert gate.headroom_lamports(account, at, ORDER.priority_fee_lamports) == ORDER.amount_in
    denied = gate.check(ORDER, account, beyond)
    assert isinstance(denied, Denied)
    assert denied.reason == f"{level.value}_exposure_lamports"
    assert (denied.limit, denied.used) == (account.equity_lamports // 4, account.equity_lamports // 4 + 1)
    assert "bps of equity" in denied.message


def test_a_denial_tells_limit_use_and_unit() -> None:
    verdict = _check(account=make_account(tokens_held=4))
    assert isinstance(verdict, Denied)
    assert (verdict.limit, verdict.used) == (4, 5)
    assert verdict.message == "5 tokens would be held (positions 5, at most 4 tokens)"


def test_a_better_pool_is_demanded_of_a_larger_desk() -> None:
    token = make_token(pool_lamports=100 * SOL)
    assert isinstance(_check(token=token), Approved)
    assert isinstance(_check(token=token, tier=1), Denied)
    assert make_bounds(tier=2).fee_position_bps_max == 10


WORST_ACCOUNT = make_account(
    state=TradingState.HALTED,
    entries_allowed=False,
    equity_lamports=0,
    cash_lamports=0,
    drawdown_bps=10_000,
    total_drawdown_bps=10_000,
    day_loss_bps=10_000,
    tokens_held=99,
    exposure_lamports=10**15,
)


def test_an_exit_is_blocked_by_no_entry_limit() -> None:
    worst = make_token(
        sellable_base_units=5, data_age_ns=10**18, pool_lamports=0, losing_exit=LOSS, open_orders=1, quote=None
    )
    verdict = Gate(make_bounds()).check(make_exit(amount_in=5, priority_fee_lamports=10**9), WORST_ACCOUNT, worst)
    assert verdict == Approved()


@pytest.mark.parametrize("amount", [0, -1, 6])
def test_an_exit_sells_at_most_what_its_bucket_can_sell(amount: int) -> None:
    verdict = _check(make_exit(amount_in=amount), token=make_token(sellable_base_units=5))
    assert isinstance(verdict, Denied)
    assert (verdict.reason, verdict.limit, verdict.used) == ("nothing_to_sell", 5, amount)


def test_a_buy_that_calls_itself_an_exit_is_denied() -> None:
    verdict = _check(replace(make_exit(amount_in=5), side=Side.BUY), token=make_token(sellable_base_units=5))
    assert isinstance(verdict, Denied)
    assert verdict.reason == "not_an_exit"


def test_the_largest_order_within_the_headroom_is_approved_and_one_lamport_more_is_not() -> None:
    gate = Gate(make_bounds())
    for account, token in (
        (make_account(), make_token()),
        (make_account(), make_token(exposure_lamports=SOL // 5)),
        (make_account(exposure_lamports=SOL), make_token()),
        (make_account(turnover_day_lamports=12 * SOL - SOL // 10), make_token()),
        (make_account(cash_lamports=SOL // 10), make_token()),
        (make_account(), make_token(bucket_cash_lamports=SOL // 10)),
    ):
        free = replace(token, edge_bps=None)
        headroom = gate.headroom_lamports(account, free, ORDER.priority_fee_lamports)
        assert isinstance(gate.check(replace(ORDER, amount_in=headroom), account, free), Approved)
        assert isinstance(gate.check(replace(ORDER, amount_in=headroom + 1), account, free), Denied)


def test_there_is_never_less_than_no_headroom() -> None:
    assert Gate(make_bounds()).headroom_lamports(make_account(cash_lamports=0), make_token(), 0) == 0


def test_the_accounts_own_limits_are_shown_without_an_order() -> None:
    account = make_account(tokens_held=2, exposure_lamports=SOL, drawdown_bps=1_600)
    measures = {measure.name: measure for measure in Gate(make_bounds()).account_measures(account)}
    assert (measures["total_exposure_lamports"].used, measures["total_exposure_lamports"].limit) == (
        SOL,
        12 * SOL // 10,
    )
    assert measures["exit_reserve_lamports"].limit == 4_000_000
    assert [name for name, measure in measures.items() if measure.is_broken] == ["drawdown_bps"]


def test_limits_without_a_price_or_a_quote_say_nothing() -> None:
    """The gate asks them only where there is both; alone they must not fail."""
    blind = make_token(mark_sol=None, quote=None, holding=HELD, losing_exit=LOSS)
    for limit in (limits.reentry, limits.anti_dca, limits.impact, limits.slippage, limits.edge):
        assert limit(ORDER, make_account(), blind, make_bounds()) is None
    assert limits.round_trip_bps(ORDER, blind) == 10_000


def test_entering_a_token_that_is_held_or_on_order_takes_no_new_place() -> None:
    account = make_account(tokens_held=3)
    assert limits.tokens_after(account, make_token()) == 4
    assert limits.tokens_after(account, make_token(holding=HELD)) == 3
    assert limits.tokens_after(account, make_token(open_orders=1)) == 3


def test_average_cost_is_compared_with_the_mark_and_not_with_the_price_we_would_pay() -> None:
    """Fees lift what we pay above the mark: comparing that would let a loser pass."""
    token = make_token(mark_sol=Decimal("0.000999"), holding=HELD)
    verdict = _check(token=token)
    assert isinstance(verdict, Denied)
    assert verdict.reason == "average_cost"

from decimal import Decimal

import pytest

from trading.model.account import HighWater, LosingExit, RoundTrip, drawdown_bps
from trading.model.position import Holding, Position, token_value_lamports


def test_value_of_a_token_is_exact_for_prices_of_any_length() -> None:
    price = Decimal("0.00000012345678901234567890")
    assert token_value_lamports(10**15, price, 5) == 10**10 * 12345678901234567890 * 10**9 // 10**26


def test_a_holding_tells_its_value_before_the_costs_of_selling() -> None:
    assert Holding("m", 200_000, 5).value_lamports(Decimal("0.001"), 5) == 2_000_000


def test_unrealised_profit_is_value_minus_cost() -> None:
    position = Position("b", "m", "s", "t", 0, 10, 100)
    assert position.unrealised_lamports(90) == -10


def test_a_losing_exit_compares_its_price_exactly() -> None:
    exit_at = LosingExit("m", 0, 1_000, 10)  # 100 lamports a base unit = 0.01 SOL a token of 5 decimals
    assert exit_at.is_above(Decimal("0.00999"), 5)
    assert not exit_at.is_above(Decimal("0.01"), 5)


@pytest.mark.parametrize(
    ("peak", "equity", "bps"),
    [(100, 100, 0), (100, 101, 0), (100, 90, 1_000), (30_000, 29_999, 1), (100, -5, 10_000), (0, -1, 0)],
)
def test_a_drawdown_is_rounded_against_us(peak: int, equity: int, bps: int) -> None:
    assert drawdown_bps(peak, equity) == bps


def test_the_peak_follows_equity_up_and_not_down() -> None:
    high = HighWater(100)
    assert (high.mark(200), high.mark(150), high.peak_lamports) == (0, 2_500, 200)


def test_a_deposit_in_a_drawdown_leaves_the_drawdown_as_it_is() -> None:
    high = HighWater()
    high.mark(1_000_000)
    assert high.mark(800_000) == 2_000
    high.flow(800_000, 3_200_000)
    assert high.mark(4_000_000) == 2_000
    high.flow(4_000_000, -3_000_000)
    assert high.mark(1_000_000) == 2_000


def test_the_peak_of_an_emptied_account_starts_anew() -> None:
    high = HighWater(100)
    high.flow(80, -80)
    assert high.peak_lamports == 0
    high.flow(0, 50)
    assert high.peak_lamports == 50
    high.rebase(20)
    assert high.peak_lamports == 20


def test_a_round_trip_tells_its_return() -> None:
    def trip(bought: int) -> RoundTrip:
        return RoundTrip("t", "b", "s", "m", 0, 1, bought, 0, -50, 0, 2)

    assert trip(1_000).return_bps == -500
    assert trip(0).return_bps == 0

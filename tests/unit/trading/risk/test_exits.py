from dataclasses import replace
from decimal import Decimal

import pytest
from tests.support.trading import T0

from trading.model.position import Position
from trading.model.profile import FOUNDATION
from trading.risk.exits import ExitView, PeakPrices, decide_exit

RULES = FOUNDATION.exits  # stop 5 %, trailing 4 % once up 3 %, target 15 %, one day
OFF = RULES.model_copy(update={"stop_loss_bps": 0, "trailing_stop_bps": 0, "take_profit_bps": 0})
# Bought at 0.001 SOL a token of 5 decimals: 1e8 base units cost 1 SOL.
POSITION = Position("a", "m", "s", "t", T0, 10**8, 10**9)
DAY = 86_400 * 10**9


def _view(close: str, peak: str = "0", now_ns: int = T0) -> ExitView:
    return ExitView(now_ns, Decimal(close), max(Decimal(peak), Decimal(close)), 5)


@pytest.mark.parametrize(
    ("view", "rule"),
    [
        (_view("0.001"), None),
        (_view("0.000951"), None),
        (_view("0.00095"), "stop_loss"),
        (_view("0.00114999"), None),
        (_view("0.00115"), "take_profit"),
        (_view("0.00098", peak="0.00102"), None),
        (_view("0.00099", peak="0.00103"), None),
        (_view("0.0009888", peak="0.00103"), "trailing_stop"),
        (_view("0.001", now_ns=T0 + DAY - 1), None),
        (_view("0.001", now_ns=T0 + DAY), "holding_time"),
        (_view("0", peak="0"), "stop_loss"),
    ],
)
@pytest.mark.requirement("T5")
def test_each_rule_sells_at_its_limit_and_not_before(view: ExitView, rule: str | None) -> None:
    decision = decide_exit(RULES, POSITION, view)
    assert (decision.rule if decision else None) == rule


@pytest.mark.requirement("T5")
def test_what_was_added_raises_the_stop_so_that_it_loses_what_the_first_purchase_would_have_lost() -> None:
    """1 SOL bought and 1 SOL added: 5 % of the first one is 2.5 % of both."""
    both = replace(POSITION, base_units=2 * 10**8, cost_lamports=2 * 10**9, added_lamports=10**9)
    assert decide_exit(RULES, both, _view("0.00097501")) is None
    decision = decide_exit(RULES, both, _view("0.000975"))
    assert decision is not None
    assert (decision.rule, decision.used, decision.limit) == ("stop_loss", 250, 250)


def test_the_reason_tells_the_figures() -> None:
    decision = decide_exit(RULES, POSITION, _view("0.0009"))
    assert decision is not None
    assert (decision.used, decision.limit, decision.unit) == (1_000, 500, "bps")
    assert decision.message == "1000 bps below cost"


def test_a_rule_that_is_switched_off_never_sells() -> None:
    for view in (_view("0.0001"), _view("1"), _view("0.0005", peak="2")):
        assert decide_exit(OFF, POSITION, view) is None


def test_the_peak_is_the_highest_close_since_the_position_was_opened() -> None:
    peaks = PeakPrices()
    assert [peaks.observe("a", "m", Decimal(close)) for close in (3, 5, 4)] == [3, 5, 5]
    assert peaks.observe("b", "m", Decimal(1)) == 1
    peaks.forget("a", "m")
    peaks.forget("a", "m")
    assert peaks.observe("a", "m", Decimal(2)) == 2

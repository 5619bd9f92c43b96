"""Mementos: what goes in comes out, exact; what does not fit is refused and runs nothing."""

import json
import math
from collections import Counter, deque
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.trading import make_bar, make_order

from trading.errors import DataError
from trading.indicators.regime import RegimeTracker
from trading.indicators.rolling import RollingMax
from trading.model.account import HighWater, TradingState
from trading.model.memento import Memento
from trading.portfolio.performance import EquityCurve


def passed_on(value: object, present: object = None) -> object:
    """Return what is left after a way through text."""
    return Memento().decode(json.loads(json.dumps(Memento().encode(value))), present)


plain = (
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False) | st.decimals(allow_nan=False)
)
nested = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.lists(inner).map(lambda found: deque(found, 7))
    ),
    max_leaves=20,
)


@given(nested)
def test_data_comes_back_equal_and_of_the_same_type(value: object) -> None:
    back = passed_on(value)
    assert back == value
    assert repr(back) == repr(value)  # -0.0, Decimal('1.0') and 1 against True are told apart


def test_records_enumerations_and_counters_come_back() -> None:
    value = {("a", "b"): [make_bar(3), make_order()], "state": TradingState.REDUCING, "n": Counter({"x": 2})}
    back = passed_on(value)
    assert back == value
    assert type(back["n"]) is Counter  # type: ignore[index]
    assert back["state"] is TradingState.REDUCING  # type: ignore[index]


def test_an_indicator_goes_on_where_it_was_to_the_last_bit() -> None:
    one = RegimeTracker(20, 30)
    prices = [math.log(1 + (number * 37 % 101) / 500) for number in range(200)]
    for price in prices[:150]:
        one.update(price)
    other = passed_on(one)
    assert isinstance(other, RegimeTracker)
    for price in prices[150:]:
        one.update(price)
        other.update(price)
    assert (one.volatility_per_bar, one.regime) == (other.volatility_per_bar, other.regime)
    assert Memento().encode(one) == Memento().encode(other)
    high = RollingMax(3)
    high.update(1.5)
    assert isinstance(passed_on(high), RollingMax)


def test_an_object_with_a_dict_is_filled_where_it_stands_without_what_is_left_alone() -> None:
    curve, target = EquityCurve(10), EquityCurve(10)
    curve.flow(100)
    curve.mark(5, 120)
    memento = Memento({EquityCurve: frozenset({"_period_ns"})})
    target._period_ns = 99
    memento.fill(target, json.loads(json.dumps(memento.encode(curve))))
    assert (target.peak_lamports, target.equity_lamports, target._period_ns) == (120, 120, 99)


@pytest.mark.parametrize(
    "data",
    [
        ["x", 1],
        [],
        ["f", "much"],
        ["o", "os:system", {}],
        ["o", "trading.model.units:sol_text", {}],
        ["o", "trading.model.market_data:Bar", {"mint": "m"}],
        ["e", "trading.model.account:TradingState", "ASLEEP"],
        ["m", [["only a key"]]],
        ["o", "trading.portfolio.performance:EquityCurve", {}],  # nothing stands there to be filled
    ],
)
def test_what_does_not_fit_is_refused(data: object) -> None:
    with pytest.raises(DataError, match="does not fit"):
        Memento().decode(data)


def test_a_class_that_has_changed_its_fields_since_is_refused() -> None:
    written = Memento().encode(EquityCurve(1))
    target = EquityCurve(1)
    target.valley_lamports = 1  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="other fields"):
        Memento().fill(target, written)
    with pytest.raises(DataError, match="not of a EquityCurve"):
        Memento().fill(EquityCurve(1), Memento().encode(HighWater(7)))


@dataclass
class Stranger:
    """A class of another package."""

    n: int = 1


@pytest.mark.parametrize("value", [object(), Stranger(), {1, 2}, b"bytes", lambda: None])
def test_what_is_no_data_is_not_written(value: object) -> None:
    with pytest.raises(TypeError, match="no place"):
        Memento().encode(value)

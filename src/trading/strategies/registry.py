"""All strategies by name."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

from trading.errors import InvalidInput
from trading.model.profile import StrategyChoice
from trading.ports import Strategy

from .buy_and_hold import BuyAndHold
from .launch_scanner import LaunchScanner
from .lead_lag import LeadLag
from .mean_reversion import MeanReversion
from .momentum_breakout import MomentumBreakout
from .order_flow import OrderFlow
from .parameters import Parameter, Value
from .random_entry import RandomEntry
from .sma_cross import SmaCross
from .trend_following import TrendFollowing
from .volatility_breakout import VolatilityBreakout


class StrategyClass(Protocol):
    """What every strategy file offers besides ``ports.Strategy``. ``KIND`` is a word for people."""

    NAME: str
    KIND: str
    PARAMETERS: tuple[Parameter, ...]

    def __call__(self, parameters: Mapping[str, Value] | None = None) -> Strategy: ...


STRATEGIES: Final[Mapping[str, StrategyClass]] = MappingProxyType(
    {
        each.NAME: each
        for each in (
            *(MomentumBreakout, MeanReversion, TrendFollowing, VolatilityBreakout, LeadLag),
            *(OrderFlow, LaunchScanner, SmaCross, BuyAndHold, RandomEntry),
        )
    }
)


ON_SWAPS: Final = frozenset({OrderFlow.NAME})
"""Have no opinion where a feed tells no swaps."""


def strategy_class(name: str) -> StrategyClass:
    """Return the strategy of that name. Raises: InvalidInput."""
    if name not in STRATEGIES:
        known = ", ".join(STRATEGIES)
        msg = f"strategy: {name!r} is unknown; known are {known}"
        raise InvalidInput(msg, field="strategy", hint=f"name one of {known}")
    return STRATEGIES[name]


def create(name: str, parameters: Mapping[str, Value] | None = None) -> Strategy:
    """Make a strategy. Raises: InvalidInput for an unknown name, or naming every bad parameter."""
    return strategy_class(name)(parameters)


def create_all(choices: Sequence[StrategyChoice]) -> list[Strategy]:
    """Make the strategies of a profile, in its order."""
    return [create(choice.name, choice.parameters) for choice in choices]


def declared(name: str) -> tuple[Parameter, ...]:
    """Return the declared parameters. Raises: InvalidInput."""
    return strategy_class(name).PARAMETERS

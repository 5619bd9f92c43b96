"""What a search may change of a strategy: its tuned parameters, as distributions that Optuna draws from."""

import json
from collections.abc import Mapping
from typing import Final

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from trading.errors import InvalidInput
from trading.strategies.parameters import Parameter, Value
from trading.strategies.registry import create, declared

LOG_RATIO: Final = 50.0
"""A range whose ends, both above 0, lie further apart than this is drawn on a log scale: from 5 to 10 bars is as much
of a change as from 500 to 1,000."""
FIGURES: Final = 3
"""Significant digits of a drawn float: more would only be different names for one candidate."""


class Genome:
    """The tuned parameters of one strategy; those that are not tuned keep their defaults.

    Raises: InvalidInput for an unknown strategy, or one of which nothing is tuned.
    """

    def __init__(self, strategy: str) -> None:
        self.strategy: Final = strategy
        self._parameters: Final = declared(strategy)
        self.distributions: Final[Mapping[str, BaseDistribution]] = {
            each.name: _distribution(each) for each in self._parameters if each.is_tuned and each.low < each.high
        }
        if not self.distributions:
            msg = f"{strategy} declares no parameter that a search may change"
            raise InvalidInput(msg, field="strategy")

    @property
    def defaults(self) -> dict[str, Value]:
        """The declared values: the first candidate of every search."""
        return {each.name: each.default for each in self._parameters}

    def candidate(self, drawn: Mapping[str, float]) -> dict[str, Value]:
        """Return the whole set of parameters that a draw means, floats in few digits and within their range."""
        return {
            each.name: _value(each, drawn[each.name]) if each.name in drawn else each.default
            for each in self._parameters
        }

    def accepts(self, candidate: Mapping[str, Value]) -> bool:
        """Say whether the strategy can be made with these parameters: it refuses, say, a fast window that is no
        shorter than the slow one."""
        try:
            create(self.strategy, candidate)
        except InvalidInput:
            return False
        return True


def key_of(candidate: Mapping[str, Value]) -> str:
    """Return the one spelling of a set of parameters."""
    return json.dumps({name: repr(value) for name, value in candidate.items()}, sort_keys=True)


def _distribution(parameter: Parameter) -> BaseDistribution:
    low, high = parameter.low, parameter.high
    is_log = low > 0 and high / low > LOG_RATIO
    if parameter.is_int:
        return IntDistribution(int(low), int(high), log=is_log)
    return FloatDistribution(float(low), float(high), log=is_log)


def _value(parameter: Parameter, drawn: float) -> Value:
    if parameter.is_int:
        return int(drawn)
    return min(max(float(f"{drawn:.{FIGURES}g}"), float(parameter.low)), float(parameter.high))

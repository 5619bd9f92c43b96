"""Declared parameters: every number that a strategy may be tuned by, with its range and meaning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from trading.errors import InvalidInput

Value = int | float


@dataclass(frozen=True, slots=True)
class Parameter:
    """``low`` and ``high`` are both allowed. An int default declares an int parameter.

    One that is not ``is_tuned`` is a person's choice: no search changes it.
    """

    name: str
    default: Value
    low: Value
    high: Value
    unit: str
    meaning: str
    is_tuned: bool = True

    @property
    def is_int(self) -> bool:
        return isinstance(self.default, int)

    def problem(self, value: object) -> str | None:
        """Return what is wrong with a value, None when it is allowed."""
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or (self.is_int and not isinstance(value, int))
        ):
            return f"{self.name}: {'an int' if self.is_int else 'a number'} is needed, not {value!r}"
        if not self.low <= value <= self.high:  # also refuses NaN
            return f"{self.name}: {value} is outside {self.low} to {self.high} {self.unit}"
        return None


def resolve(strategy: str, declared: Sequence[Parameter], given: Mapping[str, Value]) -> dict[str, Value]:
    """Return the defaults with what was given, in the declared order.

    Raises: InvalidInput naming every unknown name and every value out of range at once.
    """
    names = [parameter.name for parameter in declared]
    problems = [f"{name}: unknown; known are {', '.join(names)}" for name in given if name not in names]
    for parameter in declared:
        problem = parameter.problem(given[parameter.name]) if parameter.name in given else None
        if problem:
            problems.append(problem)
    if problems:
        msg = f"parameters of {strategy}: " + "; ".join(problems)
        raise InvalidInput(msg, field=f"strategies.{strategy}.parameters")
    resolved: dict[str, Value] = {}
    for parameter in declared:
        value = given.get(parameter.name, parameter.default)
        resolved[parameter.name] = value if parameter.is_int else float(value)
    return resolved


class Declared:
    """What every strategy is known by: its name, its kind, and its parameters, which are resolved once."""

    NAME: ClassVar[str]
    KIND: ClassVar[str]
    PARAMETERS: ClassVar[tuple[Parameter, ...]]

    def __init__(self, parameters: Mapping[str, Value] | None = None) -> None:
        """Raises: InvalidInput naming every unknown name and every value out of range."""
        self._values: Final = resolve(self.NAME, self.PARAMETERS, parameters or {})

    @property
    def name(self) -> str:
        return self.NAME

    def parameters(self) -> Mapping[str, Value]:
        return dict(self._values)

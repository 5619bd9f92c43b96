"""State as data: objects of this package to JSON values and back, exact to the last bit, without running their code.

Everything carries its type: a float is its shortest exact text, a Decimal its own, an object its class and its fields.
Data whose classes have other fields by now is refused.
"""

import sys
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

from trading.errors import DataError

_PACKAGE: Final = "trading."
DERIVED: Final[Mapping[str, bool]] = MappingProxyType({"derived": True})
"""Metadata of a dataclass field whose value can be worked out again: it is not written and begins at its default."""


class Memento:
    """Dataclasses and classes with slots are made anew; an object with a dict of its own is filled where it stands.

    ``left_alone`` names fields of a class that are wiring and no state: they are neither written nor touched.
    """

    def __init__(self, left_alone: Mapping[type, frozenset[str]] | None = None) -> None:
        self._left_alone = dict(left_alone or {})
        self._declared: dict[type, list[str] | None] = {}

    def encode(self, value: Any) -> Any:
        """Return JSON values. Raises: TypeError for what is no data."""
        kind = type(value)
        if kind is float:
            return ["f", repr(value)]
        if value is None or kind is int or kind is str or kind is bool:
            return value
        if kind is Decimal:
            return ["d", str(value)]
        if kind is tuple or kind is list:
            return ["t" if kind is tuple else "l", [self.encode(each) for each in value]]
        if kind is deque:
            return ["q", value.maxlen, [self.encode(each) for each in value]]
        if kind is dict or kind is Counter:
            pairs = [[self.encode(key), self.encode(each)] for key, each in value.items()]
            return ["m" if kind is dict else "c", pairs]
        if isinstance(value, Enum):
            return ["e", _name(kind), value.value]
        if not kind.__module__.startswith(_PACKAGE):
            msg = f"{kind.__name__} has no place in a memento"
            raise TypeError(msg)
        return ["o", _name(kind), {name: self.encode(getattr(value, name)) for name in self._fields(value)}]

    def decode(self, data: Any, present: Any = None) -> Any:
        """Return the value; ``present`` is what stands in its place now. Raises: DataError."""
        if not isinstance(data, list):
            return data
        try:
            return self._decoded(data, present)
        except (KeyError, IndexError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            msg = f"a memento does not fit: {error!r}"
            raise DataError(msg) from error

    def fill(self, target: Any, data: Any) -> None:
        """Set the fields of an object that is there already. Raises: DataError when it is of another class or shape."""
        if not isinstance(data, list) or data[:2] != ["o", _name(type(target))]:
            msg = f"a memento does not fit: it is not of a {type(target).__name__}"
            raise DataError(msg)
        self._set(target, data[2])

    def _set(self, target: Any, encoded: Mapping[str, Any]) -> None:
        if list(encoded) != self._fields(target):
            msg = f"a memento does not fit: {type(target).__name__} has other fields in this version"
            raise DataError(msg)
        for field, each in encoded.items():
            object.__setattr__(target, field, self.decode(each, getattr(target, field, None)))

    def _decoded(self, data: list[Any], present: Any) -> Any:
        match data[0]:
            case "f":
                return float(data[1])
            case "d":
                return Decimal(data[1])
            case "t":
                return tuple([self.decode(each) for each in data[1]])
            case "l":
                return [self.decode(each) for each in data[1]]
            case "q":
                return deque([self.decode(each) for each in data[2]], data[1])
            case "m":
                return {self.decode(key): self.decode(each) for key, each in data[1]}
            case "c":
                return Counter({self.decode(key): each for key, each in data[1]})
            case "e":
                return _class(data[1])(data[2])
            case "o":
                return self._object(data, present)
        msg = f"a memento does not fit: {data[0]!r} is no type of it"
        raise DataError(msg)

    def _object(self, data: list[Any], present: Any) -> Any:
        cls = _class(data[1])
        if self._declared_by(cls) is None:
            self.fill(present, data)
            return present
        made = cls.__new__(cls)
        self._set(made, data[2])
        for name, default in _derived(cls).items():
            object.__setattr__(made, name, default)
        return made

    def _fields(self, value: Any) -> list[str]:
        """Return the names of what the object holds, sorted."""
        declared = self._declared_by(type(value))
        return sorted(vars(value).keys() - self._left(type(value))) if declared is None else declared

    def _declared_by(self, cls: type) -> list[str] | None:
        """Return the fields that the class declares, None where only an object knows them."""
        if cls not in self._declared:
            self._declared[cls] = _declared(cls, self._left(cls))
        return self._declared[cls]

    def _left(self, cls: type) -> frozenset[str]:
        return self._left_alone.get(cls, frozenset())


def _declared(cls: type, left: frozenset[str]) -> list[str] | None:
    if is_dataclass(cls):
        return sorted({field.name for field in fields(cls)} - _derived(cls).keys() - left)
    slots = [vars(each).get("__slots__") for each in cls.__mro__[:-1]]
    if None in slots:
        return None
    return sorted({name for each in slots if each is not None for name in each} - left)


def _derived(cls: type) -> dict[str, Any]:
    """Return the defaults of the fields that are worked out anew."""
    found = fields(cls) if is_dataclass(cls) else ()
    return {field.name: field.default for field in found if field.metadata.get("derived")}


def _name(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _class(name: str) -> Any:
    """Return a class of this package that is loaded already: nothing is imported, nothing else is reached."""
    module, _, qualname = name.partition(":")
    found = getattr(sys.modules.get(module), qualname, None) if module.startswith(_PACKAGE) else None
    if not isinstance(found, type):
        msg = f"a memento does not fit: {name} is no class of this version"
        raise DataError(msg)
    return found

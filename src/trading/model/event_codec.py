"""Events and commands to and from canonical bodies: ints, strings, null, lists and objects of those, no floats.

A float becomes its shortest exact text and a Decimal its own, so ``decode(*encode(event)) == event``. Evidence of a
signal is the one exception: its floats stay text after decoding, because nothing says that they were floats.
"""

import re
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from decimal import Decimal
from enum import StrEnum
from operator import attrgetter
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from trading.errors import DataError

from . import commands, events
from .order import Measure

T = TypeVar("T")

Body = dict[str, Any]
_PLAIN: Final = frozenset({int, str, bool, type(None)})


def kind_of(event: events.Event | commands.Command) -> str:
    """Return the journal's word for it: ``OrderFilled`` -> ``order_filled``."""
    return _KIND_BY_CLASS[type(event)]


def encode(event: events.Event | commands.Command) -> tuple[str, Body]:
    """Return (kind, body). Every object in the body has its keys in order, as canonical JSON has them."""
    return kind_of(event), _encoded_record(event)


def decode(kind: str, body: Mapping[str, Any]) -> events.Event | commands.Command:
    """Return the event. Raises: DataError naming the kind and what does not fit."""
    cls = _CLASS_BY_KIND.get(kind)
    if cls is None:
        msg = f"journal row: unknown kind {kind!r}"
        raise DataError(msg, field="kind")
    try:
        decoded: events.Event | commands.Command = _decoded_record(cls, body)
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        msg = f"journal row of kind {kind!r} does not fit its fields: {error!r}"
        raise DataError(msg, field=kind) from error
    return decoded


def encode_record(record: Any) -> Body:
    """Return the body of any dataclass made of the same field types (an order, a signal, a bar)."""
    return _encoded_record(record)


def decode_record(cls: type[T], body: Any) -> T:
    """Return the record of a body, for a class that some event is made of. Raises: KeyError, TypeError, ValueError."""
    record: T = _decoded_record(cls, body)
    return record


def _encoded_record(record: Any) -> Body:
    reader = _READERS.get(type(record))
    if reader is None:
        return {name: _encoded(getattr(record, name)) for name in _names(record)}
    names, values, others, later = reader
    encoded: Body = dict(zip(names, values(record), strict=True))
    for name in others:
        value = encoded[name]
        if type(value) not in _PLAIN:
            encoded[name] = _encoded(value)
    for name, default in later:
        if encoded[name] == default:
            del encoded[name]
    return encoded


def _encoded_measure(measure: Measure) -> Body:
    """Spelled out: there are twenty of them in every entry."""
    return {
        "is_floor": measure.is_floor,
        "limit": measure.limit,
        "message": measure.message,
        "name": measure.name,
        "unit": measure.unit,
        "used": measure.used,
    }


def _names(record: Any) -> tuple[str, ...]:
    return tuple(sorted(field.name for field in fields(record)))


def _encoded(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is Measure:
        return _encoded_measure(value)
    if kind in _READERS:
        return _encoded_record(value)
    if kind is tuple or kind is list:
        return [_encoded(item) for item in value]
    if kind is float:
        return repr(value)
    if isinstance(value, StrEnum):
        return value.value
    if kind is Decimal:
        return str(value)
    if isinstance(value, Mapping):
        return {name: _encoded(value[name]) for name in sorted(value)}
    if is_dataclass(value):
        return _encoded_record(value)
    msg = f"{kind.__name__} has no place in a journal row"
    raise TypeError(msg)


def _decoded_record(cls: type[Any], body: Any) -> Any:
    hints = _HINTS_BY_CLASS[cls]
    if not isinstance(body, Mapping) or (body.keys() != hints.keys() and not _is_older(cls, body)):
        given = sorted(body) if isinstance(body, Mapping) else body
        msg = f"{cls.__name__} has the fields {sorted(hints)}, given was {given}"
        raise ValueError(msg)
    return cls(**{name: _decoded(hint, body[name]) for name, hint in hints.items() if name in body})


def _is_older(cls: type[Any], body: Mapping[str, Any]) -> bool:
    """Say whether nothing is missing but fields with a default, which the row may be older than."""
    later = {each.name for each in fields(cls) if each.default is not MISSING or each.default_factory is not MISSING}
    known = _HINTS_BY_CLASS[cls].keys()
    return body.keys() <= known and known - body.keys() <= later


def _decoded(hint: Any, value: Any) -> Any:
    if hint is int or hint is str or hint is bool:  # most fields are; nothing else of the hint is looked at
        if type(value) is not hint:
            msg = f"{value!r} is not of type {hint.__name__}"
            raise TypeError(msg)
        return value
    origin = get_origin(hint)
    if origin is tuple:
        return tuple(_decoded(get_args(hint)[0], item) for item in value)
    if origin is dict:
        return dict(value)
    if origin in (types.UnionType, Union):
        if value is None:
            return None
        inner = next(arg for arg in get_args(hint) if arg is not type(None))
        return _decoded(inner, value)
    if isinstance(hint, type) and is_dataclass(hint):
        return _decoded_record(hint, value)
    return hint(value)


def _kind(cls: type[Any]) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


def _records_of(cls: type[Any]) -> Iterator[type[Any]]:
    """Yield a record type and every record type that its fields hold."""
    yield cls
    for hint in get_type_hints(cls).values():
        for inner in (hint, *get_args(hint)):
            if isinstance(inner, type) and is_dataclass(inner):
                yield from _records_of(inner)


_CLASSES: Final[tuple[type[Any], ...]] = (*get_args(events.Event), *get_args(commands.Command))
_KIND_BY_CLASS: Final[Mapping[type[Any], str]] = types.MappingProxyType({cls: _kind(cls) for cls in _CLASSES})
_CLASS_BY_KIND: Final[Mapping[str, type[Any]]] = types.MappingProxyType({_kind(cls): cls for cls in _CLASSES})
_HINTS_BY_CLASS: Final[Mapping[type[Any], dict[str, Any]]] = types.MappingProxyType(
    {record: get_type_hints(record) for cls in _CLASSES for record in _records_of(cls)}
)
"""Resolved once: reading a journal asks for them at every row."""
_Reader = tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]], tuple[str, ...], tuple[tuple[str, Any], ...]]
_READERS: Final[Mapping[type[Any], _Reader]] = types.MappingProxyType(
    {
        record: (
            tuple(sorted(hints)),
            attrgetter(*sorted(hints)),
            tuple(name for name, hint in hints.items() if hint not in _PLAIN),
            tuple((each.name, each.default) for each in fields(record) if each.metadata.get("later")),
        )
        for record, hints in _HINTS_BY_CLASS.items()
        if len(hints) > 1  # of one name an attrgetter gives no tuple
    }
)
"""The fields of a record, how to read them at once, those that may need encoding, and those that are written only where
they differ from their default, so that older rows stay as they are."""
KINDS: Final[tuple[str, ...]] = tuple(_CLASS_BY_KIND)
"""Every word that ``encode`` may give, events and commands."""

"""Canonical JSON: the one spelling of a row, so that equal rows are equal bytes on every machine."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

_HASHED_AT_ONCE = 4_096
_ANY_INT = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
_AS_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
_LONG, _LONG_BELOW_ZERO = b"0" * 20, b"-" + b"0" * 19
"""What may be an int beyond 64 bits, of which orjson makes a float."""
_PLAIN = frozenset({str, int, bool, type(None)})


def canonical_json(body: Mapping[str, Any], *, is_plain: bool = False) -> bytes:
    """Return sorted keys, no spaces, UTF-8; ints of any size and strings only.

    ``is_plain``: the caller has made sure of that and of the order of all keys, and it is not looked at again.
    Raises: TypeError naming the key of a float or of anything else that has no canonical spelling.
    """
    if not is_plain:
        for key, value in body.items():
            if type(value) not in _PLAIN:
                _check(value, key)
    try:
        return orjson.dumps(body, option=None if is_plain else orjson.OPT_SORT_KEYS)
    except TypeError:  # an int beyond 64 bits, which orjson refuses and JSON does not
        return _ANY_INT.encode(body).encode()


def parse_json(body: bytes) -> dict[str, Any]:
    """Return the row's body; ints keep their size. Raises: ValueError."""
    parsed: dict[str, Any]
    digits = body.translate(_AS_ZEROS)
    if _LONG not in digits and _LONG_BELOW_ZERO not in digits:
        try:
            parsed = orjson.loads(body)
        except orjson.JSONDecodeError:  # what only Python's own reader takes, or nobody
            parsed = json.loads(body)
    else:
        parsed = json.loads(body)
    return parsed


class RowHash:
    """The running SHA-256 over the rows of a run. Every row is framed, so moving a byte between fields changes it."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, seq: int, ts_ns: int, kind: str, body: bytes) -> None:
        self.add_all([(seq, ts_ns, kind, body)])

    def add_all(self, rows: Sequence[tuple[int, int, str, bytes]]) -> None:
        for first in range(0, len(rows), _HASHED_AT_ONCE):
            self._hash.update(
                b"".join(
                    [
                        b"%d %d %s %d %s\n" % (seq, ts_ns, kind.encode(), len(body), body)
                        for seq, ts_ns, kind, body in rows[first : first + _HASHED_AT_ONCE]
                    ]
                )
            )

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def _check(value: Any, key: str) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if type(name) is not str:
                msg = f"{key}: a key must be a string, not {name!r}"
                raise TypeError(msg)
            _check(inner, f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for position, inner in enumerate(value):
            _check(inner, f"{key}[{position}]")
    elif type(value) not in _PLAIN:
        msg = f"{key}: only ints and strings belong into the journal, not {type(value).__name__} {value!r}"
        raise TypeError(msg)

"""Read a pickled point without running what it names: a pickle is a program, and this one comes from a file.

Only the few classes that a point is made of are admitted, and not even those are imported: each name stands for an
inert class of ours that keeps the fields it is given. The interpreter in Python is used rather than the one in C, which
can be made to fill gigabytes by a single opcode (its memo is an array as long as the largest number in the pickle).
"""

import io
import math
import pickle
import struct
from typing import Any

from memmcp_server.domain.identifiers import Json

MODELS = "qdrant_client.http.models.models"
NODES_MAX = 100_000
DEPTH_MAX = 64

_FAILURES = (
    pickle.UnpicklingError,
    struct.error,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What a broken or hostile stream makes the interpreter raise."""


class BadPickle(ValueError):
    """The stream is damaged, or names something that a point does not hold."""


class Record:
    """Stands for a model of the client: only its fields are kept."""

    __slots__ = ("fields",)

    def __setstate__(self, state: object) -> None:
        inner = state.get("__dict__") if isinstance(state, dict) else None
        self.fields: dict[object, object] = inner if isinstance(inner, dict) else {}


class _Sparse(Record):
    __slots__ = ()


_ADMITTED: dict[tuple[str, str], type] = {
    (MODELS, "PointStruct"): Record,
    (MODELS, "SparseVector"): _Sparse,
    # Pickles of old protocols make a set by its name.
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
}


class _Reader(pickle._Unpickler):
    def find_class(self, module: str, name: str, /) -> Any:
        found = _ADMITTED.get((module, name))
        if found is None:
            message = f"it names {ascii(module)[:80]}.{ascii(name)[:80]}, which no point holds; nothing of it was run"
            raise BadPickle(message)
        return found


def load_point(blob: bytes) -> dict[object, object]:
    """Return the fields of the point: ``id``, ``vector``, ``payload``. Raises: BadPickle."""
    try:
        loaded = _Reader(io.BytesIO(blob)).load()
    except BadPickle:
        raise
    except _FAILURES as error:
        message = f"not a point: {type(error).__name__}: {str(error)[:200]}"
        raise BadPickle(message) from error
    if type(loaded) is not Record or not hasattr(loaded, "fields"):
        message = f"not a point but {type(loaded).__name__}"
        raise BadPickle(message)
    return loaded.fields


def as_json(value: object) -> Json:
    """Return the value as JSON has it. Bounded: a small pickle can describe a huge tree, or one within itself.

    Raises: BadPickle.
    """
    budget = [NODES_MAX]
    return _json(value, budget, DEPTH_MAX)


def _json(value: object, budget: list[int], depth: int) -> Json:
    budget[0] -= 1
    if budget[0] < 0 or depth < 0:
        message = f"its payload has more than {NODES_MAX} parts, or is nested deeper than {DEPTH_MAX}"
        raise BadPickle(message)
    match value:
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case list() | tuple():
            return [_json(part, budget, depth - 1) for part in value]
        case dict() if all(isinstance(name, str) for name in value):
            return {name: _json(part, budget, depth - 1) for name, part in value.items()}
        case _:
            message = f"its payload holds a {type(value).__name__} that JSON does not know"
            raise BadPickle(message)

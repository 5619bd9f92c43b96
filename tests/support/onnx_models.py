"""Other embedding models for tests, made from the one at hand: an ONNX graph that hands out some of its dimensions.

Only the few fields of ONNX's protobuf messages that are needed are read and written here.
"""

import json
import shutil
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

GRAPH, NODE, INITIALIZER, OUTPUT = 7, 1, 5, 12
_LENGTH_DELIMITED = 2
_STATE, _PICKED, _PLACES = "last_hidden_state", "picked_state", "picked_places"


def picked_model(source: Path, target: Path, places: Sequence[int]) -> Path:
    """Write a model directory whose vectors are the given places of the source's, in that order; return it."""
    shutil.copytree(source, target)
    config = json.loads((source / "config.json").read_text("utf-8"))
    (target / "config.json").write_text(json.dumps({**config, "hidden_size": len(places)}), "utf-8")
    weights = target / "model.onnx"
    model = weights.read_bytes()
    weights.unlink()  # it may be a link to the installed package
    weights.write_bytes(_with_graph(model, places))
    return target


def _with_graph(model: bytes, places: Sequence[int]) -> bytes:
    return b"".join(
        _field(number, _picking(value, places)) if number == GRAPH else raw for number, raw, value in _fields(model)
    )


def _picking(graph: bytes, places: Sequence[int]) -> bytes:
    kept = b"".join(raw for number, raw, _ in _fields(graph) if number != OUTPUT)
    axis = _text(1, "axis") + _number(3, 2) + _number(20, 2)
    node = _text(1, _STATE) + _text(1, _PLACES) + _text(2, _PICKED) + _text(4, "Gather") + _field(5, axis)
    raw = struct.pack(f"<{len(places)}q", *places)
    initializer = _number(1, len(places)) + _number(2, 7) + _text(8, _PLACES) + _field(9, raw)
    shape = b"".join(_field(1, _text(2, name)) for name in ("batch", "tokens", "picked"))
    output = _text(1, _PICKED) + _field(2, _field(1, _number(1, 1) + _field(2, shape)))
    return kept + _field(NODE, node) + _field(INITIALIZER, initializer) + _field(OUTPUT, output)


def _fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield (number, the field as it stands, its content) of each field."""
    place = 0
    while place < len(message):
        begin = place
        key, place = _varint(message, place)
        content = b""
        match key & 7:
            case 0:
                _, place = _varint(message, place)
            case 1:
                place += 8
            case 2:
                length, place = _varint(message, place)
                content = message[place : place + length]
                place += length
            case 5:
                place += 4
            case kind:
                message_ = f"wire type {kind}"
                raise ValueError(message_)
        yield key >> 3, message[begin:place], content


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place


def _written(value: int) -> bytes:
    parts = []
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _field(number: int, content: bytes) -> bytes:
    return _written(number << 3 | _LENGTH_DELIMITED) + _written(len(content)) + content


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode())


def _number(number: int, value: int) -> bytes:
    return _written(number << 3) + _written(value)

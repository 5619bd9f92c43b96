"""Length-prefixed JSON between the daemon and the index worker: four bytes, big-endian, then that many bytes."""

import struct
from typing import BinaryIO

import orjson

from memmcp_server.domain.identifiers import JsonObject

FRAME_BYTES_MAX = 16 * 1024 * 1024
HEADER = struct.Struct(">I")


class BrokenFrame(Exception):
    """The stream cannot be followed any further (length over the limit, or cut off)."""


class BadDocument(Exception):
    """The frame is whole but not a JSON object."""


def encode(document: JsonObject) -> bytes:
    """Raises: BadDocument when it is too large or not representable."""
    try:
        body = orjson.dumps(document)
    except (TypeError, orjson.JSONEncodeError) as problem:
        message = f"not representable as JSON: {problem}"
        raise BadDocument(message) from problem
    if len(body) > FRAME_BYTES_MAX:
        message = f"{len(body)} bytes, at most {FRAME_BYTES_MAX} allowed"
        raise BadDocument(message)
    return HEADER.pack(len(body)) + body


def body_length(header: bytes) -> int:
    """Raises: BrokenFrame."""
    (length,) = HEADER.unpack(header)
    if length > FRAME_BYTES_MAX:
        message = f"a frame of {length} bytes was announced, at most {FRAME_BYTES_MAX} allowed"
        raise BrokenFrame(message)
    return int(length)


def decode(body: bytes) -> JsonObject:
    """Raises: BadDocument."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as problem:
        message = f"not JSON: {problem}"
        raise BadDocument(message) from problem
    if not isinstance(document, dict):
        message = f"an object is expected, got {type(document).__name__}"
        raise BadDocument(message)
    return document


def read_body(stream: BinaryIO) -> bytes | None:
    """Return the next frame's body, None at a clean end. Blocking. Raises: BrokenFrame."""
    header = _read_exactly(stream, HEADER.size)
    if header is None:
        return None
    body = _read_exactly(stream, body_length(header))
    if body is None:
        message = "the stream ended inside a frame"
        raise BrokenFrame(message)
    return body


def _read_exactly(stream: BinaryIO, length: int) -> bytes | None:
    chunks: list[bytes] = []
    missing = length
    while missing:
        chunk = stream.read(missing)
        if not chunk:
            if missing == length:
                return None
            message = "the stream ended inside a frame"
            raise BrokenFrame(message)
        chunks.append(chunk)
        missing -= len(chunk)
    return b"".join(chunks)

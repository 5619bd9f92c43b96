"""What the bridge has to know of JSON-RPC and of memMCP's tools. Standard library only."""

import json

Message = dict[str, object]
RequestId = str | int

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
SERVER_ERROR = -32000

STAMP = "memmcp/request"
"""``_meta`` field of a tools/call: "<bridge uuid>:<request id>", the idempotency key where the caller gave none."""

STAMP_ID_CHARS_MAX = 64

REPEATABLE_TOOLS = frozenset(
    {"memory_search", "memory_write", "strategy_digest", "telemetry_trading", "trajectory", "why"}
)
"""Tools that may be called again after a daemon's death: reads, and the writes whose content makes a repeat harmless.

Any other tool acts on money or on the desk: the caller decides, with the key.
"""


class Uncarried(ValueError):
    """The line is readable, but the daemon would drop it; ``request_id`` is whose answer says so, None: nobody's."""

    def __init__(self, message: str, request_id: RequestId | None) -> None:
        super().__init__(message)
        self.request_id = request_id


def parse(line: bytes) -> object:
    """Return the JSON value. Raises: ValueError; Uncarried (NaN, Infinity, half of a character)."""
    constants: list[str] = []
    try:
        value: object = json.loads(line, parse_constant=constants.append)
    except RecursionError as error:
        msg = "nested too deeply"
        raise ValueError(msg) from error
    if constants:
        msg = f"{constants[0]} is not JSON"
        raise Uncarried(msg, _asked_by(value))
    if b"\\u" in line and _holds_surrogate(value):
        # The daemon's reader refuses the whole line and cannot say which request it was.
        msg = "a text holds half of a character (a lone surrogate): it was cut, or decoded wrongly"
        raise Uncarried(msg, _asked_by(value))
    return value


def _asked_by(value: object) -> RequestId | None:
    """Return whose answer is waited for, None where the line is no request or its id itself cannot be written."""
    if not isinstance(value, dict) or "method" not in value:
        return None
    request_id = request_id_of(value)
    return None if _holds_surrogate(request_id) else request_id


def _holds_surrogate(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def encode(message: Message) -> bytes:
    """Return one line. Raises: ValueError (infinite float)."""
    # Escapes keep lone surrogates, which UTF-8 could not carry.
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


def error_line(
    request_id: RequestId | None, code: int, message: str, *, kind: str, data: Message | None = None
) -> bytes:
    body = {"code": code, "message": message, "data": {"code": kind, **(data or {})}}
    return encode({"jsonrpc": "2.0", "id": request_id, "error": body})


def request_id_of(message: Message) -> RequestId | None:
    """Return the id of a request or response, None when it is missing or of a type that JSON-RPC does not allow."""
    ident = message.get("id")
    return ident if isinstance(ident, str | int) and not isinstance(ident, bool) else None


def params_of(message: Message) -> Message:
    params = message.get("params")
    return params if isinstance(params, dict) else {}


def stamp(message: Message, bridge: str, number: int) -> str:
    """Put the bridge's idempotency stamp into a tools/call, over anything the client put there; return the stamp.

    ``number`` counts the bridge's requests and stands in for an id that is too odd to be part of a key.
    """
    request_id = json.dumps(message.get("id"))
    is_plain = len(request_id) <= STAMP_ID_CHARS_MAX and " " not in request_id
    value = f"{bridge}:{request_id}" if is_plain else f"{bridge}:#{number}"
    params = message.setdefault("params", {})
    if isinstance(params, dict):
        meta = params.setdefault("_meta", {})
        if isinstance(meta, dict):
            meta[STAMP] = value
    return value


def key_of(message: Message) -> str:
    """Return the key under which a tools/call takes effect: the caller's own, else the stamp."""
    params = params_of(message)
    arguments = params.get("arguments")
    given = arguments.get("idempotency_key") if isinstance(arguments, dict) else None
    meta = params.get("_meta")
    stamped = meta.get(STAMP) if isinstance(meta, dict) else None
    return str(given or stamped or "")


def is_repeatable(message: Message) -> bool:
    """Whether the request may be sent again when nobody knows if it was carried out."""
    return message.get("method") != "tools/call" or params_of(message).get("name") in REPEATABLE_TOOLS

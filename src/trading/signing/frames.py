"""What goes over the signer's socket: a length, then that much JSON; and who is at the other end, as the kernel says.

A request is ``{"op": ..., "body": {...}}``. An answer is ``{"result": ...}`` or ``{"error": {"code", ...}}``.
"""

import asyncio
import json
import pwd
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from trading.errors import InvalidInput, SignerUnavailable, TradingError

FRAME_BYTES_MAX: Final = 192 * 1024
_HEAD: Final = struct.Struct(">I")
_CREDENTIALS: Final = struct.Struct("3i")


class NotAllowed(TradingError):
    """This user may not ask for that."""

    code = "not_allowed"


@dataclass(frozen=True, slots=True)
class Peer:
    """Who opened the other end of a socket, at the time when it did."""

    pid: int
    uid: int
    gid: int


class Connection:
    """One end of the socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def peer(self) -> Peer:
        return _peer_of(self._writer.get_extra_info("socket"))

    async def send(self, document: dict[str, Any]) -> None:
        """Raises: InvalidInput for one that is too large; SignerUnavailable where the other end is gone."""
        content = json.dumps(document, separators=(",", ":")).encode()
        if len(content) > FRAME_BYTES_MAX:
            msg = f"{len(content)} bytes are too many for one message to or from the signer"
            raise InvalidInput(msg)
        try:
            self._writer.write(_HEAD.pack(len(content)) + content)
            await self._writer.drain()
        except OSError as error:
            raise _gone() from error

    async def receive(self) -> dict[str, Any] | None:
        """Return the next document, None where the other end closed in between two.

        Raises: InvalidInput for what is no frame of ours; SignerUnavailable where the other end went in the middle.
        """
        try:
            head = await self._reader.readexactly(_HEAD.size)
        except asyncio.IncompleteReadError as error:
            if not error.partial:
                return None
            raise _gone() from error
        except OSError:
            return None  # reset: closed by one who had not read what was sent to it
        (length,) = _HEAD.unpack(head)
        if length > FRAME_BYTES_MAX:
            msg = f"a message of {length} bytes is too large"
            raise InvalidInput(msg)
        try:
            return _object(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError) as error:
            raise _gone() from error

    async def aclose(self) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


def uid_of(user: str) -> int:
    """Return the number of a user. Raises: InvalidInput for a name that the system does not know."""
    if user.isdecimal():
        return int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError as error:
        msg = f"there is no user {user[:60]!r}"
        raise InvalidInput(msg, field="user") from error


def _peer_of(raw: socket.socket) -> Peer:
    """Return who is at the other end. Raises: SignerUnavailable on a system that does not tell."""
    if sys.platform != "linux":
        msg = "this system does not say who is at the other end of a socket in a way that we know"
        raise SignerUnavailable(msg)
    return Peer(*_CREDENTIALS.unpack(raw.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)))


def _object(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        msg = "the message is not JSON"
        raise InvalidInput(msg) from error
    if not isinstance(document, dict):
        msg = "the message is no JSON object"
        raise InvalidInput(msg)
    return document


def _gone() -> SignerUnavailable:
    return SignerUnavailable("the other end of the signer's socket is gone")

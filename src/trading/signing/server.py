"""The signer's socket. What a peer may ask depends on its user, which the kernel tells, and on nothing it says.

The desk's user may ask for signatures, put orders before the operator, hand on a passkey's answers, and disarm. The
operator's users (root, and the signer's own) may unlock, arm and add passkeys, each time with the passphrase. Where
both are one user, the passphrase alone is between an agent's shell and arming (docs/threat-model.md).
"""

import asyncio
import logging
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from trading.errors import InvalidInput, SignerUnavailable, SigningRefused, TradingError

from . import requests as ask
from .book import Approval, Passkey
from .core import SignerCore
from .frames import Connection, NotAllowed, Peer
from .requests import parsed
from .secrets import Passphrase

logger = logging.getLogger(__name__)

CONNECTIONS_MAX: Final = 32
IDLE_S: Final = 60.0
REQUEST_S: Final = 60.0
APPROVALS_SHOWN: Final = 50


@dataclass(frozen=True, slots=True)
class Doors:
    """User ids. Whoever is in neither gets no answer at all."""

    desk_uids: frozenset[int]
    operator_uids: frozenset[int]


Handler = Callable[[Any], Awaitable[Any]]


class SignerServer:
    """Serves one core. Requests of one connection are answered in turn."""

    def __init__(self, core: SignerCore, doors: Doors, now_ns: Callable[[], int]) -> None:
        self._core = core
        self._doors = doors
        self._now_ns = now_ns
        self._open = 0
        self._desk: Mapping[str, tuple[type[ask.Request], Handler]] = {
            "status": (ask.Nothing, self._status),
            "wallets": (ask.Nothing, self._wallets),
            "sign": (ask.Sign, self._sign),
            "disarm": (ask.Disarm, self._disarm),
            "approvals": (ask.Nothing, self._approvals),
            "approval": (ask.ApprovalNamed, self._approval),
            "approval_ask": (ask.Ask, self._approval_ask),
            "approval_challenge": (ask.ApprovalNamed, self._approval_challenge),
            "approval_approve": (ask.Approve, self._approval_approve),
            "approval_refuse": (ask.ApprovalNamed, self._approval_refuse),
            "passkey_options": (ask.Code, self._passkey_options),
            "passkey_register": (ask.Register, self._passkey_register),
        }
        self._operator: Mapping[str, tuple[type[ask.Request], Handler]] = {
            "unlock": (ask.Unlock, self._unlock),
            "lock": (ask.Nothing, self._lock),
            "arm": (ask.Arm, self._arm),
            "passkey_begin": (ask.Unlock, self._passkey_begin),
            "passkey_waiting": (ask.Nothing, self._passkey_waiting),
            "passkey_confirm": (ask.Fingerprint, self._passkey_confirm),
            "passkey_remove": (ask.Fingerprint, self._passkey_remove),
        }

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection until it ends, idles too long, or sends what is no request."""
        connection = Connection(reader, writer)
        self._open += 1
        try:
            peer = connection.peer()
            if peer.uid not in self._doors.desk_uids | self._doors.operator_uids:
                logger.warning("user %d (process %d) may not speak to the signer", peer.uid, peer.pid)
            elif self._open > CONNECTIONS_MAX:
                await connection.send(_error(SignerUnavailable("too many connections")))
            else:
                await self._converse(connection, peer)
        except SignerUnavailable:
            return  # the other end is gone, so there is nobody to tell
        finally:
            self._open -= 1
            await connection.aclose()

    async def _converse(self, connection: Connection, peer: Peer) -> None:
        while True:
            try:
                async with asyncio.timeout(IDLE_S):
                    request = await connection.receive()
            except TimeoutError:
                return
            except InvalidInput as error:
                await connection.send(_error(error))
                return
            if request is None:
                return
            await connection.send(await self._answer(request, peer))

    async def _answer(self, request: Mapping[str, Any], peer: Peer) -> dict[str, Any]:
        try:
            kind, handler = self._door(request.get("op"), peer)
            async with asyncio.timeout(REQUEST_S):
                return {"result": await handler(parsed(kind, request.get("body", {})))}
        except TimeoutError:
            return _error(SignerUnavailable(f"not done within {REQUEST_S:g} s; ask again"))
        except TradingError as error:
            return _error(error)

    def _door(self, op: Any, peer: Peer) -> tuple[type[ask.Request], Handler]:
        if not isinstance(op, str):
            op = ""
        if op in self._operator:
            if peer.uid not in self._doors.operator_uids:
                logger.warning("user %d (process %d) asked for %s, which is the operator's", peer.uid, peer.pid, op)
                msg = f"{op} is for the signer's own user and for root"
                raise NotAllowed(msg, field="op")
            return self._operator[op]
        if op in self._desk:
            return self._desk[op]
        msg = "there is no such request"
        raise InvalidInput(msg, field="op")

    # -- the desk's requests

    async def _status(self, _body: ask.Nothing) -> dict[str, Any]:
        return self._core.status()

    async def _wallets(self, _body: ask.Nothing) -> list[str]:
        return self._core.wallets()

    async def _sign(self, body: ask.Sign) -> str:
        return (await self._core.sign(body.value())).hex()

    async def _disarm(self, body: ask.Disarm) -> dict[str, Any]:
        self._core.disarm(body.why or "asked for")
        return self._core.status()

    async def _approvals(self, _body: ask.Nothing) -> list[dict[str, Any]]:
        found = self._core.book().all_approvals(self._now_ns())
        return [_approval_body(each) for each in found[:APPROVALS_SHOWN]]

    async def _approval(self, body: ask.ApprovalNamed) -> dict[str, Any] | None:
        found = self._core.book().approval(body.id, self._now_ns())
        return None if found is None else _approval_body(found)

    async def _approval_ask(self, body: ask.Ask) -> dict[str, Any]:
        desk, mandate = self._core.approvals(), self._core.mandate()
        return _approval_body(desk.ask(body.value(), mandate, self._now_ns()))

    async def _approval_challenge(self, body: ask.ApprovalNamed) -> dict[str, Any]:
        return self._core.approvals().challenge(body.id, self._now_ns())

    async def _approval_approve(self, body: ask.Approve) -> dict[str, Any]:
        return _approval_body(self._core.approvals().approve(body.id, body.credential, self._now_ns()))

    async def _approval_refuse(self, body: ask.ApprovalNamed) -> dict[str, Any]:
        return _approval_body(self._core.approvals().refuse(body.id, self._now_ns()))

    async def _passkey_options(self, body: ask.Code) -> dict[str, Any]:
        known = list(self._core.book().passkeys.values())
        return self._core.passkeys.options(body.code, known, self._now_ns())

    async def _passkey_register(self, body: ask.Register) -> dict[str, Any]:
        self._core.book()
        waiting = self._core.passkeys.register(body.code, body.credential, body.label, self._now_ns())
        return _passkey_body(waiting)

    # -- the operator's requests

    async def _unlock(self, body: ask.Unlock) -> dict[str, Any]:
        await self._core.unlock(Passphrase(body.passphrase))
        return self._core.status()

    async def _lock(self, _body: ask.Nothing) -> dict[str, Any]:
        await self._core.lock()
        return self._core.status()

    async def _arm(self, body: ask.Arm) -> dict[str, Any]:
        await self._core.arm(Passphrase(body.passphrase), body.text.encode(), Path(body.source), body.evidence)
        return self._core.status()

    async def _passkey_begin(self, body: ask.Unlock) -> str:
        return await self._core.begin_passkey(Passphrase(body.passphrase))

    async def _passkey_waiting(self, _body: ask.Nothing) -> dict[str, Any] | None:
        waiting = self._core.passkeys.waiting(self._now_ns())
        return None if waiting is None else _passkey_body(waiting)

    async def _passkey_confirm(self, body: ask.Fingerprint) -> dict[str, Any]:
        await self._core.confirm_passkey(Passphrase(body.passphrase), body.fingerprint)
        return self._core.status()

    async def _passkey_remove(self, body: ask.Fingerprint) -> dict[str, Any]:
        await self._core.remove_passkey(Passphrase(body.passphrase), body.fingerprint)
        return self._core.status()


@asynccontextmanager
async def listening(path: Path, server: SignerServer, doors: Doors) -> AsyncIterator[None]:
    """Serve on the socket until the block is left. Others than us may connect where the desk is another user.

    Raises: InvalidInput: something that is no socket lies there, or the folder can be written to by others;
    SignerUnavailable: another signer answers there.
    """
    _require_place(path)
    await _require_unused(path)
    _remove(path)
    # Who is at the other end is asked of the kernel: the file's mode only keeps those out who have nothing to ask.
    mode = 0o666 if doors.desk_uids - {os.geteuid(), 0} else 0o600
    connections: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(server.handle(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)
        task.add_done_callback(lambda _task: writer.close())  # also of one that was cut before it began

    listener = await asyncio.start_unix_server(accept, path, backlog=CONNECTIONS_MAX)
    try:
        _open_to(path, mode)
        yield
    finally:
        listener.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await listener.wait_closed()
        _remove(path)


def _open_to(path: Path, mode: int) -> None:
    path.chmod(mode)


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()


def _require_place(path: Path) -> None:
    seen = path.parent.stat()
    if seen.st_uid not in {os.geteuid(), 0} or stat.S_IMODE(seen.st_mode) & 0o022:
        msg = f"{path.parent} can be written to by others, who could put a socket of their own there"
        raise InvalidInput(msg, field="socket")
    if path.is_symlink() or (path.exists() and not path.is_socket()):
        msg = f"{path} is there and is no socket"
        raise InvalidInput(msg, field="socket")


async def _require_unused(path: Path) -> None:
    try:
        connection = Connection(*await asyncio.open_unix_connection(path))
    except OSError:
        return
    await connection.aclose()
    msg = f"another signer answers at {path}"
    raise SignerUnavailable(msg)


def _error(error: TradingError) -> dict[str, Any]:
    told: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.field:
        told["field"] = error.field
    if error.hint:
        told["hint"] = error.hint
    if isinstance(error, SigningRefused):
        told["reasons"] = list(error.reasons)
    return {"error": told}


def _approval_body(approval: Approval) -> dict[str, Any]:
    return {
        "id": approval.id,
        "state": approval.state.value,
        "asked_ns": approval.asked_ns,
        "order": asdict(approval.order),
    }


def _passkey_body(key: Passkey) -> dict[str, Any]:
    return {"fingerprint": key.fingerprint, "label": key.label}

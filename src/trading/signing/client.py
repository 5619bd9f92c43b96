"""The signer as the desk and the command line see it: over its socket, and only if its user is the one expected."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from trading.errors import (
    ChainUnavailable,
    InvalidInput,
    JournalUnavailable,
    NotArmed,
    SignerUnavailable,
    SigningRefused,
    TradingError,
    WrongChain,
)
from trading.model.chain import SignWanted

from .audit import AuditAltered
from .book import ApprovalOrder
from .frames import Connection, NotAllowed
from .keys import WrongPassphrase
from .requests import Sign

TIMEOUT_S: Final = 30.0
SIGNATURE_BYTES: Final = 64
_KINDS: Final[Mapping[str, type[TradingError]]] = {
    kind.code: kind
    for kind in (
        AuditAltered,
        ChainUnavailable,
        InvalidInput,
        JournalUnavailable,
        NotAllowed,
        NotArmed,
        SignerUnavailable,
        WrongChain,
        WrongPassphrase,
    )
}


class SignerSocket:
    """One request, one connection. ``signer_uid``: who must be at the other end; None: nobody checks.

    Raises everywhere: SignerUnavailable where nobody, or somebody else, answers; else what the signer says.
    """

    def __init__(self, path: Path, signer_uid: int | None, timeout_s: float = TIMEOUT_S) -> None:
        self.path = path
        self._signer_uid = signer_uid
        self._timeout_s = timeout_s

    async def ask(self, op: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            async with asyncio.timeout(self._timeout_s):
                connection = Connection(*await asyncio.open_unix_connection(self.path))
                try:
                    self._require_signer(connection.peer().uid)
                    await connection.send({"op": op, "body": dict(body or {})})
                    answer = await connection.receive()
                finally:
                    await connection.aclose()
        except TimeoutError as error:
            msg = f"the signer at {self.path} gave no answer in {self._timeout_s:g} s"
            raise SignerUnavailable(msg) from error
        except OSError as error:
            msg = f"no signer answers at {self.path} ({error.strerror or error})"
            raise SignerUnavailable(msg, hint="start it: memmcp-trade signer run") from error
        if answer is None:
            msg = f"the signer at {self.path} gave no answer to user {os.geteuid()}"
            raise SignerUnavailable(msg, hint="it speaks to those users only that --desk-user names")
        if "error" in answer:
            raise _told(answer["error"])
        return answer.get("result")

    def _require_signer(self, uid: int) -> None:
        """Nobody types a passphrase into, or believes, a socket that another user put there."""
        if self._signer_uid is not None and uid != self._signer_uid:
            msg = f"at {self.path} user {uid} answers, not the signer's user {self._signer_uid}"
            raise SignerUnavailable(msg, hint="name the signer's user, or look who put that socket there")


class SocketSigner:
    """The body of ``ports.Signer`` over the signer's socket, and what else a desk may ask it."""

    def __init__(self, socket: SignerSocket) -> None:
        self._socket = socket

    async def wallets(self) -> Sequence[str]:
        return [str(each) for each in await self._socket.ask("wallets")]

    async def sign(self, wanted: SignWanted) -> bytes:
        """Raises: SigningRefused, SignerUnavailable; after the latter the signer may have counted the message."""
        answer = await self._socket.ask("sign", Sign.body_of(wanted))
        try:
            signature = bytes.fromhex(answer)
        except (ValueError, TypeError) as error:
            msg = "the signer's answer is no signature"
            raise SignerUnavailable(msg) from error
        if len(signature) != SIGNATURE_BYTES:
            msg = "the signer's answer is no signature"
            raise SignerUnavailable(msg)
        return signature

    async def status(self) -> dict[str, Any]:
        """Return what is armed, until when, and how much of the day is spent."""
        found: dict[str, Any] = await self._socket.ask("status")
        return found

    async def disarm(self, why: str) -> dict[str, Any]:
        found: dict[str, Any] = await self._socket.ask("disarm", {"why": why})
        return found

    async def approvals(self) -> list[dict[str, Any]]:
        """Return the newest orders that waited or wait for the operator, newest first."""
        found: list[dict[str, Any]] = await self._socket.ask("approvals")
        return found

    async def approval(self, approval_id: str) -> dict[str, Any] | None:
        """Return an order that waited or waits for the operator, None for one that the signer does not know."""
        found: dict[str, Any] | None = await self._socket.ask("approval", {"id": approval_id})
        return found

    async def ask_approval(self, order: ApprovalOrder) -> dict[str, Any]:
        """Put an order before the operator. Raises: NotArmed; InvalidInput for one that no approval would allow."""
        found: dict[str, Any] = await self._socket.ask("approval_ask", asdict(order))
        return found

    async def challenge(self, approval_id: str) -> dict[str, Any]:
        found: dict[str, Any] = await self._socket.ask("approval_challenge", {"id": approval_id})
        return found

    async def approve(self, approval_id: str, credential: Mapping[str, Any]) -> dict[str, Any]:
        wish = {"id": approval_id, "credential": dict(credential)}
        found: dict[str, Any] = await self._socket.ask("approval_approve", wish)
        return found

    async def refuse(self, approval_id: str) -> dict[str, Any]:
        found: dict[str, Any] = await self._socket.ask("approval_refuse", {"id": approval_id})
        return found

    async def passkey_options(self, code: str) -> dict[str, Any]:
        found: dict[str, Any] = await self._socket.ask("passkey_options", {"code": code})
        return found

    async def register_passkey(self, code: str, credential: Mapping[str, Any], label: str) -> dict[str, Any]:
        wish = {"code": code, "credential": dict(credential), "label": label}
        found: dict[str, Any] = await self._socket.ask("passkey_register", wish)
        return found


def _told(error: Any) -> TradingError:
    """Return the signer's error as ours."""
    if not isinstance(error, dict):
        return SignerUnavailable("the signer's answer is none of ours")
    code, message = str(error.get("code")), str(error.get("message"))
    field, hint = error.get("field"), error.get("hint")
    if code == SigningRefused.code:
        return SigningRefused(message, reasons=tuple(map(str, error.get("reasons", ()))))
    return _KINDS.get(code, SignerUnavailable)(message, field=field, hint=hint)

"""The signer's approvals as our port. What is decided is decided in the signer; this only carries words to and fro."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memmcp_server.domain.identifiers import JsonObject

if TYPE_CHECKING:
    from .trading_desk import ApprovalDoor


class SignerApprovals:
    """``ports.Approvals`` over the signer's socket, which the environment or the data directory names.

    The desk's libraries take a second to import, so that is done when somebody first asks.
    """

    def __init__(self, environ: Mapping[str, str], data_dir: Path) -> None:
        self._environ = environ
        self._data_dir = data_dir
        self._door: ApprovalDoor | None = None

    async def _real(self) -> "ApprovalDoor":
        if self._door is None:
            self._door = await asyncio.to_thread(self._open)
        return self._door

    def _open(self) -> "ApprovalDoor":
        from .trading_desk import ApprovalDoor

        return ApprovalDoor(self._environ, self._data_dir)

    async def overview(self) -> JsonObject:
        return await (await self._real()).overview()

    async def arming(self) -> JsonObject:
        return await (await self._real()).arming()

    async def disarm(self, why: str) -> JsonObject:
        return await (await self._real()).disarm(why)

    async def challenge(self, approval_id: str) -> JsonObject:
        return await (await self._real()).challenge(approval_id)

    async def approve(self, approval_id: str, credential: Mapping[str, Any]) -> JsonObject:
        return await (await self._real()).approve(approval_id, credential)

    async def refuse(self, approval_id: str) -> JsonObject:
        return await (await self._real()).refuse(approval_id)

    async def passkey_options(self, code: str) -> JsonObject:
        return await (await self._real()).passkey_options(code)

    async def register_passkey(self, code: str, credential: Mapping[str, Any], label: str) -> JsonObject:
        return await (await self._real()).register_passkey(code, credential, label)

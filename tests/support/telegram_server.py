"""A loopback server that speaks Telegram's Bot API: sound by default, with faults on demand.

``faults[method]`` names what the next calls of that method get instead. What the bot sent and deleted is kept.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Final

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.support.market_server import loopback

BOT: Final = "7012345678"
TOKEN: Final = f"{BOT}:AAHk3vU9x2QmZr7Wc1Lp0Tn5Ys8Bd4Ef6Gj"
"""Looks like a bot's token, so that a leak of it is found."""
OPERATOR: Final = 4242
STRANGER: Final = 666

Data = dict[str, Any]


@dataclass
class TelegramServer:
    """``now_s`` is Telegram's clock. ``say`` is a person who types."""

    faults: dict[str, list[str]] = field(default_factory=dict)
    now_s: int = 1_700_000_000
    tells_time: bool = True
    next_update: int = 900
    waiting: list[Data] = field(default_factory=list)
    sent: list[Data] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)
    calls: list[tuple[str, Data]] = field(default_factory=list)
    forgets_offsets: bool = False
    """Whether it gives updates again that were confirmed, as a lying or restored server may."""
    url: str = ""
    _given: list[Data] = field(default_factory=list)
    _bell: anyio.Event = field(default_factory=anyio.Event)

    def begin_anew(self) -> None:
        """Forget everything but the address."""
        self._ring()
        self.__init__(url=self.url)  # type: ignore[misc]

    @property
    def said(self) -> list[str]:
        """What the bot has said so far."""
        return [each["text"] for each in self.sent]

    def say(self, text: str, *, user: int = OPERATOR, age_s: int = 0, **changes: Any) -> int:
        """Have a person write to the bot; returns the update's number."""
        message = {
            "message_id": self.next_update + 10_000,
            "from": {"id": user, "is_bot": False, "first_name": "A"},
            "chat": {"id": user, "type": "private"},
            "date": self.now_s - age_s,
            "text": text,
            **changes,
        }
        return self.give({"message": message})

    def give(self, update: Data) -> int:
        """Queue an update, whatever it is."""
        number = self.next_update
        self.next_update += 1
        self.waiting.append({"update_id": number, **update})
        self._ring()
        return number

    def repeat_all(self) -> None:
        """Queue everything again that was ever given."""
        self.waiting = [*self._given, *(each for each in self.waiting if each not in self._given)]
        self._ring()

    def _ring(self) -> None:
        self._bell.set()
        self._bell = anyio.Event()

    async def _call(self, request: Request) -> Response:
        method = request.path_params["method"]
        try:
            wish = json.loads(await request.body() or b"{}")
        except ClientDisconnect:  # a listener that was killed
            return Response(status_code=499)
        self.calls.append((method, wish))
        fault = self.faults[method].pop(0) if self.faults.get(method) else ""
        if fault:
            return await self._broken(fault)
        if request.path_params["token"] != TOKEN:
            return self._error(401, "Unauthorized")
        match method:
            case "getUpdates":
                return self._ok(await self._updates(wish))
            case "getMe":
                return self._ok({"id": int(BOT), "is_bot": True, "username": "desk_bot"})
            case "sendMessage":
                if len(wish["text"].encode("utf-16-le")) > 2 * 4_096 or not wish["text"].strip():
                    return self._error(400, "Bad Request: message is too long")
                if wish["chat_id"] != OPERATOR:
                    return self._error(403, "Forbidden: bot was blocked by the user")
                self.sent.append(wish)
                return self._ok({"message_id": len(self.sent)})
            case "deleteMessage":
                if wish["message_id"] in self.deleted:
                    return self._error(400, "Bad Request: message to delete not found")
                self.deleted.append(wish["message_id"])
                return self._ok(True)
        return self._error(404, "Not Found")

    async def _updates(self, wish: Data) -> list[Data]:
        offset = wish.get("offset", 0)
        self.waiting = [each for each in self.waiting if self.forgets_offsets or not _is_before(each, offset)]
        if not self.waiting:
            with anyio.move_on_after(wish.get("timeout", 0)):
                await self._bell.wait()
        found = self.waiting[: wish["limit"]]
        self._given.extend(each for each in found if each not in self._given)
        return found

    async def _broken(self, fault: str) -> Response:
        kind, _, detail = fault.partition(":")
        match kind:
            case "busy":
                answer = {"ok": False, "error_code": 429, "description": "Too Many Requests"}
                return JSONResponse({**answer, "parameters": {"retry_after": int(detail)}}, 429)
            case "error":
                return JSONResponse({"ok": False, "description": f"the token was {TOKEN}"}, 500)
            case "conflict":
                return self._error(409, "Conflict: terminated by other getUpdates request")
            case "hanging":
                await anyio.sleep_forever()
            case "malformed":
                return Response(b'{"ok": true, "result": [{', media_type="application/json")
            case "odd":
                return self._ok({"not": "a list"})
            case "huge":
                return StreamingResponse(_flood(), media_type="application/json")
        return self._error(int(kind), detail)

    def _ok(self, result: Any) -> Response:
        # Escaped, as Telegram does: half a surrogate pair comes through then.
        body = json.dumps({"ok": True, "result": result})
        return Response(body, media_type="application/json", headers=self._headers())

    def _error(self, status: int, description: str) -> Response:
        body = {"ok": False, "error_code": status, "description": description}
        return JSONResponse(body, status, headers=self._headers())

    def _headers(self) -> dict[str, str]:
        return {"date": formatdate(self.now_s, usegmt=True)} if self.tells_time else {}

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve until the block is left; yields the base address."""
        async with loopback([Route("/bot{token}/{method}", self._call, methods=["POST"])]) as url:
            self.url = url
            try:
                yield url
            finally:
                self._ring()


def _is_before(update: Data, offset: int) -> bool:
    number = update.get("update_id")
    return type(number) is int and number < offset


async def _flood() -> AsyncIterator[bytes]:
    for _ in range(64):
        yield b" " * 65_536
        await anyio.lowlevel.checkpoint()

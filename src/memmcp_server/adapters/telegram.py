"""Telegram's Bot API: long polling, plain text out, and every way in which it fails as one of two errors.

Unavailable: ask again, later where it says so. InvalidInput: asking again changes nothing (the token is not accepted,
the user has blocked the bot). The address of every call holds the token, so it is in no log and in no error.
"""

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeGuard

import anyio

from memmcp_server.config import PhoneSection
from memmcp_server.domain.phone import Message, Update, Updates
from memmcp_server.errors import InvalidInput, Unavailable

from .quiet_http import Answered, QuietHttp, checked_url, retry_after_s

WHO: Final = "Telegram"
UPDATES_MAX: Final = 20
ANSWER_BYTES_MAX: Final = 2_000_000
TEXT_UNITS_MAX: Final = 4_096
"""As Telegram counts: UTF-16 code units."""
_CUT: Final = "\n[cut]"
_OK: Final = 200
_CONFLICT: Final = 409
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_INT_MAX: Final = 2**53


class TelegramChat:
    """``ports.Chat``; open it with ``opened_chat``. ``bot`` is the number before the token's secret part."""

    def __init__(self, section: PhoneSection, http: QuietHttp) -> None:
        """Raises: InvalidInput where the token is none."""
        token = "" if section.token is None else section.token.get_secret_value()
        self.bot, colon, secret = token.partition(":")
        if not colon or not self.bot.isdecimal() or not secret or not token.isascii() or "/" in token:
            msg = "phone.token is no token of a bot: BotFather gives one such as 123456:ABC..."
            raise InvalidInput(msg, field="phone.token")
        self._base = f"{checked_url(section.base_url, 'phone.base_url')}/bot{token}"
        self._secret = secret
        self._section = section
        self._http = http
        self._away_until_s = 0.0

    async def updates(self, offset: int) -> Updates:
        wish: dict[str, Any] = {"timeout": self._section.poll_s, "limit": UPDATES_MAX, "allowed_updates": ["message"]}
        if offset:
            wish["offset"] = offset
        answer, result = await self._call("getUpdates", wish, self._section.poll_s + self._section.timeout_s)
        if not isinstance(result, list):
            msg = f"{WHO}, getUpdates: the result is no list"
            raise Unavailable(msg)
        found = (_update(each) for each in result[:UPDATES_MAX])
        served_at_s = time.time() if answer.served_at_s is None else answer.served_at_s
        return Updates(tuple(each for each in found if each is not None), served_at_s)

    async def name(self) -> str:
        """Return what the bot is called, which proves the token. Raises: Unavailable, InvalidInput."""
        _, result = await self._call("getMe", {}, self._section.timeout_s)
        return str(result.get("username", self.bot) if isinstance(result, dict) else self.bot)[:64]

    async def send(self, chat: int, text: str) -> None:
        # No parse mode: text of the market or of an agent can then say nothing but itself.
        wish = {"chat_id": chat, "text": fitting(text), "link_preview_options": {"is_disabled": True}}
        await self._tried("sendMessage", wish)

    async def delete(self, chat: int, message: int) -> None:
        await self._tried("deleteMessage", {"chat_id": chat, "message_id": message})

    async def _tried(self, method: str, wish: Mapping[str, Any]) -> None:
        """Call, and again after what may pass. Raises: Unavailable, InvalidInput."""
        section = self._section
        for attempt in range(1, section.attempts_max + 1):
            try:
                await self._call(method, wish, section.timeout_s)
            except Unavailable:
                asked_s = self._away_until_s - anyio.current_time()
                wait_s = max(asked_s, min(section.backoff_base_s * 2.0 ** (attempt - 1), section.backoff_cap_s))
                if attempt == section.attempts_max or wait_s > section.timeout_s:
                    raise
                await anyio.sleep(wait_s)
            else:
                return

    async def _call(self, method: str, wish: Mapping[str, Any], timeout_s: float) -> tuple[Answered, Any]:
        away_s = self._away_until_s - anyio.current_time()
        if away_s > 0:
            msg = f"{WHO} asked to be left alone for another {away_s:.0f} s"
            raise Unavailable(msg)
        answer = await self._http.ask(
            "POST",
            f"{self._base}/{method}",
            body=json.dumps(wish).encode(),
            content_type="application/json",
            timeout_s=timeout_s,
        )
        document = _document(answer.body)
        if answer.status == _OK and document.get("ok") is True:
            return answer, document.get("result")
        self._refuse(method, answer, document)
        raise AssertionError

    def _refuse(self, method: str, answer: Answered, document: Mapping[str, Any]) -> None:
        status = answer.status
        said = "".join(char for char in str(document.get("description", "")) if char.isprintable())
        said = said.replace(self._secret, "***")[:200]
        msg = f"{WHO}, {method}: {status} {said}".rstrip()
        if status == _TOO_MANY:
            asked = document.get("parameters")
            given = asked.get("retry_after") if isinstance(asked, dict) else None
            cap_s = self._section.retry_after_cap_s
            wait_s = float(given) if type(given) is int and given > 0 else retry_after_s(answer.headers, cap_s)
            self._away_until_s = anyio.current_time() + min(max(wait_s, 1.0), cap_s)
        elif status == _CONFLICT:
            raise Unavailable(msg, hint="another program reads this bot's messages, or it has a webhook: end that one")
        elif _OK < status < _SERVER_ERROR:
            raise InvalidInput(msg, field="phone.token" if status in (401, 404) else "chat")
        raise Unavailable(msg)


@asynccontextmanager
async def opened_chat(section: PhoneSection) -> AsyncIterator[TelegramChat]:
    """Open the bot that the section names; nothing is sent yet. Raises: InvalidInput."""
    http = QuietHttp.towards(section.base_url, WHO, bytes_max=ANSWER_BYTES_MAX)
    try:
        yield TelegramChat(section, http)
    finally:
        with anyio.CancelScope(shield=True):
            await http.aclose()


def fitting(text: str) -> str:
    """Return the text cut to what one message holds, never within a character; a message must say something."""
    room = TEXT_UNITS_MAX
    if _units(text) > room:
        room -= _units(_CUT)
        text = text[:room]
        while _units(text) > room:
            text = text[: len(text) - max(1, (_units(text) - room) // 2)]
        text += _CUT
    return text if text.strip() else "-"


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _update(held: Any) -> Update | None:
    """Return an update, None for one that has not even a number; what is wrong in one must not stop the others."""
    number = held.get("update_id") if isinstance(held, dict) else None
    return Update(number, _message(held.get("message"))) if is_whole(number) else None


def _message(held: Any) -> Message | None:
    if not isinstance(held, dict):
        return None
    chat, sender, text = held.get("chat"), held.get("from"), held.get("text")
    if not isinstance(chat, dict) or not isinstance(sender, dict) or not isinstance(text, str):
        return None
    chat_id, user, number, date = chat.get("id"), sender.get("id"), held.get("message_id"), held.get("date")
    if not (is_whole(chat_id) and is_whole(user) and is_whole(number) and is_whole(date)):
        return None
    is_own = not any(name in held for name in ("forward_origin", "forward_date", "via_bot", "sender_chat"))
    is_private = chat.get("type") == "private" and sender.get("is_bot") is False and is_own and chat_id == user
    return Message(chat_id, user, number, date, is_private=is_private, text=text)


def is_whole(value: object) -> TypeGuard[int]:
    """Say whether a field of an answer is a whole number that an id or a time can be."""
    return type(value) is int and abs(value) < _INT_MAX

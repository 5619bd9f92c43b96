"""Listens to the operator's phone. What came is kept before it is acted on, so that nothing is done twice."""

import asyncio
import hmac
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import anyio
from anyio.abc import TaskGroup

from memmcp_server.config import PhoneSection
from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.domain.phone import (
    Accepted,
    Act,
    Asked,
    Confirmation,
    Message,
    PhoneState,
    Update,
    Wish,
    new_code,
    understood,
)
from memmcp_server.errors import DataDirectoryError, InvalidInput, MemoryServerError, Refused, Unavailable
from memmcp_server.ports.phone import Chat, OpenAlerts

from . import texts
from .carrying import Carrying
from .keeping import Keeping

ACTS_MAX: Final = 4
"""So many acts are under way at once; there are two kinds of them."""
OFFSET_AGE_S_MAX: Final = 6 * 86_400
"""After a week without updates Telegram begins to count anywhere: an older place says nothing."""
IDLE_S: Final = 1.0
HOUR_S: Final = 3_600.0
STRANGERS_MAX: Final = 1_000

logger = logging.getLogger(__name__)


class Phone:
    """Run it beside everything else. ``alerts`` None: nobody keeps alerts here."""

    def __init__(
        self,
        chat: Chat,
        keeping: Keeping,
        carrying: Carrying,
        section: PhoneSection,
        alerts: OpenAlerts | None = None,
    ) -> None:
        self._chat = chat
        self._keeping = keeping
        self._carrying = carrying
        self._section = section
        self._alerts = alerts
        self._new_code: Callable[[], str] = new_code
        self._failures = 0
        self._handled_until = 0
        self._strangers_at_s: deque[float] = deque(maxlen=STRANGERS_MAX)
        self.idle_s = IDLE_S
        self.last_error = ""
        self.strangers = 0
        """Messages of chats that are not let in, since the beginning: a reading for alerts."""

    def reading(self) -> JsonObject:
        """Return how listening goes: ``failures`` in a row, why, and how many strangers have written, in all and in the
        last hour."""
        since_s = anyio.current_time() - HOUR_S
        lately = sum(at_s > since_s for at_s in self._strangers_at_s)
        counts: JsonObject = {"strangers": self.strangers, "strangers_hour": lately}
        return {"failures": self._failures, "last_error": self.last_error, **counts}

    async def run(self) -> None:
        """Take up what was interrupted, then listen until cancelled."""
        state = await self._placed()
        self.strangers = state.strangers
        async with anyio.create_task_group() as tasks:
            for accepted in state.accepted:
                tasks.start_soon(self._carrying.take_up, accepted)
            while True:
                try:
                    is_news = await self.listen(tasks)
                except MemoryServerError as error:
                    await self._back_off(error)
                    continue
                self._failures = 0
                if not is_news:
                    await anyio.sleep(self.idle_s)

    async def listen(self, tasks: TaskGroup) -> bool:
        """Wait for messages and handle them; acts go on in ``tasks``. Returns whether there was anything new.

        Raises: Unavailable, InvalidInput (the chat), DataDirectoryError (what cannot be kept is not acted on).
        """
        state = await self._placed()
        found = await self._chat.updates(state.offset)
        is_old = found.served_at_s - state.offset_at_s > OFFSET_AGE_S_MAX
        if is_old and state.offset and not found.updates:
            await self._keeping.change(offset=0)
            self._handled_until = 0
        is_news = False
        for update in found.updates:
            if update.id >= max(self._handled_until, state.offset):
                is_news = True
                self._handled_until = update.id + 1
                await self._handled(update, found.served_at_s, tasks)
        return is_news

    async def _handled(self, update: Update, served_at_s: float, tasks: TaskGroup) -> None:
        try:
            await self._handle(update, served_at_s, tasks)
        except DataDirectoryError:
            if update.message is not None and self._is_known(update.message):
                await self._carrying.say(update.message.chat, texts.UNUSABLE)
            raise

    def _is_known(self, message: Message) -> bool:
        return message.is_private and message.user in self._section.users

    async def _placed(self) -> PhoneState:
        """Return the state; a place in another bot's messages is none in this one's."""
        state = await self._keeping.state()
        if state.bot == self._chat.bot:
            return state
        self._handled_until = 0
        return await self._keeping.change(bot=self._chat.bot, offset=0)

    async def _handle(self, update: Update, served_at_s: float, tasks: TaskGroup) -> None:
        """Keep that it came, then answer: a message that brings us down is not read again."""
        message = update.message
        if message is None or not self._is_known(message):
            strangers = self.strangers + (message is not None)
            await self._passed(update, served_at_s, strangers=strangers)
            if message is not None:
                self._stranger(message)
            return
        said = understood(message.text)
        age_s = served_at_s - message.sent_at_s
        if not isinstance(said, Confirmation):
            await self._passed(update, served_at_s)
        if abs(age_s) > self._section.message_age_s_max:
            await self._passed(update, served_at_s)
            await self._hidden(message, said)
            await self._carrying.say(message.chat, texts.too_old(age_s))
        elif isinstance(said, Confirmation):
            await self._confirmed(update, message, said, tasks)
        elif said is None:
            await self._hidden(message, said)
            await self._carrying.say(message.chat, texts.UNKNOWN)
        else:
            await self._wished(message, said)

    def _stranger(self, message: Message) -> None:
        self.strangers += 1
        self._strangers_at_s.append(anyio.current_time())
        if self.strangers & (self.strangers - 1) == 0:  # the first, the second, the fourth ...: a log has no end
            logger.warning("the phone's bot has %d messages of strangers, the last of %d", self.strangers, message.chat)

    async def _hidden(self, message: Message, said: Wish | Confirmation | None) -> None:
        """Take a message away in which a PIN may be: anything that is no plain command."""
        if isinstance(said, Wish):
            return
        try:
            await self._chat.delete(message.chat, message.id)
        except MemoryServerError as error:
            logger.warning("a message with a PIN may still be in the chat: %s", error.message)
            await self._carrying.say(message.chat, texts.NOT_DELETED)

    async def _wished(self, message: Message, wish: Wish) -> None:
        match wish.word:
            case "status":
                said = await self._status()
            case "alerts":
                said = await self._alert_list()
            case "ack":
                said = await self._acknowledged(message, wish.argument)
            case "stop" | "flatten":
                said = await self._asked(message, wish.word)
            case "help":
                said = texts.HELP
        await self._carrying.say(message.chat, said)

    async def _status(self) -> str:
        snapshot = await self._carrying.snapshot()
        if snapshot is None:
            return "The daemon runs; its desk gives no snapshot now."
        try:
            alerts = None if self._alerts is None else len(await self._alerts.open())
        except MemoryServerError:
            alerts = None
        return texts.status(snapshot, alerts)

    async def _alert_list(self) -> str:
        try:
            return texts.alert_list([] if self._alerts is None else await self._alerts.open())
        except MemoryServerError as error:
            return f"The alerts cannot be read: {error.message}"

    async def _acknowledged(self, message: Message, alert_id: str) -> str:
        if self._alerts is None or not alert_id:
            return "Say which: /ack ID. /alerts lists them."
        try:
            await self._alerts.acknowledge(alert_id, message.user)
        except MemoryServerError as error:
            return f"Not acknowledged: {error.message}"
        return f"Acknowledged: {alert_id}"

    async def _asked(self, message: Message, act: Act) -> str:
        """Keep what is to be confirmed, and say what it will do; nothing is done."""
        if await self._keeping.pin() is None:
            return texts.NO_PIN
        state = await self._keeping.state()
        wait_s = state.tries.locked_s(message.sent_at_s)
        if wait_s:
            return texts.locked(wait_s)
        asked = Asked(self._new_code(), act, message.user, message.sent_at_s)
        await self._keeping.change(asked=asked)
        return texts.asking(act, asked.code, self._section.code_s, await self._carrying.snapshot())

    async def _confirmed(self, update: Update, message: Message, said: Confirmation, tasks: TaskGroup) -> None:
        """Look at code and PIN. A try is counted before it is looked at: a kill in between must not give it back."""
        try:
            accepted, answer = await self._judged(update, message, said)
        except DataDirectoryError as error:
            logger.error("the phone's files cannot be used: %s", error.message)
            accepted, answer = None, texts.UNUSABLE
        if accepted is not None:
            # First: what was confirmed begins before anything is said about it.
            tasks.start_soon(self._carrying.carry, accepted)
        await self._hidden(message, said)
        await self._carrying.say(message.chat, answer)

    async def _judged(self, update: Update, message: Message, said: Confirmation) -> tuple[Accepted | None, str]:
        state, pin = await self._keeping.state(), await self._keeping.pin()
        asked = state.asked
        if asked is None or asked.user != message.user or pin is None:
            await self._passed(update, message.sent_at_s)
            return None, texts.NOTHING_ASKED if pin is not None else texts.NO_PIN
        if message.sent_at_s - asked.at_s > self._section.code_s:
            await self._passed(update, message.sent_at_s, asked=None)
            return None, texts.TOO_LATE
        tries = state.tries.at(pin)
        if wait_s := tries.locked_s(message.sent_at_s):
            await self._passed(update, message.sent_at_s, asked=None)
            return None, texts.locked(wait_s)
        await self._keeping.change(tries=tries.failed(message.sent_at_s))
        is_code = hmac.compare_digest(asked.code, said.code)
        is_pin = await asyncio.to_thread(pin.is_it, said.pin)
        if not (is_code and is_pin):
            await self._passed(update, message.sent_at_s)
            await self._carrying.refused(message.user, Refused("not confirmed"))
            locked_s = tries.failed(message.sent_at_s).locked_s(message.sent_at_s)
            return None, f"{texts.WRONG}{f' {texts.locked(locked_s)}' if locked_s else ''}"
        if len(state.accepted) >= ACTS_MAX:
            await self._passed(update, message.sent_at_s)
            return None, "Nothing was done: as much as can be is under way already."
        key = f"phone/{self._chat.bot}/{update.id}"
        accepted = Accepted(key, asked.act, message.user, message.chat, message.sent_at_s)
        cleared = replace(tries, failures=0, locked_until_s=0)
        await self._passed(update, message.sent_at_s, asked=None, tries=cleared, accepted=(*state.accepted, accepted))
        return accepted, f"Confirmed: /{asked.act}. The desk is told."

    async def _passed(self, update: Update, at_s: float, **changes: object) -> None:
        """Keep that an update was dealt with, together with what came of it: both or neither."""
        await self._keeping.change(offset=update.id + 1, offset_at_s=int(at_s), **changes)

    async def _back_off(self, error: MemoryServerError) -> None:
        self._failures += 1
        self.last_error = error.message
        if self._failures == 1:
            is_ours = isinstance(error, InvalidInput | DataDirectoryError)
            logger.log(logging.ERROR if is_ours else logging.WARNING, "the phone is not heard: %s", error.message)
        section = self._section
        delay_s = section.backoff_base_s * 2.0 ** min(self._failures - 1, 16)
        await anyio.sleep(
            min(delay_s, section.backoff_cap_s) if isinstance(error, Unavailable) else section.backoff_cap_s
        )

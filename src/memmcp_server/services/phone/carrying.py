"""What was confirmed is carried out once, over restarts too, and followed to its end."""

import logging
from dataclasses import replace
from typing import Final

import anyio

from memmcp_server.config import PhoneSection
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.domain.phone import Accepted, Act, PhoneState
from memmcp_server.domain.times import NS_PER_S
from memmcp_server.errors import MemoryServerError, Unavailable
from memmcp_server.ports import Clock, Journal, TradingDesk
from memmcp_server.ports.phone import Chat
from memmcp_server.services import acts

from . import texts
from .keeping import Keeping

REASON: Final = "said by the operator over the phone"
ACTIONS: Final[dict[Act, str]] = {"stop": "stop_entries", "flatten": "flatten_and_halt"}
DESK_TIMEOUT_S: Final = 30.0
LOOK_S: Final = 1.0

logger = logging.getLogger(__name__)


def actor_of(user: int) -> str:
    return f"operator:phone:{user}"


def caller_of(user: int, tool: str) -> Caller:
    return Caller(agent=f"phone:{user}", session="", tool=tool, role="operator", transport="phone")


class Carrying:
    """Carries accepted acts to the desk by the way that the operator's HTTP route takes."""

    def __init__(
        self,
        chat: Chat,
        keeping: Keeping,
        desk: TradingDesk | None,
        journal: Journal,
        clock: Clock,
        section: PhoneSection,
    ) -> None:
        self._chat = chat
        self._keeping = keeping
        self._desk = desk
        self._journal = journal
        self._clock = clock
        self._section = section
        self.look_s = LOOK_S

    async def carry(self, accepted: Accepted) -> None:
        """Have the desk do it, tell what it answered and how it ended, then take it off the list."""
        answer = await self._done(accepted)
        await self._forget(accepted)
        if answer is None:
            return
        await self.say(accepted.chat, texts.carried(accepted.act, answer))
        if accepted.act == "flatten" and answer.get("status") != "denied":
            await self.say(accepted.chat, await self._end(accepted.act))

    async def take_up(self, accepted: Accepted) -> None:
        """Go on with what a restart has interrupted. What is too old by now is looked up, and not done."""
        age_s = self._clock.now_ns() / NS_PER_S - accepted.at_s
        if age_s <= self._section.message_age_s_max:
            await self.carry(accepted)
            return
        known = await self._answered(accepted)
        await self._forget(accepted)
        if known is None:
            said = (
                f"/{accepted.act} of {texts.span(age_s)} ago was not carried out: the daemon was down. Send it again."
            )
        else:
            said = (
                f"/{accepted.act} of {texts.span(age_s)} ago was carried out before the daemon went down. See /status."
            )
        await self.say(accepted.chat, said)

    async def say(self, chat: int, text: str) -> None:
        """Send a text, or say in the log that it could not be sent: an act is not undone by that."""
        try:
            await self._chat.send(chat, text)
        except MemoryServerError as error:
            logger.warning("the phone was not told: %s", error.message)

    async def refused(self, user: int, error: MemoryServerError) -> None:
        """Note in the audit that a confirmation of this user was refused."""
        await acts.note_refused(self._journal, caller_of(user, "phone PIN"), error)

    async def snapshot(self) -> JsonObject | None:
        """Return the desk's snapshot, None where it gives none."""
        if self._desk is None:
            return None
        try:
            with anyio.fail_after(DESK_TIMEOUT_S):
                return await self._desk.snapshot()
        except (MemoryServerError, TimeoutError):
            return None

    async def _done(self, accepted: Accepted) -> JsonObject | None:
        """Return the desk's answer; None where there is none and the phone was told so."""
        request: JsonObject = {"action": ACTIONS[accepted.act], "reason": REASON}
        caller, problem = caller_of(accepted.user, f"phone /{accepted.act}"), texts.NO_DESK
        until_s = self._clock.monotonic_s() + self._section.follow_s
        while self._desk is not None:
            try:
                with anyio.fail_after(DESK_TIMEOUT_S):
                    answer = await self._desk.control(request, actor=actor_of(accepted.user), key=accepted.key)
            except (Unavailable, TimeoutError) as error:
                # The same key again: a desk that did it without an answer does nothing now, and tells.
                problem = error.message if isinstance(error, Unavailable) else f"no answer in {DESK_TIMEOUT_S:.0f} s"
                if self._clock.monotonic_s() >= until_s:
                    break
                await anyio.sleep(self.look_s)
                continue
            except MemoryServerError as error:
                await acts.note_refused(self._journal, caller, error)
                problem = error.message
                break
            await acts.note_done(self._journal, caller, request, answer)
            return answer
        await self.say(accepted.chat, f"NOT DONE: /{accepted.act}: {problem}")
        return None

    async def _end(self, act: Act) -> str:
        """Wait until no position is left, at most as long as is followed; return how it stands."""
        began_s = self._clock.monotonic_s()
        while True:
            snapshot, waited_s = await self.snapshot(), self._clock.monotonic_s() - began_s
            is_flat = snapshot is not None and not snapshot.get("positions")
            if is_flat or waited_s >= self._section.follow_s:
                return texts.end_of(act, snapshot, waited_s)
            await anyio.sleep(self.look_s)

    async def _answered(self, accepted: Accepted) -> JsonObject | None:
        if self._desk is None:
            return None
        until_s = self._clock.monotonic_s() + self._section.follow_s
        while True:
            try:
                return await self._desk.answered(agent=actor_of(accepted.user), key=accepted.key)
            except MemoryServerError:
                if self._clock.monotonic_s() >= until_s:
                    return None
                await anyio.sleep(self.look_s)

    async def _forget(self, accepted: Accepted) -> None:
        def change(state: PhoneState) -> PhoneState:
            return replace(state, accepted=tuple(each for each in state.accepted if each.key != accepted.key))

        await self._keeping.changed(change)

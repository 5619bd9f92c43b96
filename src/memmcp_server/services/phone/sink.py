"""Alerts to the phone, as a sink of the outbox: the relay gives the back-off, the dead letters and the replay."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Final

from memmcp_server.config import PhoneSection
from memmcp_server.domain.memory import Memory
from memmcp_server.domain.outbox import OutboxEntry, SinkSpec
from memmcp_server.errors import InvalidInput
from memmcp_server.ports import Clock, Journal
from memmcp_server.ports.phone import Chat, PhoneBook

from . import texts

PHONE_SINK: Final = SinkSpec("phone", kinds=frozenset({"alert"}))
NAMESPACE: Final = "alerts"
SEVERITIES: Final = ("info", "warning", "critical", "none")
_NS_PER_S: Final = 1_000_000_000

TOLD_KEPT_MAX: Final = 1_024

logger = logging.getLogger(__name__)

OpenChat = Callable[[], AbstractAsyncContextManager[Chat]]


class PhoneSink:
    """``ports.Sink``: sends what is current of an alert to every user, each version at most once where we live on."""

    name = PHONE_SINK.name

    def __init__(
        self, journal: Journal, open_chat: OpenChat, book: PhoneBook, clock: Clock, section: PhoneSection
    ) -> None:
        self._journal = journal
        self._open_chat = open_chat
        self._book = book
        self._clock = clock
        self._section = section
        self._turn = asyncio.Lock()

    async def deliver(self, entries: Sequence[OutboxEntry]) -> None:
        """Raises: Unavailable (all of it is tried again), InvalidInput (no chat will ever take it)."""
        found = await self._journal.memories(list(dict.fromkeys(entry.memory_id for entry in entries)))
        async with self._turn:
            told = dict(await asyncio.to_thread(self._book.told))
            due = [
                (memory, user)
                for memory in found
                if self._is_due(memory)
                for user in self._section.users
                if memory.version > told.get(_name(memory, user), 0)
            ]
            if not due:
                return
            refusals: list[InvalidInput] = []
            async with self._open_chat() as chat:
                for memory, user in due:
                    try:
                        await chat.send(user, texts.alert_line({**memory.metadata, "id": memory.id}))
                    except InvalidInput as error:  # this user's chat; the others hear of it all the same
                        logger.warning("user %d is not told of alert %s: %s", user, memory.id, error.message)
                        refusals.append(error)
                        continue
                    told = _with(told, _name(memory, user), memory.version)
                    await asyncio.to_thread(self._book.save_told, told)
            if len(refusals) == len(due):
                raise refusals[0]

    def _is_due(self, memory: Memory) -> bool:
        """Say whether a person wants to be woken for it: raised, risen or over, and neither silenced nor slight."""
        state: dict[str, Any] = dict(memory.metadata)
        if memory.namespace != NAMESPACE or memory.superseded_at_ns is not None:
            return False
        if state.get("state") not in ("firing", "resolved") or self._is_silenced(state):
            return False
        severity = state.get("severity")
        rank = SEVERITIES.index(severity) if severity in SEVERITIES else 0
        return rank >= SEVERITIES.index(self._section.alerts_from)

    def _is_silenced(self, state: dict[str, Any]) -> bool:
        try:
            until = datetime.fromisoformat(str(state.get("silenced_until")))
        except ValueError:
            return False
        return until.timestamp() > self._clock.now_ns() / _NS_PER_S


def _name(memory: Memory, user: int) -> str:
    return f"{memory.id}/{user}"


def _with(told: Mapping[str, int], name: str, version: int) -> dict[str, int]:
    """Return what was told with this one as the newest; the oldest are let go."""
    rest = {each: number for each, number in told.items() if each != name}
    return dict([*rest.items(), (name, version)][-TOLD_KEPT_MAX:])

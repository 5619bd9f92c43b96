"""Alerts to the phone, as a sink of the outbox: the relay gives the back-off, the dead letters and the replay."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Final

from memmcp_server.config import PhoneSection
from memmcp_server.domain.memory import Memory
from memmcp_server.domain.outbox import OutboxEntry, SinkSpec
from memmcp_server.ports import Clock, Journal
from memmcp_server.ports.phone import Chat, PhoneBook

from . import texts

PHONE_SINK: Final = SinkSpec("phone", kinds=frozenset({"alert"}))
NAMESPACE: Final = "alerts"
SEVERITIES: Final = ("info", "warning", "critical", "none")
_NS_PER_S: Final = 1_000_000_000

ALERTS_KEPT_MAX: Final = 256

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
        """Raises: Unavailable (all of it is tried again), InvalidInput (the chat will never take it)."""
        found = await self._journal.memories(list(dict.fromkeys(entry.memory_id for entry in entries)))
        async with self._turn:
            told = dict(await asyncio.to_thread(self._book.told))
            due = [each for each in found if each.version > told.get(each.id, 0) and self._is_due(each)]
            if not due or not self._section.users:
                return
            async with self._open_chat() as chat:
                for memory in due:
                    for user in self._section.users:
                        await chat.send(user, texts.alert_line({**memory.metadata, "id": memory.id}))
                    told = _with(told, memory)
                    await asyncio.to_thread(self._book.save_told, told)

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


def _with(told: Mapping[str, int], memory: Memory) -> dict[str, int]:
    """Return what was told with this one as the newest; the oldest alerts are let go."""
    rest = {name: version for name, version in told.items() if name != memory.id}
    return dict([*rest.items(), (memory.id, memory.version)][-ALERTS_KEPT_MAX:])

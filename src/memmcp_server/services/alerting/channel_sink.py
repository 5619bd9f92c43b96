"""One sink of the outbox for each channel: what is worth telling of an alert's present state, once, and in one message.

An entry only says that an alert changed. Versions that are not the present one are passed over: the present one has an
entry of its own. So an alert that ended while the channel was away is told once, as raised and over. Delivery is at
least once: what was told in this process is never told again, and a crash between telling and noting it repeats it.
"""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time
from typing import Final
from zoneinfo import ZoneInfo

from memmcp_server.config import ChannelSection, ChannelsSection
from memmcp_server.domain.alert import KIND_ALERT, Alert, AlertState, Severity, alert_of
from memmcp_server.domain.identifiers import MemoryId, Seq
from memmcp_server.domain.memory import Memory
from memmcp_server.domain.messages import Message, Told, of_alert, of_many, of_notice, severity_of
from memmcp_server.domain.outbox import OutboxEntry, SinkSpec
from memmcp_server.domain.times import NS_PER_S, from_ns
from memmcp_server.ports import Clock, Journal, Messenger

HEARD_MAX: Final = 4_096
LOUD: Final = frozenset({"raised", "reopened", "escalated", "unsilenced"})
"""Changes that are told; what a person does to an alert they know already."""

logger = logging.getLogger(__name__)


def spec_of(channel: str) -> SinkSpec:
    """Return the sink of a channel: it is given alerts alone."""
    return SinkSpec(f"channel:{channel}", kinds=frozenset({KIND_ALERT}))


@dataclass(frozen=True, slots=True)
class _News:
    """What is to be told of one memory. ``alert`` None: it is a notice."""

    memory: Memory
    alert: Alert | None
    message: Message
    at_ns: int


class ChannelSink:
    """Body of ``ports.Sink``. ``told`` says whose money it is about and where the page is."""

    def __init__(
        self,
        channel: str,
        messenger: Messenger,
        section: ChannelsSection,
        journal: Journal,
        clock: Clock,
        told: Told,
    ) -> None:
        self._channel = channel
        self._messenger = messenger
        self._section: ChannelSection = section.named[channel]
        self._all = section
        self._journal = journal
        self._clock = clock
        self._words = told
        self._heard: OrderedDict[tuple[MemoryId, int], bool] = OrderedDict()
        """Versions that were dealt with in this process, and whether they were told."""
        self._before: Seq | None = None

    @property
    def name(self) -> str:
        return spec_of(self._channel).name

    async def deliver(self, entries: Sequence[OutboxEntry]) -> None:
        """Tell what is worth it. Raises: Unavailable; what was told before that is not told again."""
        if self._before is None:
            self._before = await self._journal.cursor(self.name) or Seq(0)
        wanted = {(entry.memory_id, entry.version) for entry in entries}
        memories = await self._journal.memories(list(dict.fromkeys(entry.memory_id for entry in entries)))
        now_ns = self._clock.now_ns()
        news: list[_News] = []
        for memory in memories:
            mark = (memory.id, memory.version)
            if mark in wanted and mark not in self._heard:
                found = await self._news_of(memory, now_ns)
                news += [] if found is None else [found]
        await self._tell(news, now_ns)
        for memory in memories:
            # Not a version that has no entry here: its own is on its way, and it is told then.
            if (memory.id, memory.version) in wanted:
                self._heard.setdefault((memory.id, memory.version), False)
        while len(self._heard) > HEARD_MAX:
            self._heard.popitem(last=False)

    async def _tell(self, news: Sequence[_News], now_ns: int) -> None:
        stale_ns = now_ns - round(self._all.stale_after_s * NS_PER_S)
        late = [each for each in news if each.at_ns < stale_ns]
        fresh = [each for each in news if each.at_ns >= stale_ns]
        if len(fresh) > self._all.messages_max:
            late, fresh = list(news), []
        if len(late) == 1:
            late, fresh = [], [*late, *fresh]
        if late:
            alerts = [each.alert for each in late if each.alert is not None]
            notices = [each.memory for each in late if each.alert is None]
            await self._messenger.send(of_many(alerts, notices, self._words, now_ns))
            await self._keep(late)
        for each in fresh:
            await self._messenger.send(each.message)
            await self._keep([each])

    async def _news_of(self, memory: Memory, now_ns: int) -> _News | None:
        alert = alert_of(memory)
        if alert is None:
            severity = severity_of(memory)
            if not self._takes(severity, now_ns):
                return None
            return _News(memory, None, of_notice(memory, self._words), memory.known_at_ns)
        if alert.channels and self._channel not in alert.channels:
            return None
        if not self._takes(alert.severity, now_ns) or alert.is_silenced_at(now_ns):
            return None
        was_told = False
        if alert.state is AlertState.RESOLVED:
            was_told = await self._has_told(memory.id)
            if was_told and not self._section.resolved:
                return None
        elif alert.change not in LOUD:
            return None
        return _News(memory, alert, of_alert(alert, self._words, now_ns, was_told=was_told), alert.updated_ns)

    def _takes(self, severity: Severity, now_ns: int) -> bool:
        if severity.rank < self._section.severity_min.rank:
            return False
        return severity is Severity.CRITICAL or not is_quiet(self._section, now_ns)

    async def _has_told(self, memory_id: MemoryId) -> bool:
        """Say whether this channel has heard of the alert, in this process or in an earlier one."""
        assert self._before is not None
        for version in await self._journal.versions(memory_id):
            is_loud = version.metadata.get("change") in LOUD
            if is_loud and (self._heard.get((version.id, version.version)) or version.seq <= self._before):
                return True
        return False

    async def _keep(self, news: Sequence[_News]) -> None:
        for each in news:
            self._heard[each.memory.id, each.memory.version] = True
        await self._journal.save_cursor(self.name, max(each.memory.seq for each in news))


def is_quiet(section: ChannelSection, now_ns: int) -> bool:
    """Say whether only critical alerts are told at that time."""
    if not section.quiet:
        return False
    begins, ends = (time.fromisoformat(part) for part in section.quiet.split("-"))
    here = from_ns(now_ns).astimezone(ZoneInfo(section.zone)).time()
    return begins <= here < ends if begins <= ends else here >= begins or here < ends

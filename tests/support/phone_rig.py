"""A phone over a loopback Telegram, a desk in memory and a journal: everything of it but the daemon."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from memmcp_server.adapters.phone_files import PhoneFiles
from memmcp_server.adapters.telegram import opened_chat
from memmcp_server.config import PhoneSection
from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.domain.phone import Pin
from memmcp_server.errors import NotFound
from memmcp_server.ports import TradingDesk
from memmcp_server.services.background import beside
from memmcp_server.services.phone import Carrying, Keeping, Phone
from tests.doubles.clocks import ManualClock
from tests.doubles.memory_journal import MemoryJournal
from tests.support.market_server import eventually
from tests.support.telegram_server import OPERATOR, TOKEN, TelegramServer

PIN = "83-jkl-2"
CHEAP = (16, 1, 1)
"""The work of a guess where nobody guesses."""


@dataclass
class SomeAlerts:
    """``ports.OpenAlerts`` over a list."""

    held: list[JsonObject] = field(default_factory=list)

    async def open(self) -> list[JsonObject]:
        return [each for each in self.held if each["state"] != "resolved"]

    async def acknowledge(self, alert_id: str, user: int) -> JsonObject:
        for each in self.held:
            if each["id"] == alert_id:
                each |= {"state": "acknowledged", "acknowledged_by": f"phone:{user}"}
                return each
        msg = f"there is no alert {alert_id}"
        raise NotFound(msg, field="id")


def an_alert(**changes: Any) -> JsonObject:
    return {
        "id": "alert-1",
        "rule": "drawdown",
        "severity": "critical",
        "state": "firing",
        "title": "Drawdown at its limit",
        "text": "the desk has lost 12 % from its peak",
        "value": 1_200,
        "threshold": 1_000,
        "unit": "bps",
        "raised_at": "2026-03-01T00:00:00+00:00",
        "updated_at": "2026-03-01T00:00:00+00:00",
        "acknowledged_by": None,
        "silenced_until": None,
        **changes,
    }


@dataclass
class Rig:
    """``phone`` listens for as long as the block of ``listening`` lasts."""

    server: TelegramServer
    files: PhoneFiles
    journal: MemoryJournal
    phone: Phone

    async def hears(self, text: str, **more: Any) -> str:
        """Have the operator write, and return what the bot says next."""
        before = len(self.server.sent)
        self.server.say(text, **more)
        await eventually(lambda: len(self.server.sent) > before)
        return self.server.said[before]

    async def code_of(self, command: str) -> str:
        """Have the operator send a command that asks for a code, and return the code."""
        said = await self.hears(command)
        found = re.search(r"^(\d{6}) YOURPIN$", said, re.MULTILINE)
        assert found is not None, said
        return found[1]

    async def confirms(self, command: str, pin: str = PIN) -> str:
        """Send a command and its confirmation; return what is said to the latter."""
        return await self.hears(f"{await self.code_of(command)} {pin}")

    async def says(self, part: str) -> str:
        """Wait until the bot has said something with this in it; return that."""
        await eventually(lambda: any(part in each for each in self.server.said))
        return next(each for each in self.server.said if part in each)


def section_of(server: TelegramServer, **changes: Any) -> PhoneSection:
    given = {"poll_s": 1, "timeout_s": 10.0, "backoff_base_s": 0.01, "backoff_cap_s": 0.05, "follow_s": 5.0, **changes}
    return PhoneSection(token=SecretStr(TOKEN), base_url=server.url, users=(OPERATOR,), **given)


@asynccontextmanager
async def listening(
    server: TelegramServer,
    directory: Path,
    desk: TradingDesk | None,
    *,
    clock: ManualClock | None = None,
    alerts: SomeAlerts | None = None,
    prepared: Callable[[Rig], None] = lambda _rig: None,
    **changes: Any,
) -> AsyncIterator[Rig]:
    """Listen until the block is left, as a daemon does that is killed then: nothing is tidied up."""
    section, clock, files = section_of(server, **changes), clock or ManualClock(), PhoneFiles(directory)
    journal = MemoryJournal(clock)
    async with opened_chat(section) as chat:
        keeping = Keeping(files)
        carrying = Carrying(chat, keeping, desk, journal, clock, section)
        carrying.look_s = 0.005
        phone = Phone(chat, keeping, carrying, section, alerts)
        phone.idle_s = 0.005
        rig = Rig(server, files, journal, phone)
        prepared(rig)
        async with beside("phone", phone.run, restart_s=0.05):
            yield rig


def with_pin(rig: Rig) -> None:
    rig.files.set_pin(Pin.of(PIN, CHEAP))

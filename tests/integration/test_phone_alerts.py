"""An alert is one message on the phone, once for each thing that became of it, however often it is delivered."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.doubles.clocks import ManualClock
from tests.doubles.memory_journal import MemoryJournal
from tests.support.alert_world import World
from tests.support.phone_rig import an_alert, section_of
from tests.support.telegram_server import OPERATOR, STRANGER, TelegramServer

from memmcp_server.adapters.phone_files import PhoneFiles
from memmcp_server.adapters.telegram import fitting, opened_chat
from memmcp_server.domain.identifiers import MemoryId, Namespace, Seq
from memmcp_server.domain.lifecycle import UpdateMemory
from memmcp_server.domain.memory import MemoryDraft, Provenance
from memmcp_server.domain.outbox import OutboxEntry
from memmcp_server.errors import InvalidInput, NotFound, Unavailable
from memmcp_server.services.phone import PhoneAlerts, PhoneSink

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("O4")]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def telegram() -> AsyncIterator[TelegramServer]:
    server = TelegramServer()
    async with server.serving():
        yield server


class Told:
    """Alerts as memories, and the sink that carries them to the phone."""

    def __init__(self, server: TelegramServer, directory: Path, **changes: Any) -> None:
        self.server = server
        self.clock = ManualClock()
        self.journal = MemoryJournal(self.clock)
        section = section_of(server, **changes)
        self.sink = PhoneSink(self.journal, partial(opened_chat, section), PhoneFiles(directory), self.clock, section)

    async def raised(self, namespace: str = "alerts", **changes: Any) -> MemoryId:
        draft = MemoryDraft("an alert", "k1", 1, Namespace(namespace), "alert", metadata=an_alert(**changes))
        [known] = await self.journal.commit([draft])
        return known.id

    async def became(self, alert_id: MemoryId, **changes: Any) -> None:
        await self.journal.commit([UpdateMemory(alert_id, str(changes), Provenance(), metadata=an_alert(**changes))])

    async def deliver(self, alert_id: MemoryId, version: int = 1) -> None:
        await self.sink.deliver([OutboxEntry(1, "phone", alert_id, version, Seq(1), 0)])


@pytest.fixture
def told(telegram: TelegramServer, tmp_path: Path) -> Told:
    telegram.begin_anew()
    return Told(telegram, tmp_path)


async def test_an_alert_is_told_once_and_again_when_it_is_over(told: Told, tmp_path: Path) -> None:
    alert_id = await told.raised()
    await told.deliver(alert_id)
    await told.deliver(alert_id)
    assert len(told.server.sent) == 1
    assert told.server.said[0].startswith("CRITICAL Drawdown at its limit (now 12.00 %, limit 10.00 %)")
    assert told.server.said[0].endswith(f"/ack {alert_id[-8:]}")
    await told.became(alert_id, state="acknowledged")
    await told.deliver(alert_id, 2)
    assert len(told.server.sent) == 1
    await told.became(alert_id, state="resolved")
    await told.deliver(alert_id, 2)
    await told.deliver(alert_id, 3)
    assert told.server.said[1].startswith("CRITICAL RESOLVED Drawdown")
    again = Told(told.server, tmp_path)  # a restart
    again.sink._journal = told.journal
    await again.deliver(alert_id, 3)
    assert len(told.server.sent) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"severity": "info"},
        {"silenced_until": "2099-01-01T00:00:00+00:00"},
        {"silenced_until": "2099-01-01T00:00:00+00:00", "state": "resolved"},
        {"namespace": "trading"},
    ],
)
async def test_slight_and_silenced_alerts_wake_nobody(told: Told, changes: dict[str, Any]) -> None:
    await told.deliver(await told.raised(**changes))
    assert told.server.sent == []


async def test_a_silence_that_is_over_hides_nothing(told: Told) -> None:
    await told.deliver(await told.raised(silenced_until="2020-01-01T00:00:00+00:00"))
    assert len(told.server.sent) == 1


@pytest.mark.requirement("M11")
async def test_a_phone_that_cannot_be_reached_is_the_relays_to_try_again(told: Told) -> None:
    alert_id = await told.raised()
    told.server.faults["sendMessage"] = ["error", "error", "busy:30"]
    with pytest.raises(Unavailable, match="429 Too Many Requests"):
        await told.deliver(alert_id)
    await told.deliver(alert_id)
    assert len(told.server.sent) == 1


@pytest.mark.requirement("M11")
async def test_a_user_who_has_blocked_the_bot_is_a_dead_letter(telegram: TelegramServer, tmp_path: Path) -> None:
    telegram.begin_anew()
    told = Told(telegram, tmp_path)
    told.sink._section = told.sink._section.model_copy(update={"users": (STRANGER,)})
    with pytest.raises(InvalidInput, match="bot was blocked by the user"):
        await told.deliver(await told.raised())


@pytest.mark.requirement("M11")
async def test_one_user_who_has_blocked_the_bot_keeps_nothing_from_the_others(
    telegram: TelegramServer, tmp_path: Path
) -> None:
    telegram.begin_anew()
    told = Told(telegram, tmp_path)
    told.sink._section = told.sink._section.model_copy(update={"users": (STRANGER, OPERATOR)})
    alert_id = await told.raised()
    await told.deliver(alert_id)
    assert len(telegram.sent) == 1
    telegram.faults["sendMessage"] = ["error"] * 3
    await told.became(alert_id, state="resolved")
    with pytest.raises(Unavailable):
        await told.deliver(alert_id, 2)


@pytest.mark.requirement("Q4")
async def test_a_telegram_that_hangs_holds_the_relay_up_no_longer_than_a_call_may_take(
    telegram: TelegramServer, tmp_path: Path
) -> None:
    telegram.begin_anew()
    told = Told(telegram, tmp_path, timeout_s=0.05, attempts_max=2)
    telegram.faults["sendMessage"] = ["hanging", "hanging"]
    with pytest.raises(Unavailable, match=r"no answer within 0\.05 s"):
        await told.deliver(await told.raised())


async def test_a_text_that_is_too_long_is_cut_where_telegram_counts() -> None:
    for text in ("x" * 5_000, "\N{CHART WITH UPWARDS TREND}" * 3_000, "ab\N{CHART WITH UPWARDS TREND}" * 1_500):
        cut = fitting(text)
        assert len(cut.encode("utf-16-le")) // 2 <= 4_096
        assert cut.endswith("[cut]")
        assert text.startswith(cut.removesuffix("\n[cut]"))
    assert (fitting("as it is"), fitting(" \n ")) == ("as it is", "-")


async def test_a_phone_sees_what_fires_and_acknowledges_it_by_the_last_signs_of_its_id() -> None:
    world = World()
    await world.passes(3)
    world.desk["state"] = "HALTED"
    world.limit("drawdown_bps", 1_000, 1_000)
    await world.passes(5)
    phone = PhoneAlerts(world.alerts)
    found = {str(each["rule"]): each for each in await phone.open()}
    assert {"desk_halted", "drawdown"} <= set(found)
    drawdown = str(found["drawdown"]["id"])
    done = await phone.acknowledge(drawdown[-8:], OPERATOR)
    assert (done["state"], done["acknowledged_by"]) == ("acknowledged", f"phone:{OPERATOR}")
    with pytest.raises(NotFound, match="there is no open alert nothing"):
        await phone.acknowledge("nothing", OPERATOR)
    with pytest.raises(NotFound):
        await phone.acknowledge(drawdown[-1:], OPERATOR)

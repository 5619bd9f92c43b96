"""Reports of outside engines are kept beside ours, never as ours."""

import pytest
from tests.doubles.clocks import ManualClock
from tests.doubles.memory_journal import MemoryJournal
from tests.doubles.word_scanner import WordScanner

from memmcp_server.domain.telemetry import LOCAL_DESK, RecordSnapshot
from memmcp_server.errors import InvalidInput, Refused, SecretRefused
from memmcp_server.services.telemetry import Telemetry

pytestmark = pytest.mark.anyio


async def test_an_outside_engine_cannot_report_as_our_own_desk() -> None:
    telemetry = Telemetry(MemoryJournal(ManualClock()), WordScanner({}))
    with pytest.raises(Refused) as caught:
        await telemetry.record(RecordSnapshot(LOCAL_DESK, "k", 1, {"equity": 10**15}))
    assert caught.value.field == "desk_id"
    assert await telemetry.latest() is None


async def test_a_report_is_kept_once_under_its_own_desk() -> None:
    telemetry = Telemetry(MemoryJournal(ManualClock()), WordScanner({}))
    first = await telemetry.record(RecordSnapshot("hummingbot", "k", 1, {"equity": 5}))
    again = await telemetry.record(RecordSnapshot("hummingbot", "k", 1, {"equity": 5}))
    assert (first.duplicate, again.duplicate, again.seq) == (False, True, first.seq)
    assert [(each.desk_id, each.body) for each in await telemetry.desks()] == [("hummingbot", {"equity": 5})]
    assert [each.body for each in await telemetry.history("hummingbot")] == [{"equity": 5}]
    latest = await telemetry.latest("hummingbot")
    assert latest is not None
    assert latest.body == {"equity": 5}


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 10_001}, "limit"),
        ({"resolution_s": 0}, "resolution"),
        ({"resolution_s": 10**9}, "resolution"),
        ({"since_ns": 2, "until_ns": 2}, "since"),
    ],
)
async def test_a_range_that_cannot_be_answered_names_its_field(wanted: dict[str, int], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await Telemetry(MemoryJournal(ManualClock()), WordScanner({})).history(**wanted)  # type: ignore[arg-type]
    assert caught.value.field == field


@pytest.mark.requirement("M12")
async def test_a_report_that_holds_a_secret_is_refused() -> None:
    telemetry = Telemetry(MemoryJournal(ManualClock()), WordScanner({"hunter2": "password"}))
    with pytest.raises(SecretRefused, match=r"body\.note"):
        await telemetry.record(RecordSnapshot("bot", "1", 1, {"note": "hunter2"}))
    assert await telemetry.desks() == []

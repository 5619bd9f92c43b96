"""Commands over the phone: a code and the PIN make the desk safer once; nobody else, nothing old, nothing twice."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from tests.doubles.clocks import ManualClock
from tests.doubles.trading_desk import SOL, InMemoryDesk
from tests.support.market_server import eventually
from tests.support.phone_rig import PIN, Rig, SomeAlerts, an_alert, listening, with_pin
from tests.support.telegram_server import BOT, OPERATOR, STRANGER, TelegramServer

from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.domain.lifecycle import AUDIT_DESK
from memmcp_server.errors import DataDirectoryError, TradingUnavailable

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("O4"), pytest.mark.requirement("O6")]

FLATTEN = "control:flatten_and_halt"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def telegram() -> AsyncIterator[TelegramServer]:
    """One server for all: starting and ending one takes longer than any of these tests."""
    server = TelegramServer()
    async with server.serving():
        yield server


@pytest.fixture
def server(telegram: TelegramServer) -> TelegramServer:
    telegram.begin_anew()
    return telegram


def a_desk() -> InMemoryDesk:
    return InMemoryDesk(cash=SOL, base_units=500 * 10**5, cost=SOL // 2)


def ours(caplog: pytest.LogCaptureFixture) -> str:
    """Return what our side logged: the loopback server writes its requests into the same log."""
    return "|".join(each.getMessage() for each in caplog.records if not each.name.startswith("uvicorn"))


class SlowToSell(InMemoryDesk):
    """Acknowledges at once; its position is gone some looks later, or never."""

    looks = 0
    looks_until_flat = 3

    async def control(self, request: JsonObject, *, actor: str, key: str) -> JsonObject:
        held = self.base_units
        answer = await super().control(request, actor=actor, key=key)
        self.base_units = held
        return answer

    async def snapshot(self) -> JsonObject:
        if self.state == "HALTED":
            self.looks += 1
            self.base_units = 0 if self.looks >= self.looks_until_flat else self.base_units
        return await super().snapshot()


async def test_status_alerts_and_acknowledging_take_no_pin(server: TelegramServer, tmp_path: Path) -> None:
    alerts = SomeAlerts([an_alert()])
    async with listening(server, tmp_path, a_desk(), alerts=alerts) as rig:
        told = await rig.hears("/status")
        assert "PAPER money, equity 1.5" in told.replace("1.500000000", "1.5")
        assert "alerts open: 1" in told
        assert "CRITICAL Drawdown at its limit (now 12.00 %, limit 10.00 %)" in await rig.hears("/alerts")
        assert await rig.hears("/ack alert-1") == "Acknowledged: alert-1"
        assert alerts.held[0]["acknowledged_by"] == f"phone:{OPERATOR}"
        assert await rig.hears("/ack alert-9") == "Not acknowledged: there is no alert alert-9"
        assert "/flatten" in await rig.hears("/help")


async def test_a_confirmed_flatten_is_carried_out_once_and_followed_until_flat(
    server: TelegramServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk = SlowToSell(cash=SOL, base_units=500 * 10**5, cost=SOL // 2)
    with caplog.at_level(logging.DEBUG):
        async with listening(server, tmp_path, desk, prepared=with_pin) as rig:
            code = await rig.code_of("/flatten")
            assert desk.calls == []
            number = server.say(f"{code} {PIN}")
            await rig.says("FLAT: no position is left")
            done = await rig.says("Done: every position is sold")
    assert "Orders sent: 1. The desk is HALTED, no entries." in done
    assert desk.calls == [(FLATTEN, f"operator:phone:{OPERATOR}", f"phone/{BOT}/{number}")]
    [entry] = await rig.journal.audit(action=AUDIT_DESK, limit=9)
    assert (entry.agent, entry.detail["action"]) == (f"phone:{OPERATOR}", "flatten_and_halt")
    assert server.deleted == [number + 10_000]  # the message with the PIN
    kept = "".join(path.read_text("utf-8") for path in tmp_path.iterdir())
    assert PIN not in ours(caplog) + kept + str(entry) + "".join(server.said)


async def test_stopping_entries_leaves_positions_alone(server: TelegramServer, tmp_path: Path) -> None:
    desk = a_desk()
    async with listening(server, tmp_path, desk, prepared=with_pin) as rig:
        await rig.confirms("/stop")
        assert "no entries" in await rig.says("Done: positions stay and their exits go on")
    assert (desk.entries_allowed, desk.base_units) == (False, 500 * 10**5)


async def test_a_position_that_cannot_be_sold_is_told_as_such(server: TelegramServer, tmp_path: Path) -> None:
    desk = SlowToSell(cash=SOL, base_units=500 * 10**5, cost=SOL // 2)
    desk.looks_until_flat = 10**9
    async with listening(server, tmp_path, desk, prepared=with_pin, follow_s=0.05) as rig:
        rig.phone._carrying._clock.monotonic_s = anyio.current_time  # type: ignore[method-assign]
        await rig.confirms("/flatten")
        assert "1 open: BONK" in await rig.says("NOT FLAT after")


async def test_without_a_pin_nothing_is_changed(server: TelegramServer, tmp_path: Path) -> None:
    desk = a_desk()
    async with listening(server, tmp_path, desk) as rig:
        assert "memmcp phone pin" in await rig.hears("/flatten")
        assert "memmcp phone pin" in await rig.hears(f"123456 {PIN}")
    assert desk.calls == []


async def test_wrong_pins_lock_for_longer_and_longer_also_over_a_restart(
    server: TelegramServer, tmp_path: Path
) -> None:
    desk = a_desk()
    async with listening(server, tmp_path, desk, prepared=with_pin) as rig:
        code = await rig.code_of("/flatten")
        assert (await rig.hears(f"{code} 00000000")).endswith("is wrong.")
        assert (await rig.hears(f"{code} 00000000")).endswith("is wrong.")
        assert "for 60 s" in await rig.hears(f"{code} 00000000")
        assert "for 60 s" in await rig.hears(f"{code} {PIN}")  # the right one, and not looked at
    async with listening(server, tmp_path, desk) as rig:
        server.now_s += 20
        assert "for 40 s" in await rig.hears("/flatten")
        server.now_s += 41
        assert "for 120 s" in await rig.confirms("/flatten", "00000000") or "for 2 min" in server.said[-1]
        server.now_s += 121
        assert desk.calls == []
        await rig.confirms("/flatten")
        await eventually(lambda: len(desk.calls) == 1)
    refused = [each.detail["status"] for each in await rig.journal.audit(action=AUDIT_DESK, limit=9)]
    assert refused.count("refused") == 1  # of this journal: each rig has its own


async def test_a_code_is_for_one_command_one_minute_and_one_use(server: TelegramServer, tmp_path: Path) -> None:
    desk = a_desk()
    async with listening(server, tmp_path, desk, prepared=with_pin) as rig:
        code = await rig.code_of("/stop")
        server.now_s += 61
        assert "has expired" in await rig.hears(f"{code} {PIN}")
        code = await rig.code_of("/stop")
        await rig.hears(f"{code} {PIN}")
        await rig.says("Done:")
        assert "Nothing waits for a code" in await rig.hears(f"{code} {PIN}")
        wrong = f"{(int(await rig.code_of('/stop')) + 1) % 10**6:06d}"
        assert "is wrong" in await rig.hears(f"{wrong} {PIN}")
    assert [call for call, _, _ in desk.calls] == ["control:stop_entries"]


@pytest.mark.parametrize(
    "changes",
    [
        {"user": STRANGER},
        {"chat": {"id": -100_200, "type": "group"}},
        {"chat": {"id": OPERATOR, "type": "supergroup"}},
        {"forward_origin": {"type": "user"}},
        {"from": {"id": OPERATOR, "is_bot": True}},
        {"from": {"id": STRANGER, "is_bot": False}},
    ],
)
async def test_strangers_groups_and_forwarded_messages_are_told_nothing_and_counted(
    server: TelegramServer, tmp_path: Path, changes: dict[str, object]
) -> None:
    async with listening(server, tmp_path, a_desk(), prepared=with_pin) as rig:
        server.say("/status", **changes)  # type: ignore[arg-type]
        assert "equity" in await rig.hears("/status")  # the operator's, and the only answer
        assert (len(server.sent), rig.phone.reading()["strangers"]) == (1, 1)
    async with listening(server, tmp_path, a_desk()) as rig:
        await rig.hears("/help")
        assert rig.phone.reading()["strangers"] == 1


@pytest.mark.parametrize("age_s", [121, 86_400, -121])
async def test_a_message_that_comes_late_is_not_acted_on(server: TelegramServer, tmp_path: Path, age_s: int) -> None:
    desk = a_desk()
    async with listening(server, tmp_path, desk, prepared=with_pin) as rig:
        code = await rig.code_of("/flatten")
        assert "too late to act on" in await rig.hears("/flatten", age_s=age_s)
        assert "too late to act on" in await rig.hears(f"{code} {PIN}", age_s=age_s)
        assert len(server.deleted) == 1  # its PIN is taken away all the same
    assert desk.calls == []


@pytest.mark.parametrize("jump_s", [-7 * 86_400, 3_600, 30 * 86_400])
async def test_a_jump_of_our_clock_neither_refuses_nor_repeats_a_command(
    server: TelegramServer, tmp_path: Path, jump_s: int
) -> None:
    desk, clock = a_desk(), ManualClock()
    async with listening(server, tmp_path, desk, clock=clock, prepared=with_pin) as rig:
        code = await rig.code_of("/flatten")
        clock.advance(jump_s)
        await rig.hears(f"{code} {PIN}")
        await rig.says("FLAT")
        server.repeat_all()
        await rig.hears("/help")
    assert [call for call, _, _ in desk.calls] == [FLATTEN]


async def test_updates_that_come_again_change_nothing(server: TelegramServer, tmp_path: Path) -> None:
    desk = a_desk()
    async with listening(server, tmp_path, desk, prepared=with_pin) as rig:
        await rig.confirms("/flatten")
        await rig.says("FLAT")
        server.forgets_offsets = True
        server.repeat_all()
        server.waiting = [*server.waiting, *server.waiting]
        said = await rig.hears("/help")
    async with listening(server, tmp_path, desk) as rig:
        assert await rig.hears("/help") == said
    assert [call for call, _, _ in desk.calls] == [FLATTEN]


class Killing(InMemoryDesk):
    """Does what it is told the first time, and never answers: the daemon is killed there."""

    is_first = True

    async def control(self, request: JsonObject, *, actor: str, key: str) -> JsonObject:
        answer = await super().control(request, actor=actor, key=key)
        if self.is_first:
            self.is_first = False
            await anyio.sleep_forever()
        return answer


@pytest.mark.parametrize("comes_again", [True, False])
async def test_a_daemon_killed_in_the_middle_goes_on_with_the_same_key(
    server: TelegramServer, tmp_path: Path, comes_again: bool
) -> None:
    desk, clock = Killing(cash=SOL, base_units=500 * 10**5, cost=SOL // 2), ManualClock()
    async with listening(server, tmp_path, desk, clock=clock, prepared=with_pin) as rig:
        await rig.confirms("/flatten")
        await eventually(lambda: len(desk.calls) == 1)
    if comes_again:
        server.repeat_all()
    async with listening(server, tmp_path, desk, clock=clock) as rig:
        await rig.says("FLAT")
    assert len(set(desk.calls)) == 1
    assert len(desk.trades_made) == 1  # one sale, whatever was asked again
    assert rig.files.load().accepted == ()


@pytest.mark.parametrize(("was_done", "told"), [(True, "was carried out before"), (False, "was not carried out")])
async def test_what_was_interrupted_long_ago_is_looked_up_and_not_done_now(
    server: TelegramServer, tmp_path: Path, was_done: bool, told: str
) -> None:
    class Away(InMemoryDesk):
        async def control(self, request: JsonObject, *, actor: str, key: str) -> JsonObject:
            if was_done:
                await super().control(request, actor=actor, key=key)
            await anyio.sleep_forever()
            raise NotImplementedError

    desk, clock = Away(cash=SOL), ManualClock()
    async with listening(server, tmp_path, desk, clock=clock, prepared=with_pin) as rig:
        await rig.confirms("/flatten")
        await eventually(lambda: rig.files.load().accepted != ())
        await eventually(lambda: not was_done or len(desk.calls) == 1)
    clock.advance(3_600)
    async with listening(server, tmp_path, desk, clock=clock) as rig:
        await rig.says(told)
    assert len(desk.calls) == int(was_done)


async def test_a_desk_that_comes_up_late_is_told_with_the_same_key(server: TelegramServer, tmp_path: Path) -> None:
    class Starting(InMemoryDesk):
        refusals = 3
        keys: list[str] = []  # noqa: RUF012 - one desk, one test

        async def control(self, request: JsonObject, *, actor: str, key: str) -> JsonObject:
            self.keys.append(key)
            if len(self.keys) <= self.refusals:
                msg = "the trading desk is starting"
                raise TradingUnavailable(msg)
            return await super().control(request, actor=actor, key=key)

    desk = Starting()
    async with listening(server, tmp_path, desk, prepared=with_pin) as rig:
        await rig.confirms("/stop")
        await rig.says("Done:")
    assert (len(desk.keys), len(set(desk.keys)), len(desk.calls)) == (4, 1, 1)


async def test_a_daemon_without_a_desk_says_so(server: TelegramServer, tmp_path: Path) -> None:
    async with listening(server, tmp_path, None, prepared=with_pin) as rig:
        await rig.confirms("/stop")
        assert "Trading is switched off" in await rig.says("NOT DONE")


async def test_what_is_no_command_is_taken_away_unread(server: TelegramServer, tmp_path: Path) -> None:
    """Somebody who writes the PIN in the wrong place has still written it."""
    async with listening(server, tmp_path, a_desk(), prepared=with_pin) as rig:
        for text in (PIN, f"/flatten {PIN}", f"/stop {PIN} {PIN}", "x" * 5_000):
            assert await rig.hears(text) == "That is none of the commands. /help lists them."
        assert len(server.deleted) == 4
        server.faults["deleteMessage"] = ["400:Bad Request: message can't be deleted"]
        assert "Delete it yourself" in await rig.hears(PIN)


@pytest.mark.requirement("Q4")
async def test_the_phone_is_heard_again_after_every_fault_of_the_other_side(
    server: TelegramServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    faults = ["error", "busy:1", "conflict", "malformed", "odd", "huge", "401:Unauthorized", "502:Bad Gateway"]
    server.faults["getUpdates"] = [*faults]
    server.faults["sendMessage"] = ["error", "malformed"]
    with caplog.at_level(logging.DEBUG):
        async with listening(server, tmp_path, a_desk(), prepared=with_pin) as rig:
            assert "equity" in await rig.hears("/status")
            await eventually(lambda: rig.phone.reading()["failures"] == 0)
    assert server.faults["getUpdates"] == []
    assert server.url.partition("//")[2] not in ours(caplog)
    assert [line for line in ours(caplog).split("|") if ":AAHk" in line] == []
    assert ":AAHk" not in rig.phone.last_error


@pytest.mark.requirement("Q4")
async def test_what_was_confirmed_is_done_though_nobody_can_be_told(server: TelegramServer, tmp_path: Path) -> None:
    desk = a_desk()
    async with listening(server, tmp_path, desk, prepared=with_pin) as rig:
        code = await rig.code_of("/flatten")
        server.faults["sendMessage"] = ["error"] * 50
        server.faults["deleteMessage"] = ["error"] * 50
        server.say(f"{code} {PIN}")
        await eventually(lambda: desk.base_units == 0)
        await eventually(lambda: rig.files.load().accepted == ())


@pytest.mark.requirement("Q4")
async def test_malformed_updates_stop_nobody(server: TelegramServer, tmp_path: Path) -> None:
    server.waiting = [
        {"message": {"text": "/flatten"}},
        {"update_id": "900", "message": {}},
        {"update_id": True},
        {"update_id": 2**80},
    ]
    for message in (None, [], {}, {"text": 5}, {"text": "/stop", "chat": {}, "from": {}}):
        server.give({"message": message})
    server.give({"edited_message": {"text": "/flatten"}})
    async with listening(server, tmp_path, a_desk(), prepared=with_pin) as rig:
        assert "equity" in await rig.hears("/status")
        assert rig.phone.reading()["strangers"] == 0


async def test_a_disk_that_takes_nothing_is_told_and_nothing_is_done(server: TelegramServer, tmp_path: Path) -> None:
    desk = a_desk()
    async with listening(server, tmp_path, desk, prepared=with_pin) as rig:
        code = await rig.code_of("/flatten")
        saved, rig.files.save = rig.files.save, _full  # type: ignore[method-assign]
        assert "cannot be used" in await rig.hears("/flatten")
        assert "cannot be used" in await rig.hears(f"{code} {PIN}")
        rig.files.save = saved  # type: ignore[method-assign]
        assert "Confirmed" in await rig.confirms("/flatten")
        await rig.says("FLAT")
    assert [call for call, _, _ in desk.calls] == [FLATTEN]


def _full(_state: object) -> None:
    msg = "phone.json: no space left"
    raise DataDirectoryError(msg)


async def test_a_pin_of_any_characters_is_wrong_and_brings_nobody_down(server: TelegramServer, tmp_path: Path) -> None:
    async with listening(server, tmp_path, a_desk(), prepared=with_pin) as rig:
        code = await rig.code_of("/stop")
        assert "is wrong" in await rig.hears(f"{code} \ud800\N{SNOWMAN}-pin")
        assert "is wrong" in await rig.hears(f"{code} 83-jkl-3")


async def test_files_that_cannot_be_used_let_nothing_be_done(server: TelegramServer, tmp_path: Path) -> None:
    desk = a_desk()

    def readable(rig: Rig) -> None:
        with_pin(rig)

    async with listening(server, tmp_path, desk, prepared=readable) as rig:
        code = await rig.code_of("/flatten")
        (tmp_path / "phone-pin.json").chmod(0o644)
        assert "Nothing was done" in await rig.hears(f"{code} {PIN}")
    assert desk.calls == []

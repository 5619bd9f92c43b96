"""A WebSocket that wakes: whatever it does, only the time changes at which somebody looks."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import orjson
import pytest
from pydantic import SecretStr
from tests.support.market_server import eventually
from websockets.asyncio.server import ServerConnection, serve

from trading.adapters.solana.wake import MESSAGE_BYTES_MAX, Wake
from trading.config import ChainSection
from trading.model.chain import Commitment

pytestmark = [pytest.mark.requirement("T10"), pytest.mark.anyio]
SIGNATURE, OTHER = "5" * 87, "4" * 87
LONG_S = 300.0
SECTION = ChainSection(backoff_base_s=0.02, backoff_cap_s=0.05, timeout_s=2.0)


class Notifier:
    """The other side: remembers what was asked, says what the test wants."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.connections: list[ServerConnection] = []
        self.on_subscribe: Callable[[ServerConnection, dict[str, Any]], Awaitable[None]] | None = None
        self.url = ""

    async def handle(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        async for message in connection:
            asked = orjson.loads(message)
            self.asked.append(asked)
            if asked["method"] == "signatureSubscribe" and self.on_subscribe is not None:
                await self.on_subscribe(connection, asked)
            else:
                await self.confirm(connection, asked)

    async def confirm(self, connection: ServerConnection, asked: dict[str, Any]) -> None:
        """Answer with a subscription: a thousand more than the question's number."""
        answer = {"jsonrpc": "2.0", "id": asked["id"], "result": asked["id"] + 1_000}
        await connection.send(orjson.dumps(answer).decode())

    def subscribed(self, signature: str = SIGNATURE) -> list[str]:
        return [
            each["params"][1]["commitment"]
            for each in self.asked
            if each["method"] == "signatureSubscribe" and each["params"][0] == signature
        ]

    async def notify(self, signature: str = SIGNATURE) -> None:
        number = next(
            each["id"]
            for each in reversed(self.asked)
            if each["method"] == "signatureSubscribe" and each["params"][0] == signature
        )
        told = {
            "method": "signatureNotification",
            "params": {"subscription": number + 1_000, "result": {"value": {"err": None}}},
        }
        await self.connections[-1].send(orjson.dumps(told).decode())


@asynccontextmanager
async def opened(section: ChainSection = SECTION, key: str = "") -> AsyncIterator[tuple[Wake, Notifier]]:
    notifier = Notifier()
    async with serve(notifier.handle, "127.0.0.1", 0, close_timeout=0.1) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        notifier.url = f"ws://127.0.0.1:{port}/{key}"
        wake = Wake([SecretStr(notifier.url)], section)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wake.run)
            yield wake, notifier
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def waiting(wake: Wake, signature: str = SIGNATURE) -> AsyncIterator[anyio.Event]:
    """Wait in the background; the event is set when the waiting is over."""
    over = anyio.Event()

    async def wait() -> None:
        await wake.wait(signature, LONG_S)
        over.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        yield over
        tasks.cancel_scope.cancel()


async def over_soon(event: anyio.Event) -> None:
    with anyio.fail_after(30):
        await event.wait()


async def test_a_notification_ends_the_waiting_for_its_signature_alone() -> None:
    async with opened() as (wake, notifier), waiting(wake) as over, waiting(wake, OTHER) as other:
        await eventually(lambda: len(notifier.asked) == 2)
        await notifier.notify()
        await over_soon(over)
        assert not other.is_set()


async def test_without_a_word_the_waiting_ends_by_itself() -> None:
    async with opened() as (wake, _):
        started = anyio.current_time()
        await wake.wait(SIGNATURE, 0.1)
        assert 0.09 < anyio.current_time() - started < 20


async def test_without_an_address_the_waiting_ends_by_itself() -> None:
    wake = Wake([], SECTION)
    with anyio.fail_after(30):
        await wake.run()
        await wake.wait(SIGNATURE, 0.01)


async def test_one_signature_wakes_once_a_level_so_that_nobody_is_kept_busy() -> None:
    """A server tells at once what is true already; asked again and again it would never let anybody wait."""
    async with opened() as (wake, notifier):

        async def at_once(connection: ServerConnection, asked: dict[str, Any]) -> None:
            await notifier.confirm(connection, asked)
            await notifier.notify()

        notifier.on_subscribe = at_once
        with anyio.fail_after(30):
            await wake.wait(SIGNATURE, LONG_S)
            await wake.wait(SIGNATURE, LONG_S)
        assert notifier.subscribed() == [Commitment.CONFIRMED, Commitment.FINALIZED]
        await wake.wait(SIGNATURE, 0.05)
        assert len(notifier.subscribed()) == 2


async def test_a_lost_connection_wakes_and_is_made_anew() -> None:
    async with opened() as (wake, notifier):
        async with waiting(wake) as over:
            await eventually(lambda: bool(notifier.asked))
            notifier.connections[0].transport.abort()
            await over_soon(over)
        async with waiting(wake) as over:
            await eventually(lambda: len(notifier.subscribed()) == 2)
            await notifier.notify()
            await over_soon(over)


async def test_nobody_there_only_means_longer_waiting() -> None:
    wake = Wake([SecretStr("ws://127.0.0.1:1/")], SECTION)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wake.run)
        for _ in range(3):
            await wake.wait(SIGNATURE, 0.05)
        tasks.cancel_scope.cancel()
    report = dict(wake.report())
    assert report.pop("connected") == ""
    assert report.pop("waiting") == 0
    assert sum(report.values()) >= 2


async def test_after_trouble_the_next_address_is_tried() -> None:
    async with opened() as (_, notifier):
        wake = Wake([SecretStr("ws://127.0.0.1:1/"), SecretStr(notifier.url)], SECTION)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wake.run)
            async with waiting(wake) as over:
                await eventually(lambda: bool(notifier.asked))
                await notifier.notify()
                await over_soon(over)
            tasks.cancel_scope.cancel()


GARBAGE: list[str | bytes] = [
    "",
    "<html>",
    "[]",
    "5",
    "null",
    b"\xff\xfe",
    '{"method":"signatureNotification"}',
    '{"method":"signatureNotification","params":{"subscription":99}}',
    '{"method":"signatureNotification","params":{"subscription":[]}}',
    '{"method":"x","params":[]}',
    '{"id":1}',
    '{"id":[],"result":1}',
    '{"id":1,"result":"x"}',
    '{"id":77,"result":1}',
    '{"jsonrpc":"2.0","id":1,"error":{"code":-32601}}',
    "[" * 5_000,
]


async def test_garbage_wakes_nobody_and_does_no_harm() -> None:
    async with opened() as (wake, notifier), waiting(wake) as over:
        await eventually(lambda: bool(notifier.asked))
        for message in GARBAGE:
            await notifier.connections[0].send(message)
        await anyio.sleep(0.02)
        assert not over.is_set()
        await notifier.notify()
        await over_soon(over)
        assert len(notifier.connections) == 1
        assert wake.report()["unreadable"] >= 10


async def test_a_message_that_is_too_long_costs_the_connection_and_nothing_else() -> None:
    async with opened() as (wake, notifier), waiting(wake) as over:
        await eventually(lambda: bool(notifier.asked))
        await notifier.connections[0].send("x" * (MESSAGE_BYTES_MAX + 1))
        await over_soon(over)
        await wake.wait(SIGNATURE, 0.1)
        await eventually(lambda: len(notifier.connections) == 2)


async def test_who_waits_again_soon_goes_on_with_the_same_subscription() -> None:
    async with opened() as (wake, notifier):
        for _ in range(3):
            await wake.wait(SIGNATURE, 0.03)
        async with waiting(wake) as over:
            await eventually(lambda: bool(notifier.asked))
            await notifier.notify()
            await over_soon(over)
        assert [each["method"] for each in notifier.asked] == ["signatureSubscribe"]


async def test_what_is_told_between_two_waits_is_not_missed() -> None:
    async with opened() as (wake, notifier):
        await wake.wait(SIGNATURE, 0.05)
        await eventually(lambda: bool(notifier.asked))
        await notifier.notify()
        await eventually(lambda: wake.report().get("notified") == 1)
        with anyio.fail_after(30):
            await wake.wait(SIGNATURE, LONG_S)
        started = anyio.current_time()
        await wake.wait(SIGNATURE, 0.05)
        assert anyio.current_time() - started > 0.04, "once"


async def test_what_nobody_waits_for_any_more_is_unsubscribed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trading.adapters.solana.wake.LINGER_S", 0.05)
    async with opened() as (wake, notifier):
        async with waiting(wake, OTHER):
            async with waiting(wake):
                await eventually(lambda: len(notifier.asked) == 2)
                await anyio.sleep(0.02)
            await eventually(lambda: len(notifier.asked) == 3)
        number = next(each["id"] for each in notifier.asked if each["params"][0] == SIGNATURE)
        assert notifier.asked[2]["method"] == "signatureUnsubscribe"
        assert notifier.asked[2]["params"] == [number + 1_000]


async def test_there_are_never_more_subscriptions_than_allowed() -> None:
    section = SECTION.model_copy(update={"subscriptions_max": 1})
    async with opened(section) as (wake, notifier):
        async with waiting(wake):
            await eventually(lambda: len(notifier.asked) == 1)
            await wake.wait(OTHER, 0.05)
            assert notifier.subscribed(OTHER) == []
        # Whoever is not waited for any more makes room.
        async with waiting(wake, OTHER):
            await eventually(lambda: len(notifier.asked) == 3)
        assert {each["method"] for each in notifier.asked[1:]} == {"signatureSubscribe", "signatureUnsubscribe"}


async def test_two_who_wait_for_one_signature_share_a_subscription() -> None:
    async with opened() as (wake, notifier), waiting(wake) as first, waiting(wake) as second:
        await eventually(lambda: bool(notifier.asked))
        await notifier.notify()
        await over_soon(first)
        await over_soon(second)
        assert len(notifier.subscribed()) == 1


async def test_a_key_in_the_address_is_in_no_log_and_no_report(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with opened(key="topsecret-key") as (wake, notifier):
        await wake.wait(SIGNATURE, 0.05)
        await eventually(lambda: bool(notifier.connections))
        assert "topsecret" not in str(wake.report())
        assert wake.report()["connected"] == notifier.url.split("/")[2]
    ours = [record for record in caplog.records if record.name != "websockets.server"]  # the other side
    assert "topsecret" not in "\n".join(record.getMessage() for record in ours)

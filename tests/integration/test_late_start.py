"""What a desk with real money needs may be away at its start: it waits, says so, opens nothing, and goes on alone."""

import json
import os
import re
import time
from pathlib import Path

import anyio
import pytest
from tests.doubles.clocks import SystemClock
from tests.doubles.word_scanner import WordScanner
from tests.support.live_desk import World, a_desk, a_world
from tests.support.migrated import migrated

from memmcp_server import bootstrap
from memmcp_server.adapters.late_desk import LateDesk
from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.adapters.trading_desk import open_desk
from memmcp_server.config import JournalSection, Sections, TradingSection
from memmcp_server.errors import TradingUnavailable
from trading.rehearsal import faults, jupiter_faults
from trading.signing.server import Doors, SignerServer, listening

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T10")]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def environ_of(world: World) -> dict[str, str]:
    return {
        "TRADING_CHAIN__ENDPOINTS": json.dumps([{"url": url, "calls_per_second": 1_000} for url in world.urls]),
        "TRADING_CHAIN__GENESIS_HASH": world.stage.cluster.genesis_hash,
        "TRADING_CHAIN__ATTEMPTS_MAX": "1",
        "TRADING_CHAIN__BACKOFF_BASE_S": "0.01",
        "TRADING_CHAIN__BACKOFF_CAP_S": "0.05",
        "TRADING_LIVE__WALLET": world.wallet,
        "TRADING_LIVE__SIGNER_SOCKET": str(world.socket.path),
        "TRADING_LIVE__ARMING_POLL_S": "0.05",
        "TRADING_PAPER__SPEED": "3000",
        "TRADING_MARKET__JUPITER_URL": world.stage.server.url,
    }


async def test_a_chain_that_cannot_be_reached_is_waited_for_and_the_desk_says_since_when_and_until_when(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "DESK_BACKOFF_BASE_S", 0.2)
    late = LateDesk()
    async with (
        a_world(tmp_path) as world,
        open_journal(JournalSection(), migrated(tmp_path / "data"), SystemClock()) as journal,
        anyio.create_task_group() as tasks,
    ):
        await world.arm()
        nodes = world.stage.rehearsal.endpoints.values()
        for node in nodes:
            node.faults.add(faults.Fault(faults.Kind.BROKEN, calls=faults.FOREVER))
        trading = TradingSection(feed="synthetic:7", money="real")
        sections = Sections(data_dir=tmp_path / "data", trading=trading)

        def opened():  # type: ignore[no-untyped-def]
            return open_desk(environ_of(world), sections, journal, WordScanner({}))

        tasks.start_soon(bootstrap.keep_desk, late, opened, SystemClock())
        said = await refusal(late, "2 tries")
        told = re.search(r"waits: .+ \(since (.+) UTC, 2 tries, the next at (.+) UTC\)", said)
        assert told is not None, said
        assert told[1] <= told[2]
        for node in nodes:
            node.faults.clear()
        with anyio.fail_after(20):
            while True:
                try:
                    snapshot = await late.snapshot()
                    if snapshot["entries_allowed"]:
                        break
                except TradingUnavailable:
                    pass
                await anyio.sleep(0.05)
        assert snapshot["money"] == "real"
        tasks.cancel_scope.cancel()


async def refusal(late: LateDesk, word: str) -> str:
    with anyio.fail_after(20):
        while True:
            with pytest.raises(TradingUnavailable) as raised:
                await late.snapshot()
            if word in raised.value.message:
                return raised.value.message
            await anyio.sleep(0.05)


async def test_a_signer_and_a_router_that_come_later_are_waited_for_and_nothing_is_opened_before(
    tmp_path: Path,
) -> None:
    async with a_world(tmp_path) as world:
        await world.arm()
        place = tmp_path / "late.sock"
        world.live = {"signer_socket": place}
        world.stage.server.faults.put("build", jupiter_faults.Fault("502"), count=1_000)
        async with a_desk(world) as here:
            quiet = await here.until(lambda each: each["cycle"] > 3 and not each["entries_allowed"])
            assert "does not answer" in quiet["state_reason"]
            denied = await here.desk.place_trade(here.wish(world.stage.frog, "0.05"), agent="a", key="p")
            assert denied["status"] == "denied"
            doors = Doors(frozenset({os.geteuid()}), frozenset({os.geteuid()}))
            async with listening(place, SignerServer(world.core, doors, time.time_ns), doors):
                await here.until(lambda each: each["entries_allowed"])
                sent = await here.buy(world.stage.frog, "0.05", "one")
                assert sent["status"] == "working"
                assert world.stage.cluster.history(world.wallet) == ()
                world.stage.server.faults.clear()
                await here.again(world.stage.frog, "0.05", "one", "done")

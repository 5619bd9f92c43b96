"""A drawdown of the real desk is in memory, on the page, at Langfuse and in a channel in under two seconds."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from pydantic import SecretStr
from tests.support.channel_server import Inbox, http_inbox
from tests.support.otlp_receiver import PUBLIC_KEY, SECRET_KEY, OtlpReceiver
from tests.support.stage import events_of, served
from tests.unit.trading.feeds.bar_writers import START_S, write_csv

from memmcp_server.adapters.apprise_channel import AppriseChannel
from memmcp_server.bootstrap import open_services
from memmcp_server.config import (
    ChannelSection,
    ChannelsSection,
    LangfuseSection,
    Sections,
    TradingSection,
)
from memmcp_server.domain.identifiers import TrajectoryId
from memmcp_server.domain.memory import MemoryFilter
from memmcp_server.errors import TradingUnavailable
from memmcp_server.services.container import Services
from memmcp_server.tools.server import build_server
from memmcp_server.web.app import create_app

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("O4"), pytest.mark.slow]

WITHIN_S = 2.0
PROFILE = """
extends = "foundation"
strategies = [{ name = "buy_and_hold", weight_bps = 10000, parameters = { wait_bars = 2 } }]

[limits]
drawdown_reducing_bps = 100
drawdown_halted_bps = 9000
day_loss_bps_max = 10000
edge_over_cost_bps_min = -10000
gap_token_bps_max = 10000
gap_joint_bps_max = 10000
cvar_bps_max = 10000
protections = []

[sizing]
probe_bps = 1000
volatility_target_bps = 10000
trades_min = 1000
drawdown_floor_bps = 10000
"""


def recorded(folder: Path) -> Path:
    """Write a token that wobbles for a while and then loses a third within three bars."""
    prices = [0.5 + 0.001 * (number % 2) for number in range(12)]
    prices += [0.44, 0.38, 0.33, *([0.33] * 90)]
    rows = [
        f"{START_S + number * 300},{price},{price * 1.001},{price * 0.999},{price},100000"
        for number, price in enumerate(prices)
    ]
    return write_csv(folder / "FROGSOL_5m.csv", rows)


@asynccontextmanager
async def daemon(folder: Path, inbox: Inbox, langfuse_url: str) -> AsyncIterator[tuple[Services, str]]:
    """Open everything but the process: the real desk on a recorded market, journal, relay, sinks and doors."""
    (folder / "profiles").mkdir()
    (folder / "profiles" / "steep.toml").write_text(PROFILE, encoding="utf-8")
    sections = Sections(
        data_dir=folder,
        trading=TradingSection(feed=f"replay:{recorded(folder)}", profile="steep"),
        channels=ChannelsSection(
            named={"hook": ChannelSection(url=SecretStr(f"json://127.0.0.1:{inbox.port}/"), severity_min="critical")}  # type: ignore[arg-type]
        ),
        langfuse=LangfuseSection(public_key=PUBLIC_KEY, secret_key=SecretStr(SECRET_KEY), base_url=langfuse_url),
    )
    async with open_services(sections, {"TRADING_PAPER__SPEED": "3000"}) as services:
        app = create_app(services, sections, build_server(services), operator_token="a-token-of-the-test")
        async with app.router.lifespan_context(app), served(app) as url:
            try:
                yield services, url
            finally:
                app.state.live.close()


async def until_true(condition: Any, within_s: float = 30.0) -> float:
    """Wait for something that tells nobody; return when it came true, by the loop's clock."""
    with anyio.fail_after(within_s):
        while not await condition():  # noqa: ASYNC110 - see above
            await anyio.sleep(0.01)
    return anyio.current_time()


async def test_a_drawdown_reaches_memory_page_langfuse_and_channel_in_under_two_seconds(tmp_path: Path) -> None:
    receiver, came = OtlpReceiver(), dict[str, float]()
    # A daemon loads this beside its start, long before the first loss; here the market does not wait.
    await AppriseChannel("hook", SecretStr("json://127.0.0.1:1/"), 5).prepare()
    with http_inbox() as inbox:
        async with receiver.serving() as langfuse_url, daemon(tmp_path, inbox, langfuse_url) as (services, url):
            desk = services.desk
            assert desk is not None

            async def crossing() -> None:
                while "crossed" not in came:
                    try:
                        async for snapshot in desk.changes():
                            limit = next(each for each in snapshot["limits"] if each["name"] == "drawdown_bps")  # type: ignore[union-attr, index]
                            if limit["used"] >= limit["limit"]:  # type: ignore[index, operator]
                                came["crossed"] = anyio.current_time()
                                return
                    except TradingUnavailable:
                        await anyio.sleep(0.02)  # it is not there yet

            async def in_memory() -> bool:
                found = await services.journal.page(
                    MemoryFilter(namespace="alerts", tags=("drawdown",)), after=None, limit=1, newest_first=True
                )
                return bool(found)

            async def at_langfuse() -> bool:
                return any("drawdown" in str(span) for span in receiver.spans.values() if "alert" in span.name)

            async def in_channel() -> bool:
                return any("drawdown limit crossed" in title for title in inbox.titles)

            async def on_page() -> None:
                async with (
                    httpx2.AsyncClient(base_url=url, timeout=30) as client,
                    client.stream("GET", "/events") as response,
                ):
                    async for event in events_of(response):
                        if event.kind == "alerts" and any(each["rule"] == "drawdown" for each in event.data["alerts"]):
                            came["page"] = anyio.current_time()
                            return

            async def note(name: str, condition: Any) -> None:
                came[name] = await until_true(condition)

            with anyio.fail_after(40):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(crossing)
                    tasks.start_soon(on_page)
                    for name, condition in (("memory", in_memory), ("langfuse", at_langfuse), ("channel", in_channel)):
                        tasks.start_soon(note, name, condition)
            [alert] = [each for each in services.alerts.current() if each.rule == "drawdown"] if services.alerts else []
            trade = TrajectoryId(alert.trajectory_id)

            async def is_linked() -> bool:
                return await services.journal.trajectory(trade) is not None

            await until_true(is_linked)
    took_s = {name: at - came["crossed"] for name, at in came.items()}
    assert max(took_s.values()) < WITHIN_S, took_s

"""A desk on a generated market that trades by the toss of a coin and hears advice, with a sidecar on loopback."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from pydantic import SecretStr

from tests.doubles.desk_memory import ListMemory
from tests.support.chat_server import KEY, MODEL, ChatServer
from trading.adapters.live_feed_choice import Chosen
from trading.adapters.sql_journal import JournalStore
from trading.config import AccountSection, PaperSection, RelaySection, Sections, SidecarSection
from trading.feeds.synthetic import SyntheticFeed, SyntheticMarket
from trading.runtime.paper_desk import PaperDesk
from trading.runtime.paper_run import PaperOptions, paper_desk
from trading.runtime.recorded_runs import JOURNAL_NAME

CYCLES = 120
PROFILE = """
extends = "foundation"

[limits]
edge_over_cost_bps_min = -10000
cooldown_s = 0
reentry_s = 0
protections = []

[advice]
weight_bps_max = 10000
unproven_bps = 2500
age_s_max = 604800
wait_s_max = 86400

[[strategies]]
name = "random_entry"
weight_bps = 10000
parameters = { seed = 3, wait_bars = 4, hold_bars = 3 }
"""


def feed() -> SyntheticFeed:
    return SyntheticFeed(SyntheticMarket(seed=7, cycles=CYCLES))


def sections(url: str = "", *, speed: float | str = 20_000.0, **sidecar: Any) -> Sections:
    """Return the settings of a desk; without an address it has no sidecar."""
    values: dict[str, Any] = {"timeout_s": 0.3, "attempts_max": 1, "again_s": 0, "open_s": 0.05, "cache_s": 0} | sidecar
    asked = SidecarSection(url=f"{url}/v1", model=MODEL, key=SecretStr(KEY), **values) if url else SidecarSection()
    return Sections(
        account=AccountSection(equity_sol="20"),  # type: ignore[arg-type]
        paper=PaperSection(speed=speed),  # type: ignore[arg-type]
        relay=RelaySection(poll_s=0.05),
        sidecar=asked,
    )


@asynccontextmanager
async def opened(folder: Path, settings: Sections, memory: ListMemory | None = None) -> AsyncIterator[PaperDesk]:
    """Open the desk in its folder."""
    folder.mkdir(exist_ok=True)
    (folder / "heard.toml").write_text(PROFILE)
    options = PaperOptions(folder, "synthetic", "heard", profiles_dir=folder)
    async with paper_desk(options, settings, memory or ListMemory(), Chosen(feed(), "generated")) as desk:
        yield desk


async def ended(desk: PaperDesk, within_s: float = 30) -> dict[str, Any]:
    """Wait until the feed has ended; return the snapshot."""
    with anyio.fail_after(within_s):
        async for shown in desk.changes():
            if "ended" in shown["feed"]["detail"]:
                return shown
    raise AssertionError


async def run(folder: Path, server: ChatServer | None, memory: ListMemory | None = None, **more: Any) -> dict[str, Any]:
    """Run the desk to its end beside this server (None: without a sidecar); return the last snapshot."""
    if server is None:
        async with opened(folder, sections(**more), memory) as desk:
            return await ended(desk)
    async with server.serving() as url, opened(folder, sections(url, **more), memory) as desk:
        try:
            return await ended(desk)
        finally:
            server.release.set()


def rows(folder: Path, *kinds: str) -> list[tuple[int, str, bytes]]:
    """Return the journal of the folder's run, the header left out because it names the run."""
    store = JournalStore.at(folder / JOURNAL_NAME)
    try:
        found = store.open_run(1).rows(kinds=kinds)
        return [(row.ts_ns, row.kind, row.body) for row in found if row.kind != "run_started"]
    finally:
        store.close()

"""One snapshot per closed window is in the index and is found by what it means, not by its words alone."""

from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from tests.doubles.clocks import SystemClock
from tests.doubles.memory_index import MemoryIndex
from tests.doubles.word_scanner import WordScanner
from tests.support.migrated import migrated

from memmcp_server.adapters.embedding.fastembed_embedder import load_embedder
from memmcp_server.adapters.index.sink import QdrantSink
from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.adapters.trading_desk import JournalMemory
from memmcp_server.config import EmbeddingSection, JournalSection, RelaySection
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.memory import MemoryFilter
from memmcp_server.domain.search import SearchQuery
from memmcp_server.ports import Embedder
from memmcp_server.services.memories import Memories
from memmcp_server.services.policies import Policies
from memmcp_server.services.relay import Relay
from trading.adapters.sql_journal import JournalStore
from trading.config import RelaySection as DeskRelaySection
from trading.model.units import BPS_ONE, NS_PER_S
from trading.runtime.documents import amount
from trading.runtime.relay import WINDOW_KEY, MemoryRelay

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("O2")]

CALLER = Caller("claude", "s1", "memory_search", "agent", "stdio")
HOUR_NS = 3_600 * NS_PER_S
T0_NS = 1_767_225_600 * NS_PER_S
EQUITY = 2_000_000_000

CASH: dict[str, int] = {}
SPREAD = {"BONK": 1_200, "WIF": 1_100, "POPCAT": 1_000, "JUP": 900}
ONE = {"BONK": 8_600}
HOURS: tuple[tuple[dict[str, int], int, str], ...] = (
    (CASH, 0, "ACTIVE"),
    (SPREAD, 150, "ACTIVE"),
    (ONE, 400, "ACTIVE"),
    (CASH, 2_300, "HALTED"),
    (SPREAD, 90, "ACTIVE"),
)
"""Exposure by token, drawdown, and state, at the close of each hour."""


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    return load_embedder(EmbeddingSection(allow_download=False), tmp_path_factory.mktemp("models"))


def snapshot(exposure: dict[str, int], drawdown_bps: int, state: str) -> dict[str, Any]:
    held = sum(exposure.values())
    return {
        "cycle": 7,
        "state": state,
        "entries_allowed": state == "ACTIVE",
        "profile": "foundation",
        "tier": "Foundation",
        "money": "paper",
        "equity": amount(EQUITY, None),
        "cash": amount(EQUITY * (BPS_ONE - held) // BPS_ONE, None),
        "realised": amount(0, None),
        "unrealised": amount(0, None),
        "drawdown_bps": drawdown_bps,
        "exposure": {
            "total": amount(EQUITY * held // BPS_ONE, None),
            "by_token": [
                {"name": f"sim:{label}", "label": label, "share_bps": share, "lamports": EQUITY * share // BPS_ONE}
                for label, share in exposure.items()
            ],
        },
    }


@pytest.mark.parametrize(
    ("question", "hour"),
    [
        ("when was nearly all of the money in a single token?", 2),
        ("when was the exposure like this: concentrated in BONK, hardly any cash left", 2),
        ("at what time had trading been stopped after a deep loss, with nothing held?", 3),
    ],
)
async def test_a_time_that_was_like_this_one_is_found_by_its_meaning(
    tmp_path: Path, embedder: Embedder, question: str, hour: int
) -> None:
    clock = SystemClock()
    store = JournalStore.at(tmp_path / "desk.db")
    desk = store.start_run("run", "t", 0)
    for number, told in enumerate(HOURS):
        closed_ns = T0_NS + number * HOUR_NS
        body = {"closed_ns": closed_ns, "window_s": 3_600, "snapshot": snapshot(*told)}
        desk.remember_snapshot(closed_ns, f"{WINDOW_KEY}{number}", orjson.dumps(body))
    desk.commit()
    async with open_journal(JournalSection(), migrated(tmp_path), clock) as journal:
        carrying = MemoryRelay(store, desk, "run", JournalMemory(journal, WordScanner({})), DeskRelaySection())
        while await carrying.carry():
            pass
        index = MemoryIndex(clock, embedder)
        relay = Relay(journal, [QdrantSink(journal, index)], clock, RelaySection())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(relay.run)
            assert await relay.drain(30)
            tasks.cancel_scope.cancel()
        memories = Memories(journal, index, clock, Policies(journal, clock), WordScanner({}))
        where = MemoryFilter(kinds=("snapshot",))
        found = await memories.search(SearchQuery(question, where, 2), CALLER)
    store.close()
    first = found.found[0].memory
    assert first.ts_event_ns == T0_NS + hour * HOUR_NS
    assert first.metadata["window_s"] == 3_600

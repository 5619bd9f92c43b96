"""Every module of the desk is written to memory: each is listed here, and one that says nothing is found out."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest
from tests.doubles.desk_memory import ListMemory
from tests.support.chat_server import ChatServer
from tests.support.sidecar_desk import ended, opened, sections

from trading.errors import MemoryUnavailable
from trading.ports import MemoryRecord
from trading.runtime import reconciler_notes
from trading.runtime.reconciler_notes import ReconcilerNotes, Standing

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("O2")]

Speaks = Callable[[MemoryRecord], bool]
MODULES: Final[Mapping[str, Speaks]] = MappingProxyType(
    {
        "feed": lambda record: record.kind in {"run", "feed", "gap"} and "feed" in record.metadata,
        "strategy": lambda record: record.kind == "signal",
        "sizing": lambda record: record.kind == "order" and "amount_in" in record.metadata,
        "gate": lambda record: record.kind == "verdict" or "denied" in record.metadata,
        "venue": lambda record: record.kind in {"fill", "rejection"},
        "reconciler": lambda record: record.kind == reconciler_notes.KIND,
        "sidecar": lambda record: record.namespace == "memory_bank" and record.kind == "response",
    }
)


def silent(records: Iterable[MemoryRecord]) -> list[str]:
    """Return the modules of which memory knows nothing."""
    told = list(records)
    return [name for name, speaks in MODULES.items() if not any(speaks(record) for record in told)]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def told(tmp_path_factory: pytest.TempPathFactory) -> list[MemoryRecord]:
    """What memory was told of a whole run beside a sidecar, and of the books of a desk with real money."""
    memory, server = ListMemory(), ChatServer(said={"size_scale_bps": 0, "expires_in_s": 604_800})
    folder: Path = tmp_path_factory.mktemp("desk")
    async with server.serving() as url, opened(folder, sections(url, timeout_s=20), memory) as desk:
        await ended(desk)
    await ReconcilerNotes(lambda: Standing(is_reconciled=True, wallets=("w",)), memory, lambda: 1).look()
    return memory.records


async def test_no_module_of_the_desk_is_silent(told: list[MemoryRecord]) -> None:
    assert silent(told) == []


@pytest.mark.parametrize("module", list(MODULES))
async def test_a_module_that_said_nothing_is_named(told: list[MemoryRecord], module: str) -> None:
    assert module in silent(record for record in told if not MODULES[module](record))


async def test_each_change_of_how_the_books_stand_is_told_once_also_when_memory_was_away() -> None:
    memory, now = ListMemory(), [Standing(is_reconciled=False)]
    notes = ReconcilerNotes(lambda: now[0], memory, iter(range(1, 100)).__next__)
    await notes.look()
    assert memory.records == []
    memory.is_down = True
    now[0] = Standing(is_reconciled=True, wallets=("w",), halted={"w": "two signatures for one order"})
    with pytest.raises(MemoryUnavailable):
        await notes.look()
    memory.is_down = False
    await notes.look()
    now[0] = Standing(is_reconciled=True, wallets=("w",))
    await notes.look()
    await notes.look()
    now[0] = Standing(is_reconciled=False)
    await notes.look()
    first = "The chain was compared with the books of 1 wallet; 0 orders are unfinished. "
    assert [record.text for record in memory.records] == [
        f"{first}The wallet w waits for a person: two signatures for one order.",
        "The wallet w was released.",
        "The books are not compared with the chain any more: the executor has stopped.",
    ]
    assert len({record.key for record in memory.records}) == 3

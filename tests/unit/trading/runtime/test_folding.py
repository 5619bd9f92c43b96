"""What is done beside the loop goes on after a disk in trouble, and ends with the desk."""

import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from trading.adapters.bar_thinning import BarThinning
from trading.adapters.sql_journal import JournalStore
from trading.config import BarsSection
from trading.errors import JournalUnavailable
from trading.runtime import folding

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("D4")]


class Troubled(BarThinning):
    """Its first round ends in the middle; of the second it tells, and the third looks again."""

    def __init__(self, store: JournalStore) -> None:
        super().__init__(store, 1, BarsSection())
        self.rounds = 0
        self.worked = 0
        self.looked_again = threading.Event()

    def round(self) -> Iterator[int]:
        self.rounds += 1
        if self.rounds == 1:
            yield 3
            msg = "the disk is full"
            raise JournalUnavailable(msg)
        if self.rounds == 2:
            for _ in range(5):
                self.worked += 1
                yield 1
        elif self.rounds == 3:
            self.looked_again.set()


async def test_old_bars_are_thinned_round_after_round_also_after_a_disk_in_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("THINNING_S", "REST_S", "TROUBLE_S"):
        monkeypatch.setattr(folding, name, 0.001)
    store = JournalStore.at(tmp_path / "journal.db")
    bars = Troubled(store)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(folding.keep_thinning, bars)
        assert await anyio.to_thread.run_sync(bars.looked_again.wait, 10)
        tasks.cancel_scope.cancel()
    assert bars.worked == 5
    assert [record.getMessage() for record in caplog.records] == ["old bars wait to be thinned: the disk is full"]
    store.close()

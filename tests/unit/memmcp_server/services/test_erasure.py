"""Carrying a forgetting through to the files: in order, once, after failures and after a restart."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.doubles.clocks import ManualClock
from tests.doubles.memory_index import MemoryIndex
from tests.doubles.memory_journal import MemoryJournal
from tests.support.journals import a_draft

from memmcp_server.adapters.back_ups import DeskFiles
from memmcp_server.adapters.index.sink import QdrantSink
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.identifiers import JsonObject, MemoryId, Seq
from memmcp_server.domain.lifecycle import AUDIT_MIGRATE, ForgetMemory, RecordAudit
from memmcp_server.domain.memory import Provenance
from memmcp_server.domain.outbox import QDRANT, SinkSpec
from memmcp_server.domain.residues import WINDOWS_PER_TEXT_MIN
from memmcp_server.errors import JournalBusy
from memmcp_server.ports import Purge
from memmcp_server.services import forgetting as forgetting_module
from memmcp_server.services.copies import Copies
from memmcp_server.services.erasure import Erasure
from memmcp_server.services.forgetting import Forgetting
from memmcp_server.services.policies import Policies

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("M8")]
CLAUDE = Caller("claude", "s-1", "memory_forget", "agent", "stdio")
TEXT = "the vault is behind the mirror"


class Journal(MemoryJournal):
    """Notes what it was asked to purge; ``busy`` of the next purges fail; ``residues`` are found."""

    purged: list[frozenset[bytes]]
    wholes: list[bool]
    busy = 0
    residues = 0

    async def purge(self, windows: Collection[bytes], *, is_whole: bool = True) -> Purge:
        if self.busy:
            self.busy -= 1
            raise JournalBusy("readers hold the log")
        self.purged.append(frozenset(windows))
        self.wholes.append(is_whole)
        return Purge("memory", ("checkpoint",), windows=len(windows), residues=self.residues)


class Index(MemoryIndex):
    purged: list[Mapping[MemoryId, int]]

    async def purge(self, forgotten: Mapping[MemoryId, int]) -> Purge:
        purge = await super().purge(forgotten)
        self.purged.append(forgotten)
        return purge


class House:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.journal, self.index = Journal(self.clock), Index(self.clock)
        self.journal.purged, self.journal.wholes, self.index.purged = [], [], []
        self.copies = Copies(self.journal, DeskFiles(Path("no such directory")))
        self.start()

    def start(self) -> None:
        """Begin anew, as after a restart: nothing is remembered but what the journal holds."""
        self.erasure = Erasure(self.journal, self.index, self.copies, answer_wait_s=0.3)
        policies = Policies(self.journal, self.clock)
        self.forgetting = Forgetting(self.journal, policies, self.clock, self.erasure)

    async def write(self, content: str = TEXT, **fields: Any) -> MemoryId:
        [acknowledged] = await self.journal.commit([a_draft(content, **fields)])
        return acknowledged.id

    async def deliver(self) -> None:
        entries = await self.journal.outbox_entries("qdrant", dead=False, limit=100)
        await QdrantSink(self.journal, self.index).deliver(entries)
        await self.journal.outbox_delivered([entry.id for entry in entries])

    async def forget(self, memory_id: MemoryId) -> Any:
        """Forget it while the relay delivers."""
        self.seq = await self.journal.horizon()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._deliver_soon)
            return await self.forgetting.forget([memory_id], "asked for", CLAUDE)

    async def _deliver_soon(self) -> None:
        await self.journal.wait_for_commit(self.seq, 5)
        await self.deliver()

    async def purges(self) -> list[dict[str, Any]]:
        return [dict(entry.detail) for entry in reversed(await self.journal.audit(action="purge", limit=99))]


@pytest.fixture
def house() -> House:
    return House()


async def test_a_forgetting_is_proved_in_both_parts_and_the_audit_has_the_figures(house: House) -> None:
    memory_id = await house.write(tags=("codename-mirror",))
    forgotten = await house.forget(memory_id)
    assert forgotten.proof.state == "proved"
    assert forgotten.proof.journal["windows"] == len(house.journal.purged[0]) > 2
    assert house.index.purged == [{memory_id: 1}]
    journal, index = await house.purges()
    assert (journal["part"], index["part"]) == ("journal", "index")
    for part in (journal, index):
        assert (part["through_seq"], part["memories"], part["residues"]) == (forgotten.seq, 1, 0)
    assert journal["langfuse"].startswith("not configured")
    [entry] = await house.journal.audit(action="forget", limit=1)
    assert [each.detail["part"] for each in await house.erasure.covering(entry)] == ["journal", "index"]
    assert TEXT not in str(await house.journal.audit(limit=99))


async def test_the_index_is_purged_only_when_the_outbox_has_let_go(house: House) -> None:
    memory_id = await house.write()
    forgotten = await house.forgetting.forget([memory_id], "asked for", CLAUDE)
    assert forgotten.proof.state == "pending"
    assert "outbox" in forgotten.proof.waits_for
    assert forgotten.proof.journal is not None
    assert house.index.purged == []
    await house.deliver()
    again = await house.forgetting.forget([memory_id], "asked for", CLAUDE)
    assert (again.count, again.already, again.proof.state) == (0, 1, "proved")
    assert len(house.journal.purged) == 1


async def test_a_part_that_is_down_is_tried_again_in_the_background(house: House) -> None:
    house.journal.busy, house.index.is_down = 1, True
    memory_id = await house.write()
    forgotten = await house.forgetting.forget([memory_id], "asked for", CLAUDE)
    assert forgotten.proof.state == "pending"
    house.index.is_down = False
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(house.erasure.run)
        await house.deliver()
        with anyio.fail_after(30):
            while len(await house.purges()) < 2:
                await house.journal.wait_for_commit(await house.journal.horizon(), 1)
        tasks.cancel_scope.cancel()
    assert [each["part"] for each in await house.purges()] == ["journal", "index"]


async def test_what_a_crash_left_undone_is_done_at_the_next_start_without_the_texts(house: House) -> None:
    one, two = await house.write(), await house.write("another text, longer than a window")
    house.journal.busy = 99
    await house.forgetting.forget([one], "asked for", CLAUDE)
    house.journal.busy = 0
    house.start()
    forgotten = await house.forget(two)
    assert forgotten.proof.state == "proved"
    assert house.journal.wholes == [False]  # one of the two is not remembered: everything is written anew
    assert house.journal.purged[0]
    assert [each["memories"] for each in await house.purges()] == [2, 2]
    house.start()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(house.erasure.run)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert len(house.journal.purged) == 1


async def test_what_is_too_long_to_be_looked_for_as_a_whole_is_said_to_be(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.forget(await house.write("a text of more than one window"))
    monkeypatch.setattr(forgetting_module, "WINDOWS_MAX", 1)
    await house.forget(await house.write("".join(f"piece {number} " for number in range(100))))
    assert house.journal.wholes == [True, False]
    assert len(house.journal.purged[1]) == WINDOWS_PER_TEXT_MIN


async def test_residues_are_told_and_not_hidden(house: House) -> None:
    house.journal.residues = 3
    forgotten = await house.forget(await house.write())
    assert forgotten.proof.state == "residues"
    assert forgotten.proof.journal["residues"] == 3


async def test_copies_that_are_still_there_are_named(house: House, tmp_path: Path) -> None:
    memory_id = await house.write()
    (kept, *_), export = await house.copies.back_up(tmp_path / "kept", CLAUDE), tmp_path / "all.jsonl"
    gone, *_ = await house.copies.back_up(tmp_path / "gone", CLAUDE)
    Path(gone).unlink(missing_ok=True)
    await house.copies.note_export(export, CLAUDE)
    Path(kept).parent.mkdir(exist_ok=True)
    Path(kept).touch()
    Path(f"{export}.part").touch()
    moved = tmp_path / "journal.db"  # from which the journal came to a server
    moved.touch()
    await house.journal.commit([RecordAudit(AUDIT_MIGRATE, Provenance(agent="memmcp"), detail={"path": str(moved)})])
    forgotten = await house.forget(memory_id)
    assert set(forgotten.proof.copies) == {str(kept), f"{export}.part", str(moved)}
    [entry] = [each for each in await house.journal.audit(action="purge", limit=9) if "copies" in each.detail]
    assert set(entry.detail["copies"]) == {str(kept), f"{export}.part", str(moved)}
    assert [each.agent for each in await house.journal.audit(action="backup", limit=9)] == ["claude", "claude"]


async def test_copies_are_named_also_while_the_journal_cannot_be_purged(house: House, tmp_path: Path) -> None:
    memory_id, (kept, *_) = await house.write(), await house.copies.back_up(tmp_path / "kept", CLAUDE)
    Path(kept).parent.mkdir(exist_ok=True)
    Path(kept).touch()
    house.journal.busy = 99
    forgotten = await house.forgetting.forget([memory_id], "asked for", CLAUDE)
    assert (forgotten.proof.state, forgotten.proof.journal) == ("pending", None)
    assert forgotten.proof.copies == (str(kept),)


class SharedHouse(House):
    """One of two daemons on a journal; the other one's index is the sink ``qdrant@other``."""

    class Shared(Journal):
        node = "0123456789ab"  # type: ignore[assignment]

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.journal, self.index = self.Shared(self.clock, (QDRANT, SinkSpec("qdrant@other"))), Index(self.clock)
        self.journal.purged, self.journal.wholes, self.index.purged = [], [], []
        self.copies = Copies(self.journal, DeskFiles(Path("no such directory")))
        self.start()

    async def deliver_there(self) -> None:
        entries = await self.journal.outbox_entries("qdrant@other", dead=False, limit=100)
        await self.journal.outbox_delivered([entry.id for entry in entries])

    async def forget_elsewhere(self, memory_id: MemoryId) -> Seq:
        """Forget it as the other daemon does, which dies before it has seen to any files."""
        by = Provenance(agent="claude")
        [acknowledged] = await self.journal.commit([ForgetMemory(memory_id, "asked for", by)])
        await self.deliver()
        return acknowledged.seq


async def test_a_forgetting_waits_for_the_index_inside_of_another_daemon() -> None:
    house = SharedHouse()
    memory_id = await house.write()
    forgotten = await house.forget(memory_id)
    assert forgotten.proof.state == "pending"
    assert "qdrant@other has still to take 2 entries" in forgotten.proof.waits_for
    assert [each["part"] for each in await house.purges()] == ["journal", "index@0123456789ab"]
    await house.deliver_there()
    assert (await house.erasure.proof(forgotten.seq)).state == "proved"


async def test_what_another_daemon_forgot_is_left_to_it_first_and_then_taken_up() -> None:
    house = SharedHouse()
    seq = await house.forget_elsewhere(await house.write())
    await house.erasure._attempted()
    # The index inside of this daemon is seen to at once; the journal by whoever knows the words, for a while.
    assert house.journal.purged == []
    assert [len(each) for each in house.index.purged] == [1]
    await house.erasure._attempted()
    assert house.journal.purged == [frozenset()]
    await house.deliver_there()
    assert (await house.erasure.proof(seq)).state == "proved"


async def test_what_another_daemon_saw_to_is_not_done_again() -> None:
    house = SharedHouse()
    seq = await house.forget_elsewhere(await house.write())
    detail: JsonObject = {"part": "journal", "from_seq": seq, "through_seq": seq}
    await house.journal.commit([RecordAudit("purge", Provenance(agent="memmcp"), detail=detail)])
    for _ in range(2):
        await house.erasure._attempted()
    assert house.journal.purged == []

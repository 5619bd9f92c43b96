"""What every body of ``ports.Journal`` promises about forgetting for good."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.journals import Bench, a_draft

from memmcp_server.adapters.sql_journal.journal import SqlJournal
from memmcp_server.domain.identifiers import MemoryId, Seq
from memmcp_server.domain.lifecycle import ForgetMemory, MergeMemory, UpdateMemory
from memmcp_server.domain.memory import MemoryFilter, Provenance
from memmcp_server.domain.residues import windows_of

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("M8")]
ME = Provenance(agent="operator")
SHORT = "the vault is behind the mirror"
LONG = "".join(f"paragraph {number} about the merger; " for number in range(600))


async def written(bench: Bench, *contents: str, **fields: Any) -> list[MemoryId]:
    return [each.id for each in await bench.journal.commit([a_draft(content, **fields) for content in contents])]


async def forget(bench: Bench, *memory_ids: MemoryId) -> Seq:
    return (await bench.journal.commit([ForgetMemory(each, "asked for", ME) for each in memory_ids]))[-1].seq


def windows(*texts: str) -> frozenset[bytes]:
    return frozenset(window for text in texts for window in windows_of(text, 64))


def stored(bench: Bench) -> bytes:
    """Return the bytes of the journal's files. A descriptor that is closed here frees SQLite's locks: a test may."""
    assert isinstance(bench.journal, SqlJournal)
    path = bench.journal.path
    assert path is not None
    return b"".join(each.read_bytes() for each in (path, Path(f"{path}-wal")))


async def test_nothing_of_forgotten_texts_is_found_after_a_purge(bench: Bench) -> None:
    gone = await written(bench, SHORT, LONG, tags=("codename-mirror",))
    [kept] = await written(bench, "a living memory stays as it was", tags=("silver-lining",))
    await bench.journal.commit([UpdateMemory(gone[0], key="k", provenance=ME, content=f"{SHORT}, on the left")])
    sought = windows(SHORT, LONG, "codename-mirror")
    if bench.body == "sqlite":
        for text in (SHORT, LONG, "codename-mirror"):
            assert any(window in stored(bench) for window in windows(text)), text
    await forget(bench, *gone)

    purge = await bench.journal.purge(sought)

    assert (purge.residues, purge.living, purge.windows) == (0, 0, len(sought) if bench.body != "postgresql" else 0)
    assert purge.store == bench.body
    assert (await bench.journal.memories([kept]))[0].tags == ("silver-lining",)
    if bench.body == "sqlite":
        left = stored(bench)
        assert not [window for window in sought if window in left]
        assert b"silver-lining" in left
        assert purge.files == 2


async def test_what_a_living_memory_says_too_is_no_residue(bench: Bench) -> None:
    [gone] = await written(bench, SHORT)
    await written(bench, f"copied: {SHORT}")
    await forget(bench, gone)

    purge = await bench.journal.purge(windows(SHORT))

    assert purge.residues == 0
    assert (purge.living > 0) is (bench.body != "postgresql")


async def test_a_purge_of_what_nobody_remembers_writes_everything_anew(bench: Bench) -> None:
    [gone] = await written(bench, SHORT)
    await forget(bench, gone)
    purge = await bench.journal.purge(())
    assert (purge.windows, purge.residues) == (0, 0)
    if bench.body == "sqlite":
        assert "vacuum" in purge.steps
        assert SHORT.encode() not in stored(bench)


async def test_writing_and_reading_go_on_after_a_purge(bench: Bench) -> None:
    gone, kept = await written(bench, SHORT, "kept")
    await forget(bench, gone)
    for sought in (windows(SHORT), frozenset[bytes]()):
        await bench.journal.purge(sought)
        [new] = await written(bench, f"after {len(sought)}")
        assert [each.id for each in await bench.journal.memories([kept, new, gone])] == [kept, new]
    assert await bench.journal.count(MemoryFilter()) == 3


async def test_kept_returns_the_last_version_also_of_what_is_no_longer_current(bench: Bench) -> None:
    fact, twin, other = await written(bench, "fact", "twin", "other", namespace="team")
    await written(bench, "elsewhere", namespace="solo")
    await bench.journal.commit([MergeMemory(twin, fact, "alike", ME)])
    bench.clock.advance(1)
    moment_ns = bench.clock.now_ns()
    await bench.journal.commit([UpdateMemory(fact, key="k", provenance=ME, content="new fact")])

    async def kept(where: MemoryFilter, **rest: Any) -> list[str]:
        asked = {"known_before_ns": None, "after": None, "limit": 10, **rest}
        return [memory.content for memory in await bench.journal.kept(where, **asked)]

    team = MemoryFilter(namespace="team")
    assert await kept(team) == ["twin", "other", "new fact"]
    assert await kept(team, known_before_ns=moment_ns) == ["twin", "other"]
    assert await kept(MemoryFilter(), limit=2) == ["twin", "other"]
    [last] = await bench.journal.kept(MemoryFilter(namespace="solo"), known_before_ns=None, after=None, limit=1)
    assert await kept(MemoryFilter(), after=last.seq) == ["new fact"]
    assert other in [memory.id for memory in await bench.journal.kept(team, known_before_ns=None, after=None, limit=9)]


async def test_the_entries_of_forgettings_are_counted_until_they_are_delivered(bench: Bench) -> None:
    one, two, _ = await written(bench, "one", "two", "three", metadata={"session": "s"})
    entries = await bench.journal.outbox_entries("qdrant", dead=None, limit=100)
    await bench.journal.outbox_delivered([entry.id for entry in entries])
    bench.clock.advance(1)
    seq = await forget(bench, one)
    bench.clock.advance(1)
    await written(bench, "later")

    assert await bench.journal.outbox_of_forgotten("qdrant", after=Seq(0)) == 2  # its own, and its follower's
    assert await bench.journal.outbox_of_forgotten("qdrant", after=seq) == 0
    entries = await bench.journal.outbox_entries("qdrant", dead=None, limit=100)
    assert [entry.memory_id for entry in entries[:2]] == [one, two]
    await bench.journal.outbox_delivered([entries[0].id])
    assert await bench.journal.outbox_of_forgotten("qdrant", after=Seq(0)) == 1
    await bench.journal.outbox_delivered([entries[1].id])
    assert await bench.journal.outbox_of_forgotten("qdrant", after=Seq(0)) == 0

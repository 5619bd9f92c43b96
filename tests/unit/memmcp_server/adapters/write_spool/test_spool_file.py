"""The spool's file: private, kept over a restart, refused when the disk is full, and empty of what it let go of."""

import sqlite3
from pathlib import Path

import anyio
import pytest
from tests.support.journals import T0_NS, a_draft

from memmcp_server.adapters.write_spool import SPOOL_NAME, open_spool
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.spooled import SpooledWrite
from memmcp_server.errors import DataDirectoryError, JournalUnavailable, StorageFull

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("M2")]
CLAUDE = Caller("claude", "", "memory_write", "agent", "stdio")
ROOMY = 100_000_000


def a_write(content: str) -> SpooledWrite:
    return SpooledWrite((a_draft(content, id=MemoryId(f"id-{content[:20]}")),), CLAUDE, T0_NS)


async def test_the_file_is_its_owners_alone_and_every_write_is_synced(tmp_path: Path) -> None:
    async with open_spool(tmp_path, 10, ROOMY) as spool:
        await spool.put(a_write("private"))
        for path in tmp_path.iterdir():
            assert path.stat().st_mode & 0o777 == 0o600, path.name
        assert spool._engine is not None
        with spool._engine.connect() as connection:
            pragmas = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")
            ]
    assert pragmas == ["wal", 2]


async def test_what_was_kept_is_there_after_a_restart_with_its_bounds(tmp_path: Path) -> None:
    async with open_spool(tmp_path, 2, ROOMY) as spool:
        kept = await spool.put(a_write("one"))
    async with open_spool(tmp_path, 2, ROOMY) as spool:
        assert await spool.live(0, 10) == [kept]
        later = await spool.put(a_write("two"))
        assert later.id == kept.id + 1
        with pytest.raises(StorageFull, match="takes at most 2"):
            await spool.put(a_write("three"))


async def test_bytes_are_bounded_as_rows_are(tmp_path: Path) -> None:
    async with open_spool(tmp_path, 1_000, 2_000) as spool:
        await spool.put(a_write("small"))
        with pytest.raises(StorageFull):
            await spool.put(a_write("x" * 2_000))
        assert (await spool.stats()).memories == 1


async def test_a_full_disk_is_named_and_what_was_kept_before_stays(tmp_path: Path) -> None:
    async with open_spool(tmp_path, 1_000, ROOMY) as spool:
        kept = await spool.put(a_write("before"))
        assert spool._engine is not None
        with spool._engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StorageFull) as refused:
            await spool.put(a_write("y" * 100_000))
        assert refused.value.retryable
        assert SPOOL_NAME in refused.value.message
        assert await spool.live(0, 10) == [kept]
        await spool.done([kept.id], {})
        await spool.put(a_write("fits again"))


async def test_nothing_of_what_was_carried_is_left_in_the_files(tmp_path: Path) -> None:
    said = "a sentence that nobody else says"
    async with open_spool(tmp_path, 10, ROOMY) as spool:
        kept = await spool.put(a_write(said))
        assert any(said.encode() in path.read_bytes() for path in tmp_path.iterdir())
        await spool.done([kept.id], {})
        assert not any(said.encode() in path.read_bytes() for path in tmp_path.iterdir())


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / SPOOL_NAME).write_bytes(b"not a database at all, but long enough to be one" * 100)
    with pytest.raises((DataDirectoryError, JournalUnavailable), match=SPOOL_NAME):
        async with open_spool(tmp_path, 10, ROOMY):
            raise NotImplementedError


async def test_a_write_that_cannot_be_read_stands_aside_for_those_behind_it(tmp_path: Path) -> None:
    async with open_spool(tmp_path, 10, ROOMY) as spool:
        broken = await spool.put(a_write("broken"))
        sound = await spool.put(a_write("sound"))
    with sqlite3.connect(tmp_path / SPOOL_NAME) as connection:
        connection.execute("UPDATE writes SET body = x'7b' WHERE id = ?", (broken.id,))
    connection.close()
    async with open_spool(tmp_path, 10, ROOMY) as spool:
        assert await spool.live(0, 10) == [sound]
        assert (await spool.stats()).dead == 1
        assert await spool.retry(None) == []


async def test_a_closed_spool_says_so(tmp_path: Path) -> None:
    async with open_spool(tmp_path, 10, ROOMY) as spool:
        pass
    with pytest.raises(JournalUnavailable, match="closed"):
        await spool.put(a_write("late"))


async def test_writes_at_one_time_are_kept_together_and_one_that_has_no_room_harms_no_other(tmp_path: Path) -> None:
    async with open_spool(tmp_path, 1_000, 20_000) as spool:
        contents = [f"small {number}" for number in range(20)]
        answers: dict[str, SpooledWrite | StorageFull] = {}

        async def put(content: str) -> None:
            try:
                answers[content] = await spool.put(a_write(content))
            except StorageFull as error:
                answers[content] = error

        async with anyio.create_task_group() as tasks:
            for content in [*contents[:10], "z" * 30_000, *contents[10:]]:
                tasks.start_soon(put, content)
        kept = await spool.live(0, 100)
        assert [write.drafts[0].content for write in kept] == contents
        assert [answers[content] for content in contents] == kept
        assert isinstance(answers["z" * 30_000], StorageFull)

"""A server that hangs costs a read a bounded wait; one that is only slow is waited for."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

import anyio
import pytest
from pydantic import SecretStr

from memmcp_server.adapters.sql_journal import presence as presence_module
from memmcp_server.adapters.sql_journal.engines import place_of
from memmcp_server.adapters.sql_journal.presence import Presence
from memmcp_server.config import JournalSection
from memmcp_server.errors import JournalUnavailable

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("Q4")]


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence_module, "PATIENCE_S", 0.02)
    monkeypatch.setattr(presence_module, "ANSWER_S", 0.1)


@pytest.fixture
def socket_dir() -> Iterator[Path]:
    """A directory whose path is short enough for a socket in it."""
    with tempfile.TemporaryDirectory(prefix="px-") as directory:
        yield Path(directory)


@pytest.fixture
async def mute(socket_dir: Path) -> AsyncIterator[Presence]:
    """The presence of a server that lets in and never says a word."""
    ending = asyncio.Event()

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ending.wait()
        writer.close()

    server = await asyncio.start_unix_server(serve, str(socket_dir / ".s.PGSQL.5432"))
    yield presence_at(socket_dir)
    ending.set()
    server.close()


def presence_at(directory: Path) -> Presence:
    url = f"postgresql://postgres:hunter2@/db?host={quote(str(directory))}"
    return Presence(place_of(JournalSection(url=SecretStr(url)), directory))


async def test_reads_of_a_server_that_hangs_end_soon_and_name_it_without_its_password(mute: Presence) -> None:
    reads = [asyncio.get_running_loop().create_future() for _ in range(5)]
    began_s = time.monotonic()
    outcomes = await asyncio.gather(*map(mute.wait, reads), return_exceptions=True)
    assert time.monotonic() - began_s < 1.5
    for outcome in outcomes:
        assert isinstance(outcome, JournalUnavailable)
        assert "does not answer" in outcome.message
        assert "hunter2" not in outcome.message
    assert all(read.cancelled() for read in reads)


async def test_a_server_that_is_gone_ends_a_waiting_read(socket_dir: Path) -> None:
    with pytest.raises(JournalUnavailable, match="does not answer"):
        await presence_at(socket_dir).wait(asyncio.get_running_loop().create_future())


async def test_a_slow_read_of_a_server_that_is_there_is_waited_for(
    socket_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    monkeypatch.setattr(Presence, "_ask", lambda _: asked.append(time.monotonic()) or True)
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.1, future.set_result, "late")
    with anyio.fail_after(5):
        assert await presence_at(socket_dir).wait(future) == "late"
    assert asked


async def test_what_a_read_raises_comes_through_and_a_caller_that_goes_takes_it_along(socket_dir: Path) -> None:
    presence = presence_at(socket_dir)
    failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    failed.set_exception(JournalUnavailable("it said no"))
    with pytest.raises(JournalUnavailable, match="it said no"):
        await presence.wait(failed)
    left: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await presence.wait(left)
    assert left.cancelled()

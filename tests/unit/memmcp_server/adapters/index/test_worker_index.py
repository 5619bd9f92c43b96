"""The worker as a process: killed, hung, refused, starved of its model, and spoken to by an enemy."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import IO

import anyio
import anyio.lowlevel
import pytest
from tests.doubles.clocks import SystemClock
from tests.doubles.memories import a_memory
from tests.doubles.memory_index import state_of

from memmcp_server.adapters.index import frames
from memmcp_server.adapters.index.options import WorkerOptions
from memmcp_server.adapters.index.texts import point_of
from memmcp_server.adapters.index.worker_index import WorkerIndex, WorkerLimits
from memmcp_server.config import EmbeddingSection, QdrantSection
from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.domain.memory import Memory, MemoryFilter
from memmcp_server.errors import IndexUnavailable, InvalidInput

pytestmark = pytest.mark.anyio

ANY = MemoryFilter()
NO_MODEL = EmbeddingSection(path=Path("/nowhere/model"))
UNKNOWN_MODEL = EmbeddingSection(model="nobody/no-such-model", allow_download=False)
BUNDLED = EmbeddingSection(allow_download=False)
QUICK = WorkerLimits(backoff_base_s=0.02, ready_wait_s=20.0)

Start = Callable[..., AbstractAsyncContextManager[WorkerIndex]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    @asynccontextmanager
    async def start(
        embedding: EmbeddingSection = NO_MODEL, limits: WorkerLimits = QUICK, url: str | None = None
    ) -> AsyncIterator[WorkerIndex]:
        index = WorkerIndex(WorkerOptions(tmp_path, QdrantSection(url=url), embedding), SystemClock(), limits)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(index.run)
            yield index
            await index.close()

    return start


def steps(start: int, count: int) -> list[Memory]:
    return [a_memory(f"m{number}", f"step number{number}", embed=False) for number in range(start, start + count)]


async def put(index: WorkerIndex, memories: list[Memory]) -> None:
    await index.upsert([point_of(memory) for memory in memories])


async def found(index: WorkerIndex, word: str) -> list[str]:
    return [hit.memory_id for hit in await index.search(word, ANY, limit=5)]


async def wait_until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    with anyio.fail_after(timeout_s):
        while not condition():  # noqa: ASYNC110 - nobody tells when a process has ended
            await anyio.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.requirement("M11")
async def test_killing_the_worker_in_a_batch_loses_nothing_acknowledged_and_repeats_nothing(start: Start) -> None:
    async with start() as index:
        await state_of(index, "degraded")
        await put(index, steps(0, 50))
        killed = index.worker_pid
        assert killed is not None

        async with anyio.create_task_group() as tasks:

            async def interrupted() -> None:
                with pytest.raises(IndexUnavailable):
                    await put(index, steps(50, 4_000))

            tasks.start_soon(interrupted)
            with anyio.fail_after(20):
                while (await index.status()).points < 100:
                    await anyio.lowlevel.checkpoint()
            os.kill(killed, signal.SIGKILL)

        await wait_until(lambda: index.worker_pid not in (None, killed))
        status = await state_of(index, "degraded")
        assert status.points >= 100
        assert await found(index, "number49") == ["m49"]
        await put(index, steps(0, 300))
        await put(index, steps(50, 300))
        assert await found(index, "number299") == ["m299"]
        assert (await index.status()).points == max(350, status.points)


@pytest.mark.requirement("M11")
async def test_calls_fail_at_once_while_no_worker_runs_and_work_again_with_the_next(start: Start) -> None:
    async with start(limits=WorkerLimits(backoff_base_s=0.5, ready_wait_s=20.0)) as index:
        await state_of(index, "degraded")
        pid = index.worker_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await state_of(index, "down")

        with pytest.raises(IndexUnavailable, match="started again"):
            await index.search("anything", ANY, limit=5)

        await put(index, steps(0, 1))  # waits for the next worker
        assert await found(index, "number0") == ["m0"]


async def test_a_worker_that_hangs_is_replaced(start: Start) -> None:
    async with start(limits=WorkerLimits(backoff_base_s=0.02, search_timeout_s=0.3, ready_wait_s=20.0)) as index:
        await state_of(index, "degraded")
        hung = index.worker_pid
        assert hung is not None
        os.kill(hung, signal.SIGSTOP)

        with anyio.fail_after(30), pytest.raises(IndexUnavailable, match="did not answer search within"):
            await index.search("anything", ANY, limit=5)

        await wait_until(lambda: index.worker_pid not in (None, hung))
        assert not is_running(hung)


async def test_a_second_worker_on_the_same_shard_is_refused_and_the_first_keeps_flushing(
    start: Start, tmp_path: Path
) -> None:
    async with start() as first:
        await state_of(first, "degraded")
        await put(first, steps(0, 20))
        async with start() as second:
            status = await state_of(second, "down")
            assert f"index.lock is held by another process (pid {first.worker_pid})" in status.detail
        await put(first, steps(20, 20))
        assert (await first.status()).points == 40


async def test_a_shard_that_a_stranger_opened_is_reloaded_and_still_acknowledges_durably(
    start: Start, tmp_path: Path
) -> None:
    """Opening a shard twice breaks every flush of the first opener; ours must notice and recover."""
    async with start() as index:
        await state_of(index, "degraded")
        await put(index, steps(0, 20))
        stranger = "import sys, qdrant_edge; qdrant_edge.EdgeShard.load(sys.argv[1])"
        intruded = await anyio.run_process(
            [sys.executable, "-c", stranger, str(tmp_path / "index" / "shard")], check=False
        )
        assert intruded.returncode != 0

        await put(index, steps(20, 20))
        pid = index.worker_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await wait_until(lambda: index.worker_pid not in (None, pid))
        assert (await state_of(index, "degraded")).points == 40


async def test_without_a_model_memories_are_found_by_words_and_get_their_vectors_later(start: Start) -> None:
    memory = a_memory("m", "the market maker pulled its liquidity")
    async with start() as index:
        status = await state_of(index, "degraded")
        assert "embedding.path: /nowhere/model has no model.onnx" in status.detail
        await put(index, [memory])
        [hit] = await index.search("market maker", ANY, limit=5)
        assert hit.dense is None

    async with start(BUNDLED) as index:
        status = await state_of(index, "ready")
        assert "1 memories have no vector yet" in status.detail
        await put(index, [memory])
        [hit] = await index.search("money was withdrawn from the pool", ANY, limit=5)
        assert hit.dense is not None
        assert (await index.status()).detail == ""


async def test_a_model_nobody_knows_is_named_with_what_was_tried(start: Start) -> None:
    async with start(UNKNOWN_MODEL) as index:
        detail = (await state_of(index, "degraded")).detail

    assert "'nobody/no-such-model' is not available" in detail
    assert "embedding.path" in detail
    assert "embedding.allow_download is off" in detail


async def test_an_index_goes_on_with_the_model_that_made_it_where_the_configured_one_is_not_to_be_had(
    start: Start,
) -> None:
    async with start(BUNDLED) as index:
        await state_of(index, "ready")
        await put(index, [a_memory("m", "five SOL", embed=True)])

    async with start(UNKNOWN_MODEL) as index:
        status = await state_of(index, "ready")
        while "nobody/no-such-model" not in status.detail:
            await anyio.sleep(0.01)
            status = await index.status()
        assert (status.model, status.wants) == ("sentence-transformers/all-MiniLM-L6-v2", "")
        await put(index, [a_memory("n", "the coins were sold")])
        [best, *_] = await index.search("somebody disposed of tokens", ANY, limit=1)
        assert (best.memory_id, best.lexical) == ("n", None)


async def test_an_unreachable_server_is_a_state_and_not_a_crash(start: Start) -> None:
    async with start(url="http://127.0.0.1:9", limits=WorkerLimits(ready_wait_s=0.2)) as index:
        status = await state_of(index, "down")
        pid = index.worker_pid
        assert status.backend == "qdrant-server"
        with pytest.raises(IndexUnavailable):
            await index.search("anything", ANY, limit=5)
        with pytest.raises(IndexUnavailable):
            await put(index, steps(0, 1))
        assert index.worker_pid == pid


async def test_a_text_that_cannot_be_sent_is_named_invalid_and_not_unavailable(start: Start) -> None:
    async with start() as index:
        await state_of(index, "degraded")
        with pytest.raises(InvalidInput):
            await put(index, [a_memory("m", "half a surrogate \ud800")])
        await put(index, steps(0, 1))


async def test_after_close_every_call_is_refused_and_the_worker_is_gone(start: Start) -> None:
    async with start() as index:
        await state_of(index, "degraded")
        pid = index.worker_pid
        assert pid is not None
        with anyio.fail_after(30):
            await index.close()
            await wait_until(lambda: not is_running(pid))
        with pytest.raises(IndexUnavailable):
            await index.search("anything", ANY, limit=5)
        with pytest.raises(IndexUnavailable):
            await put(index, steps(0, 1))


async def test_more_calls_in_flight_than_allowed_are_refused(start: Start) -> None:
    async with start(limits=WorkerLimits(in_flight_max=1, ready_wait_s=20.0)) as index:
        await state_of(index, "degraded")
        refused: list[str] = []

        async def search() -> None:
            try:
                await index.search("anything", ANY, limit=5)
            except IndexUnavailable as problem:
                refused.append(problem.message)

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(search)
        assert refused == ["the index has 1 calls in flight already"] * 2


@pytest.mark.requirement("M4")
async def test_a_search_does_not_wait_behind_a_batch_that_is_being_embedded(start: Start) -> None:
    async with start(BUNDLED) as index:
        await state_of(index, "ready")
        await put(index, [a_memory("m", "the needle in the haystack")])
        batch = [
            a_memory(f"b{number}", f"{number} " + "a long report on pools and prices " * 12) for number in range(48)
        ]
        is_done = anyio.Event()
        waits_s: list[float] = []

        async def write() -> None:
            await put(index, batch)
            is_done.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            while not is_done.is_set():
                asked_s = time.monotonic()
                assert (await found(index, "needle haystack"))[0] == "m"
                waits_s.append(time.monotonic() - asked_s)
                await anyio.sleep(0.01)

        # Behind the batch the first search would have waited for all of it, and there would be no second one.
        assert len(waits_s) >= 3


class Raw:
    """A worker spoken to by hand."""

    def __init__(self, tmp_path: Path) -> None:
        command = [sys.executable, "-m", "memmcp_server.adapters.index.worker", "--parent", str(os.getpid())]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.options = WorkerOptions(tmp_path, QdrantSection(), NO_MODEL).document()

    @property
    def stdin(self) -> IO[bytes]:
        assert self.process.stdin is not None
        return self.process.stdin

    def send(self, body: bytes) -> None:
        self.stdin.write(frames.HEADER.pack(len(body)) + body)
        self.stdin.flush()

    def ask(self, body: bytes) -> JsonObject:
        self.send(body)
        return self.answer()

    def answer(self) -> JsonObject:
        """Return the next frame that is not a status."""
        assert self.process.stdout is not None
        while True:
            body = frames.read_body(self.process.stdout)  # type: ignore[arg-type]
            assert body is not None
            document = frames.decode(body)
            if document.get("event") != "status":
                return document


@pytest.fixture
def raw(tmp_path: Path) -> object:
    raw = Raw(tmp_path)
    with raw.process:
        yield raw
        raw.process.kill()


def error_of(document: JsonObject) -> tuple[object, str]:
    error = document["error"]
    assert isinstance(error, dict)
    return document["id"], str(error["message"])


def test_a_hostile_frame_is_answered_with_what_is_wrong_and_the_worker_goes_on(raw: Raw) -> None:
    raw.stdin.write(frames.encode(raw.options))

    assert error_of(raw.ask(b"\xff{not json"))[0] is None
    assert error_of(raw.ask(b"[1, 2]")) == (None, "an object is expected, got list")
    assert error_of(raw.ask(b"{}")) == (None, "id: expected an integer, got NoneType")
    assert error_of(raw.ask(b'{"id": 1}'))[1].startswith("op: expected search, similar, upsert")
    assert error_of(raw.ask(b'{"id": 2, "op": "search", "query": 7}')) == (2, "query: expected a string, got int")
    assert error_of(raw.ask(b'{"id": 3, "op": "upsert", "points": [{"memory_id": "a"}]}'))[0] == 3
    assert error_of(raw.ask(b'{"id": 4, "op": "remove", "memory_ids": [null]}'))[0] == 4
    assert raw.ask(b'{"id": 5, "op": "upsert", "points": []}') == {"id": 5, "ok": {}}


def test_a_frame_over_the_limit_ends_the_worker_with_a_word(raw: Raw) -> None:
    raw.stdin.write(frames.encode(raw.options))
    raw.stdin.write(frames.HEADER.pack(frames.FRAME_BYTES_MAX + 1))
    raw.stdin.flush()

    assert "at most" in error_of(raw.answer())[1]
    assert raw.process.wait(10) == 65


@pytest.mark.parametrize("first", [b"{}", b'{"op": "open"}', b"x", b'{"op": "open", "data_dir": "/tmp", "qdrant": 1}'])
def test_a_wrong_first_frame_is_refused_before_anything_is_opened(raw: Raw, first: bytes) -> None:
    raw.send(first)

    assert raw.answer()["event"] == "refused"
    assert raw.process.wait(10) == 65


def test_the_worker_ends_when_its_stdin_ends(raw: Raw) -> None:
    raw.stdin.write(frames.encode(raw.options))
    raw.stdin.close()

    assert raw.process.wait(10) == 0


FORGETFUL_DAEMON = """
import os, subprocess, sys
command = [sys.executable, "-m", "memmcp_server.adapters.index.worker", "--parent", str(os.getpid())]
worker = subprocess.Popen(command, stdin=int(sys.argv[1]), stdout=subprocess.DEVNULL)
print(worker.pid, flush=True)
worker.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's death signal is a Linux service")
def test_the_worker_dies_with_a_killed_daemon_even_when_its_stdin_stays_open(tmp_path: Path) -> None:
    keep_read, keep_write = os.pipe()
    command = [sys.executable, "-c", FORGETFUL_DAEMON, str(keep_read)]
    daemon = subprocess.Popen(command, pass_fds=[keep_read], stdout=subprocess.PIPE)
    with daemon:
        assert daemon.stdout is not None
        pid = int(daemon.stdout.readline())
        os.write(keep_write, frames.encode(WorkerOptions(tmp_path, QdrantSection(), NO_MODEL).document()))
        deadline_s = time.monotonic() + 20
        while not (tmp_path / "index" / "shard").exists():
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        assert is_running(pid)

        daemon.kill()
        daemon.wait(10)
        while is_running(pid):
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
    os.close(keep_read)
    os.close(keep_write)

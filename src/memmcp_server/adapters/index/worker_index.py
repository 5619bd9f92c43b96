"""VectorIndex in the daemon: keeps one worker process alive and speaks to it. No call waits longer than its limit."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from subprocess import PIPE
from typing import Literal, cast

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from memmcp_server.domain.identifiers import Json, JsonObject, MemoryId
from memmcp_server.domain.memory import MemoryFilter
from memmcp_server.errors import IndexUnavailable, InvalidInput
from memmcp_server.ports import Clock, IndexHit, IndexPoint, IndexStatus

from .documents import BadField, array, filter_document, integer, parse_hit, point_document, text
from .frames import HEADER, BadDocument, BrokenFrame, body_length, decode, encode
from .options import WorkerOptions

STATES = ("starting", "ready", "degraded", "down")
CHUNK_POINTS_MAX = 64
CHUNK_CHARS_MAX = 1_000_000
QUERY_CHARS_MAX = 8_000


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """``ready_wait_s``: how long a write waits for a worker that is starting. A worker that lived for
    ``healthy_after_s`` is started again at once, one that dies young ever later, up to ``backoff_cap_s``.
    """

    in_flight_max: int = 128
    search_timeout_s: float = 5.0
    write_timeout_s: float = 120.0
    ready_wait_s: float = 10.0
    send_timeout_s: float = 10.0
    close_timeout_s: float = 3.0
    backoff_base_s: float = 0.2
    backoff_cap_s: float = 10.0
    healthy_after_s: float = 30.0


@dataclass(slots=True)
class _Call:
    done: anyio.Event = field(default_factory=anyio.Event)
    answer: JsonObject | None = None


class WorkerIndex:
    """Provides the index over a child process. ``run`` must be running in a task; nothing waits for it to start."""

    def __init__(self, options: WorkerOptions, clock: Clock, limits: WorkerLimits | None = None) -> None:
        self._options = options
        self._clock = clock
        self._limits = limits or WorkerLimits()
        self._process: Process | None = None
        self._calls: dict[int, _Call] = {}
        self._last_id = 0
        self._sending = anyio.Lock()
        self._heard_at_s = 0.0
        self._closing = anyio.Event()
        self._changed = anyio.Event()
        backend = "qdrant-edge" if options.qdrant.url is None else "qdrant-server"
        self._status = IndexStatus("starting", backend, options.embedding.model, 0, "the index worker is starting")

    @property
    def worker_pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def run(self) -> None:
        """Keep a worker alive until ``close``."""
        delay_s = self._limits.backoff_base_s
        while not self._closing.is_set():
            started_s = self._clock.monotonic_s()
            reason = await self._live()
            if self._closing.is_set():
                return
            if self._clock.monotonic_s() - started_s >= self._limits.healthy_after_s:
                delay_s = self._limits.backoff_base_s
            self._say("down", f"{reason}; started again in {delay_s:g} s")
            with anyio.move_on_after(delay_s):
                await self._closing.wait()
            delay_s = min(2 * delay_s, self._limits.backoff_cap_s)

    async def close(self) -> None:
        """Have the worker close its store and end. Bounded; calls that still wait are refused."""
        with anyio.move_on_after(self._limits.close_timeout_s, shield=True):
            if self._process is not None and not self._closing.is_set():
                with contextlib.suppress(IndexUnavailable):
                    await self._call("close", {}, self._limits.close_timeout_s)
        self._closing.set()
        self._say("down", "the index is closed")

    async def upsert(self, points: Sequence[IndexPoint]) -> None:
        await self._until_writable()
        for chunk in _chunks(points):
            documents: list[Json] = [point_document(point) for point in chunk]
            await self._call("upsert", {"points": documents}, self._limits.write_timeout_s)

    async def remove(self, memory_ids: Sequence[MemoryId]) -> None:
        await self._until_writable()
        ids: list[Json] = list(memory_ids)
        await self._call("remove", {"memory_ids": ids}, self._limits.write_timeout_s)

    async def search(self, query: str, where: MemoryFilter, *, limit: int) -> list[IndexHit]:
        fields: JsonObject = {
            "query": query[:QUERY_CHARS_MAX],
            "where": filter_document(where),
            "limit": limit,
            "now_ns": self._clock.now_ns(),
        }
        return _hits(await self._call("search", fields, self._limits.search_timeout_s))

    async def similar(
        self, memory_id: MemoryId, version: int, where: MemoryFilter, *, limit: int
    ) -> list[IndexHit] | None:
        fields: JsonObject = {
            "memory_id": memory_id,
            "version": version,
            "where": filter_document(where),
            "limit": limit,
            "now_ns": self._clock.now_ns(),
        }
        answer = await self._call("similar", fields, self._limits.search_timeout_s)
        return None if answer.get("hits") is None else _hits(answer)

    async def clear(self) -> None:
        await self._call("clear", {}, self._limits.write_timeout_s)

    async def status(self) -> IndexStatus:
        return self._status

    async def _until_writable(self) -> None:
        """Wait for a worker that is starting; give up when it does not come."""
        with anyio.move_on_after(self._limits.ready_wait_s):
            while self._status.state not in {"ready", "degraded"} and not self._closing.is_set():
                await self._changed.wait()
        if self._process is None:
            raise IndexUnavailable(self._status.detail or "the index worker is not running")

    async def _call(self, op: str, fields: JsonObject, timeout_s: float) -> JsonObject:
        process = self._process
        if process is None or self._closing.is_set():
            raise IndexUnavailable(self._status.detail or "the index worker is not running")
        if len(self._calls) >= self._limits.in_flight_max:
            message = f"the index has {self._limits.in_flight_max} calls in flight already"
            raise IndexUnavailable(message)
        self._last_id += 1
        request_id, call = self._last_id, _Call()
        try:
            frame = encode({**fields, "id": request_id, "op": op})
        except BadDocument as problem:
            message = f"too much for the index: {problem}"
            raise InvalidInput(message) from problem
        self._calls[request_id] = call
        asked_at_s = self._clock.monotonic_s()
        try:
            await self._send(process, frame)
            with anyio.move_on_after(timeout_s):
                await call.done.wait()
        finally:
            self._calls.pop(request_id, None)
        if not call.done.is_set():
            if self._heard_at_s <= asked_at_s:
                _kill(process)  # silent all the while: it hangs
            message = f"the index did not answer {op} within {timeout_s:g} s"
            raise IndexUnavailable(message)
        return _result(call.answer)

    async def _send(self, process: Process, frame: bytes) -> None:
        """Send the whole frame or end the worker: after half a frame nothing would be understood."""
        assert process.stdin is not None
        sent = False
        with anyio.move_on_after(self._limits.send_timeout_s, shield=True):
            try:
                async with self._sending:
                    await process.stdin.send(frame)
            except (anyio.ClosedResourceError, anyio.BrokenResourceError, OSError) as problem:
                message = "the index worker has just ended"
                raise IndexUnavailable(message) from problem
            sent = True
        if not sent:
            _kill(process)
            message = "the index worker reads nothing"
            raise IndexUnavailable(message)

    async def _live(self) -> str:
        """Start a worker and hear it until it ends; return why it ended."""
        command = [sys.executable, "-m", "memmcp_server.adapters.index.worker", "--parent", str(os.getpid())]
        try:
            process = await anyio.open_process(command, stdin=PIPE, stdout=PIPE, stderr=None)
        except OSError as problem:
            return f"the index worker cannot be started: {problem}"
        reason = "the index worker ended"
        try:
            await self._send(process, encode(self._options.document()))
            self._process = process
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._stop_when_closing, process)
                reason = await self._hear(process)
                tasks.cancel_scope.cancel()
        except IndexUnavailable as problem:
            reason = problem.message
        finally:
            self._process = None
            for call in self._calls.values():
                call.done.set()
            with anyio.CancelScope(shield=True):
                code = await _end(process, self._limits.close_timeout_s)
        return f"{reason} (exit code {code})"

    async def _stop_when_closing(self, process: Process) -> None:
        await self._closing.wait()
        assert process.stdin is not None
        await process.stdin.aclose()

    async def _hear(self, process: Process) -> str:
        assert process.stdout is not None
        stream = BufferedByteReceiveStream(process.stdout)
        reason = "the index worker ended"
        try:
            while True:
                header = await stream.receive_exactly(HEADER.size)
                body = await stream.receive_exactly(body_length(header))
                self._heard_at_s = self._clock.monotonic_s()
                reason = self._take(decode(body)) or reason
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.ClosedResourceError, anyio.BrokenResourceError):
            return reason
        except (BrokenFrame, BadDocument, BadField) as problem:
            return f"the index worker sent nonsense: {problem}"

    def _take(self, document: JsonObject) -> str | None:
        """Handle one frame; return the reason when the worker says why it will end."""
        match document.get("event"):
            case None:
                call = self._calls.get(integer(document, "id")) if document.get("id") is not None else None
                if call is not None:
                    call.answer = document
                    call.done.set()
            case "status":
                state = text(document, "state")
                if state not in STATES:
                    message = f"state: {state!r}"
                    raise BadField(message)
                self._change(
                    IndexStatus(
                        state=cast('Literal["starting", "ready", "degraded", "down"]', state),
                        backend=text(document, "backend"),
                        model=text(document, "model"),
                        points=integer(document, "points"),
                        detail=text(document, "detail"),
                    )
                )
            case "refused":
                return text(document, "reason")
            case other:
                message = f"event: {other!r}"
                raise BadField(message)
        return None

    def _say(self, state: Literal["starting", "down"], detail: str) -> None:
        said = self._status
        self._change(IndexStatus(state, said.backend, said.model, said.points, detail))

    def _change(self, status: IndexStatus) -> None:
        self._status = status
        changed, self._changed = self._changed, anyio.Event()
        changed.set()


def _hits(answer: JsonObject) -> list[IndexHit]:
    try:
        return [parse_hit(hit) for hit in array(answer, "hits")]
    except BadField as problem:
        message = f"the index worker answered nonsense: {problem}"
        raise IndexUnavailable(message) from problem


def _result(answer: JsonObject | None) -> JsonObject:
    if answer is None:
        message = "the index worker ended before it answered"
        raise IndexUnavailable(message)
    result, error = answer.get("ok"), answer.get("error")
    if isinstance(result, dict):
        return result
    message = str(error.get("message")) if isinstance(error, dict) else "the index worker answered nonsense"
    if isinstance(error, dict) and error.get("code") == "invalid":
        raise InvalidInput(message)
    raise IndexUnavailable(message)


def _chunks(points: Sequence[IndexPoint]) -> Iterator[list[IndexPoint]]:
    chunk: list[IndexPoint] = []
    chars = 0
    for point in points:
        size = len(point.text_lexical) + len(point.text_dense or "")
        if chunk and (len(chunk) >= CHUNK_POINTS_MAX or chars + size > CHUNK_CHARS_MAX):
            yield chunk
            chunk, chars = [], 0
        chunk.append(point)
        chars += size
    if chunk:
        yield chunk


def _kill(process: Process) -> None:
    try:
        process.kill()
    except ProcessLookupError:
        return


async def _end(process: Process, timeout_s: float) -> int | None:
    """Let the worker go: close its stdin, and kill it when it stays."""
    if process.stdin is not None:
        with contextlib.suppress(anyio.BrokenResourceError, OSError):
            await process.stdin.aclose()
    with anyio.move_on_after(timeout_s):
        await process.wait()
    if process.returncode is None:
        _kill(process)
    await process.aclose()
    return process.returncode

"""VectorIndex in the daemon: keeps one worker process alive and speaks to it. No call waits longer than its limit."""

import contextlib
import os
import sys
from dataclasses import dataclass, field, replace
from subprocess import PIPE
from typing import Literal, cast

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.errors import IndexUnavailable, InvalidInput
from memmcp_server.ports import Clock, IndexStatus, NextGeneration

from .calls import IndexCalls, WorkerLimits
from .documents import BadField, integer, text
from .frames import HEADER, BadDocument, BrokenFrame, body_length, decode, encode
from .options import WorkerOptions

STATES = ("starting", "ready", "degraded", "down")
WORKER_MODULE = "memmcp_server.adapters.index.worker"


@dataclass(slots=True)
class _Call:
    done: anyio.Event = field(default_factory=anyio.Event)
    answer: JsonObject | None = None


class WorkerIndex(IndexCalls):
    """Provides the index over a child process. ``run`` must be running in a task; nothing waits for it to start."""

    def __init__(self, options: WorkerOptions, clock: Clock, limits: WorkerLimits | None = None) -> None:
        super().__init__(clock, limits or WorkerLimits())
        self._options = options
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
        command = [sys.executable, "-m", WORKER_MODULE, "--parent", str(os.getpid())]
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
                self._change(_status_of(document))
            case "refused":
                return text(document, "reason")
            case other:
                message = f"event: {other!r}"
                raise BadField(message)
        return None

    def _say(self, state: Literal["starting", "down"], detail: str) -> None:
        self._change(replace(self._status, state=state, detail=detail))

    def _change(self, status: IndexStatus) -> None:
        self._status = status
        changed, self._changed = self._changed, anyio.Event()
        changed.set()


def _status_of(document: JsonObject) -> IndexStatus:
    """Raises: BadField."""
    state = text(document, "state")
    if state not in STATES:
        message = f"state: {state!r}"
        raise BadField(message)
    following = document.get("next")
    beside = None
    if isinstance(following, dict):
        beside = NextGeneration(
            generation=integer(following, "generation"),
            model=text(following, "model"),
            points=integer(following, "points"),
            token=text(following, "token"),
            detail=text(following, "detail"),
        )
    return IndexStatus(
        state=cast('Literal["starting", "ready", "degraded", "down"]', state),
        backend=text(document, "backend"),
        model=text(document, "model"),
        points=integer(document, "points"),
        detail=text(document, "detail"),
        generation=integer(document, "generation"),
        next=beside,
        wants=text(document, "wants"),
        unvectored=integer(document, "unvectored"),
    )


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

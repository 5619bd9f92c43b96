"""Spans of calls: taken in memory without waiting, spooled once a second, sent on by one forwarder a receiver."""

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread

from memmcp_server.domain.outbox import RetryPolicy
from memmcp_server.domain.tracing.calls import SpansWaiting
from memmcp_server.domain.tracing.spans import Span, is_sampled
from memmcp_server.errors import InvalidInput, ReceiverUnavailable, Unavailable
from memmcp_server.ports import Clock

from .encoding import encoded, halves
from .receiver import Receiver
from .sinks import Identity
from .spool import Spool

QUEUE_LEN_MAX: Final = 8_192
"""Spans in memory that wait for the spool: some seconds of the fastest clients; beyond it new ones are counted only."""
SPOOL_EVERY_S: Final = 1.0
BATCH_LEN_MAX: Final = 512
END_S: Final = 1.5
"""What ending may take: the last spans go into the spool, and the rest is for the next start."""
RETRY_AFTER_S_MAX: Final = 600.0

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Target:
    """A receiver, and the share of traces that it is told."""

    receiver: Receiver
    sample_rate: float


class CallSpans:
    """``SpanRecorder``; the ``parts`` spool and forward."""

    def __init__(
        self, targets: Sequence[Target], spool: Spool, identity: Identity, clock: Clock, policy: RetryPolicy
    ) -> None:
        self._targets = {target.receiver.name: target for target in targets}
        self._spool = spool
        self._identity = identity
        self._clock = clock
        self._policy = policy
        self._queue: deque[Span] = deque()
        self._is_open = asyncio.Event()
        self._spooled = {name: asyncio.Event() for name in self._targets}
        self.spool_every_s = SPOOL_EVERY_S
        self.shed = 0
        self.errors: dict[str, str] = {}

    def now_ns(self) -> int:
        return self._clock.now_ns()

    def new_id(self, length: int) -> bytes:
        return secrets.token_bytes(length)

    def record(self, span: Span) -> None:
        if len(self._queue) >= QUEUE_LEN_MAX:
            self.shed += 1
            return
        self._queue.append(span)

    async def waiting(self) -> dict[str, SpansWaiting]:
        found = {name: await _in_thread(partial(self._spool.waiting, name)) for name in self._targets}
        return {
            name: replace(each, dropped=each.dropped + self.shed, problem=self.errors.get(name, ""))
            for name, each in found.items()
        }

    def parts(self) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
        """Return what has to run, by name: one part spools, one for each receiver forwards. Then ``end``."""
        forwarding = {f"spans to {name}": partial(self._forward, target) for name, target in self._targets.items()}
        return {"spans into the spool": self._keep_spooling, **forwarding}

    async def end(self) -> None:
        """Spool the last spans and let go of file and connections, within ``END_S``; the parts have ended before."""
        with anyio.move_on_after(END_S, shield=True):
            with contextlib.suppress(Unavailable):
                await self._spool_now()
            await _in_thread(self._spool.close)
            for target in self._targets.values():
                await target.receiver.close()

    async def _keep_spooling(self) -> None:
        await self._opened()
        while True:
            await asyncio.sleep(self.spool_every_s)
            try:
                await self._spool_now()
            except Unavailable as error:
                logger.warning("spans wait in memory: %s", error.message)

    async def _opened(self) -> None:
        tries = 0
        while True:
            try:
                await _in_thread(self._spool.open)
                await _in_thread(partial(self._spool.keep_only, set(self._targets)))
            except Unavailable as error:
                tries += 1
                logger.warning("spans wait in memory: %s", error.message)
                await asyncio.sleep(self._policy.delay_s(tries))
            else:
                self._is_open.set()
                return

    async def _spool_now(self) -> None:
        """Move what waits in memory into the spool. Raises: Unavailable (it waits on)."""
        while self._queue:
            taken = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_LEN_MAX))]
            try:
                await _in_thread(partial(self._put, taken))
            except BaseException:
                self._queue.extendleft(reversed(taken))
                raise
            for event in self._spooled.values():
                event.set()

    def _put(self, spans: Sequence[Span]) -> None:
        bodies: dict[str, tuple[int, bytes]] = {}
        made: dict[tuple[bytes, ...], bytes] = {}
        for name, target in self._targets.items():
            kept = [span for span in spans if is_sampled(span.trace_id, target.sample_rate)]
            if kept:
                ids = tuple(span.span_id for span in kept)
                body = made.get(ids) or encoded(kept, self._identity.resource, self._identity.environment)
                made[ids] = body
                bodies[name] = (len(kept), body)
        if bodies:
            self._spool.put(bodies, self._clock.now_ns())

    async def _forward(self, target: Target) -> None:
        name, outages = target.receiver.name, 0
        await self._is_open.wait()
        while True:
            asked_s = 0.0
            try:
                while (batch := await _in_thread(partial(self._spool.next, name))) is not None:
                    refused = await self._sent(target.receiver, batch.body, batch.spans)
                    await _in_thread(partial(self._spool.done, name, batch, refused=refused))
                    outages = 0
                    self.errors.pop(name, None)
            except Unavailable as error:
                outages += 1
                self.errors[name] = error.message
                asked_s = (error.retry_after_s or 0.0) if isinstance(error, ReceiverUnavailable) else 0.0
            if outages:
                await asyncio.sleep(max(self._policy.delay_s(outages), min(asked_s, RETRY_AFTER_S_MAX)))
            else:
                self._spooled[name].clear()
                await self._spooled[name].wait()

    async def _sent(self, receiver: Receiver, body: bytes, spans: int) -> int:
        """Send a request, in parts where it is refused; return how many spans are refused for good.

        Raises: ReceiverUnavailable.
        """
        try:
            await receiver.post_spans(body)
        except InvalidInput as error:
            parts = await anyio.to_thread.run_sync(halves, body) if spans > 1 else None
            if parts is None:
                self.errors[receiver.name] = error.message
                logger.warning("a span of a call was refused: %s", error.message)
                return 1
            return sum([await self._sent(receiver, part, -(-spans // 2)) for part in parts])
        return 0


async def _in_thread(work: Callable[[], T]) -> T:
    return await anyio.to_thread.run_sync(work)

"""Who waits for the next commit. Used from event loops only; a commit wakes all of them."""

import asyncio
import contextlib

from memmcp_server.domain.identifiers import Seq


class CommitWaiters:
    def __init__(self) -> None:
        self._newest = Seq(0)
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def newest(self) -> Seq:
        """The newest seq that this process has committed or seen."""
        return self._newest

    def advance(self, seq: Seq) -> None:
        """Wake everybody when the seq is news."""
        if seq <= self._newest:
            return
        self._newest = seq
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    async def wait(self, after: Seq, timeout_s: float) -> bool:
        """Return whether there was a commit beyond ``after`` before the time was over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._newest <= after:
                    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._waiting.add(future)
                    try:
                        await future
                    finally:
                        self._waiting.discard(future)
        return self._newest > after

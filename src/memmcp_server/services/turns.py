"""What only one daemon may do at a time, where several share a journal: it runs while this one holds the lease for it.

The lease is renewed long before its end, and the part is stopped before its end when that fails, so that the next
daemon never finds two at work. A daemon that has the journal alone just runs the part.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final
from uuid import uuid4

from memmcp_server.errors import MemoryServerError, Refused
from memmcp_server.ports import Journal

TTL_S: Final = 15.0
RENEW_S: Final = 5.0
MARGIN_S: Final = 3.0
"""A part is stopped so long before its lease ends, counted from when the renewal was asked for."""

KEPT_S: Final = 100 * 365 * 86_400.0
TAKE_OVER_HINT: Final = (
    "ask there (each daemon's name is in the file `node` of its data directory), or start this one with --no-trading; "
    "once the other will never run again: MEMMCP_TRADING__TAKE_OVER=true"
)

Part = Callable[[], Coroutine[Any, Any, None]]

_log = logging.getLogger(__name__)


class Turns:
    """Give a part its turn. Times are those of leases of ``ttl_s``; the others are in proportion."""

    def __init__(self, journal: Journal, *, ttl_s: float = TTL_S) -> None:
        self._journal = journal
        self._holder = f"{journal.node}-{uuid4().hex[:8]}"
        self._ttl_s = ttl_s
        self._renew_s = ttl_s * RENEW_S / TTL_S
        self._lasts_s = ttl_s * (1 - MARGIN_S / TTL_S)

    def alone(self, name: str, run: Part) -> Part:
        """Return a part that runs ``run`` whenever this daemon has the turn, and waits for it otherwise."""
        if not self._journal.node:
            return run

        async def in_turn() -> None:
            while not await self._one_turn(name, run):
                pass

        return in_turn

    async def keep(self, name: str, *, take_over: bool) -> None:
        """Keep a thing for this daemon for good, also while it does not run, as it has what belongs to it in its files.

        ``take_over``: also when another daemon keeps it. Raises: Refused (another keeps it), JournalUnavailable.
        """
        node = self._journal.node
        if not node or await self._journal.take_lease(name, node, KEPT_S) is not None:
            return
        keeper = await self._journal.lease_holder(name)
        if keeper is not None and take_over:
            await self._journal.release_lease(name, keeper)
            if await self._journal.take_lease(name, node, KEPT_S) is not None:
                _log.warning("the %s was taken over from the daemon %s", name, keeper)
                return
        msg = f"the {name} of this memory is kept by the daemon {keeper}, this one is {node}"
        raise Refused(msg, hint=TAKE_OVER_HINT)

    async def _one_turn(self, name: str, run: Part) -> bool:
        """Wait for the lease and run until the part ends (True) or the lease is lost (False)."""
        asked_s = asyncio.get_running_loop().time()
        token = await self._asked(name, self._lasts_s)
        if token is None:
            await asyncio.sleep(self._renew_s)
            return False
        part = asyncio.create_task(run(), name=name)
        try:
            await self._kept(name, token, part, asked_s)
        finally:
            is_over = part.done() and not part.cancelled()
            part.cancel()
            await asyncio.wait({part})
            await self._given_back(name)
        if is_over:
            part.result()  # raises what it raised
        return is_over

    async def _kept(self, name: str, token: int, part: asyncio.Task[None], asked_s: float) -> None:
        """Renew the lease until the part ends, or until it is lost."""
        now_s = asyncio.get_running_loop().time
        while not part.done():
            left_s = asked_s + self._lasts_s - now_s()
            await asyncio.wait({part}, timeout=max(0.0, min(self._renew_s, left_s)))
            left_s = asked_s + self._lasts_s - now_s()
            if part.done() or left_s <= 0:
                return
            asking_s = now_s()
            renewed = await self._asked(name, left_s)
            if renewed == token:
                asked_s = asking_s
            elif renewed is not None:
                return  # it was somebody else's meanwhile

    async def _asked(self, name: str, within_s: float) -> int | None:
        """Return the token; None where another has the lease, or nobody says so in time."""
        try:
            async with asyncio.timeout(within_s):
                return await self._journal.take_lease(name, self._holder, self._ttl_s)
        except (TimeoutError, MemoryServerError) as problem:
            _log.debug("the turn for %s is not known now: %s", name, problem)
            await asyncio.sleep(min(self._renew_s, within_s) / 5)
            return None

    async def _given_back(self, name: str) -> None:
        with contextlib.suppress(TimeoutError, MemoryServerError):
            async with asyncio.timeout(self._renew_s):
                await self._journal.release_lease(name, self._holder)

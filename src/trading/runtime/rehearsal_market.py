"""Lets the pools of a rehearsal chain follow the feed: nobody else trades there.

Only on a chain of one's own machine: each price that the desk sees is told to its control endpoint as the reserves that
the token's pool would stand at. What the desk itself moved is undone by that, as by everybody who trades for real.
"""

import logging
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import anyio
import httpx2

from trading.config import LiveSection, RouterSection
from trading.errors import InvalidInput, Unavailable
from trading.model.mandate import Network, network_of
from trading.model.units import LAMPORTS_PER_SOL

from .mailbox import Mailbox
from .session import Session

TIMEOUT_S: Final = 5.0
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_TEN: Final = 10

logger = logging.getLogger(__name__)


class RehearsalMarket:
    """``wake`` after each cycle; ``run`` tells the chain what it changed. Raises: InvalidInput for another chain."""

    def __init__(self, live: LiveSection, router: RouterSection, genesis_hash: str, mailbox: Mailbox) -> None:
        host = urlsplit(live.rehearsal_control).hostname
        if network_of(genesis_hash) is Network.LIVE or host not in _LOOPBACK:
            msg = "the market of a chain that is not a rehearsal on this machine is not ours to move"
            raise InvalidInput(msg, field="live.rehearsal_control")
        self._url = live.rehearsal_control
        self._mints = live.mints
        self._vaults = router.pools
        self._mailbox = mailbox
        self._woken = anyio.Event()
        self._told: dict[str, int] = {}

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        async with httpx2.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as http:
            while True:
                try:
                    await self._tell(http, await self._mailbox.ask(self._reserves))
                except Unavailable as error:
                    logger.info("the market was not asked: %s", error)
                await self._woken.wait()
                self._woken = anyio.Event()

    async def _tell(self, http: httpx2.AsyncClient, wanted: Mapping[str, int]) -> None:
        reserves = {each: units for each, units in wanted.items() if self._told.get(each) != units}
        if not reserves:
            return
        try:
            answer = await http.post(self._url, json={"reserves": reserves})
            answer.raise_for_status()
            self._told.update(reserves)
        except httpx2.HTTPError as error:
            logger.warning("the rehearsal chain did not hear of the market: %s", error)

    def _reserves(self, session: Session) -> dict[str, int]:
        """Return what each pool would hold at the newest prices, by token account."""
        kernel, found = session.kernel, {}
        for name, mint in self._mints.items():
            bar, vaults = kernel.venue.mark(name), self._vaults.get(mint)
            depth = kernel.venue.pool_lamports(name)
            if bar is None or vaults is None or depth <= 0 or bar.close <= 0:
                continue
            lamports_a_unit = bar.close * LAMPORTS_PER_SOL / _TEN ** kernel.valuer.instruments[name].decimals
            found[vaults[0]] = max(1, int(depth / lamports_a_unit))
            found[vaults[1]] = depth
        return found

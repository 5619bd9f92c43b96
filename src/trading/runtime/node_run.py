"""The process of an execution node, put together: its database, its chain, its signer, and what ends it."""

import asyncio
import logging
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import anyio.to_thread

from trading.adapters.jupiter.build import JupiterBuild
from trading.adapters.jupiter.gateway import JupiterApi
from trading.adapters.node_store.opening import Door, StoreRules, open_door
from trading.adapters.second_price_choice import second_price
from trading.adapters.solana.chain import SolanaChain
from trading.config import NodesSection, Sections
from trading.errors import InvalidInput, JournalUnavailable
from trading.execution.executor import ExecutorRules
from trading.execution.preparing import PreparingParts, SwapPreparer
from trading.model.rug_rules import RugRules
from trading.ports import Signer
from trading.signing.approving import ApprovingSigner
from trading.signing.client import SocketSigner

from .clock import WallClock
from .live_run import preparing_rules, signer_at
from .mint_policy import MintPolicy
from .node_work import Node, NodeParts, NodeRules
from .unwrapping import unwrapped

NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")

BEATS_PER_LEASE: Final = 4
WAIT_S: Final = 2.0
PACKAGE: Final = "memmcp-server"

logger = logging.getLogger(__name__)


def store_rules(section: NodesSection) -> StoreRules:
    return StoreRules(section.lease_s, section.stuck_s, section.answer_s)


def rules_of(section: NodesSection, name: str) -> NodeRules:
    return NodeRules(
        name=name,
        wallets_max=section.wallets_max,
        open_max=section.open_max,
        claim_s=section.claim_s,
        beat_s=section.lease_s / BEATS_PER_LEASE,
        drain_s=section.drain_s,
        backoff_s=min(0.5, section.claim_s),
        version=_version(),
    )


def _version() -> str:
    try:
        return version(PACKAGE)
    except PackageNotFoundError:  # run from a folder that nobody installed
        return "unknown"


def _url(section: NodesSection) -> str:
    if section.url is None:
        msg = "execution nodes share a PostgreSQL database, and none is named"
        raise InvalidInput(msg, field="nodes.url", hint="set TRADING_NODES__URL=postgresql://USER:PASSWORD@HOST/NAME")
    return section.url.get_secret_value()


@asynccontextmanager
async def opened_door(section: NodesSection, *, waits: bool = False) -> AsyncIterator[Door]:
    """``waits``: a database that does not answer is waited for.

    Raises: InvalidInput where no database is named, or one of a newer version; JournalUnavailable.
    """
    url, rules = _url(section), store_rules(section)
    while True:
        try:
            door = await anyio.to_thread.run_sync(open_door, url, rules)
            break
        except JournalUnavailable as error:
            if not waits:
                raise
            logger.warning("the node waits: %s", error)
            await anyio.sleep(min(WAIT_S, section.lease_s))
    try:
        yield door
    finally:
        door.close()


@contextmanager
def stops_by_signal(node: Node) -> Iterator[None]:
    """Drain the node when the process is asked to end."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, node.drain)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


@asynccontextmanager
async def node_parts(base: Path, sections: Sections, rugs: RugRules) -> AsyncIterator[NodeParts]:
    """Open what a node works with; ``base`` is the data directory, where its signer's socket is looked for.

    Raises: InvalidInput naming the setting; WrongChain; ChainUnavailable; JournalUnavailable.
    """
    clock, live = WallClock(), sections.live
    if not sections.chain.endpoints:
        msg = "an execution node needs the chain"
        raise InvalidInput(msg, field="chain.endpoints", hint="set TRADING_CHAIN__ENDPOINTS")
    async with (
        opened_door(sections.nodes, waits=True) as door,
        SolanaChain.connect(sections.chain, clock) as chain,
        JupiterApi.connect(sections.market, sections.router, clock) as api,
        second_price(sections.market, sections.router, chain, clock) as price,
    ):
        asking = ApprovingSigner(SocketSigner(signer_at(base, live)), clock.now_ns, live.approval_wait_s)
        mints = MintPolicy()
        mints.rules = rugs.model_copy(update={"banned": (*rugs.banned, *live.banned)})
        parts = PreparingParts(chain, JupiterBuild(api), price, asking, mints.problems, clock.now_ns)
        yield NodeParts(
            door=door,
            chain=chain,
            preparer=SwapPreparer(parts, preparing_rules(live)),
            wallets=_Wallets(asking, sections),
            executor=ExecutorRules(sections.chain.genesis_hash, poll_s=live.poll_s, resend_s=live.resend_s),
            now_ns=clock.now_ns,
            operator=asking,
        )


class _Wallets:
    """Which wallets a node may use: its signer's, as far as the settings let it, and none of the desk's own."""

    def __init__(self, signer: Signer, sections: Sections) -> None:
        self._signer = signer
        self._wanted = frozenset(sections.nodes.wallets)
        own = (sections.live.wallet, sections.arbitrage.wallet, *(each.address for each in sections.live.wallets))
        self._desks = frozenset(own)

    async def __call__(self) -> Sequence[str]:
        found = [each for each in await self._signer.wallets() if each not in self._desks]
        return [each for each in found if not self._wanted or each in self._wanted]


async def run_node(name: str, base: Path, sections: Sections, rugs: RugRules, ready: Callable[[Door], None]) -> None:
    """Work as an execution node until SIGTERM or SIGINT, then finish what was begun. ``ready`` is called once all is
    open.

    Raises: InvalidInput naming the setting; WrongChain; LeaseLost where another process took the name; Unavailable
    where something cannot be opened.
    """
    if NAME.fullmatch(name) is None:
        msg = f"name: {name[:80]!r} is none; allowed are 1 to 63 of a-z, 0-9, dot, dash and underscore"
        raise InvalidInput(msg, field="name")
    with unwrapped():
        async with node_parts(base, sections, rugs) as parts:
            node = Node(parts, rules_of(sections.nodes, name))
            with stops_by_signal(node):
                ready(parts.door)
                await node.run()

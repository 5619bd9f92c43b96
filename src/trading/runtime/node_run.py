"""The process of an execution node, put together: its database, its chain, its signer, and what ends it."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import anyio.to_thread

from trading.adapters.node_store.opening import Door, StoreRules, open_door
from trading.config import NodesSection
from trading.errors import InvalidInput

from .node_work import Node, NodeRules

BEATS_PER_LEASE: Final = 4


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
    )


@asynccontextmanager
async def opened_door(section: NodesSection) -> AsyncIterator[Door]:
    """Raises: InvalidInput where no database is named; JournalUnavailable."""
    if section.url is None:
        msg = "execution nodes share a PostgreSQL database, and none is named"
        raise InvalidInput(msg, field="nodes.url", hint="set TRADING_NODES__URL=postgresql://USER:PASSWORD@HOST/NAME")
    url, rules = section.url.get_secret_value(), store_rules(section)
    door = await anyio.to_thread.run_sync(lambda: open_door(url, rules))
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

"""Update notifications of the subscribable resources, on both protocol eras, from background tasks.

Clients of 2026-07-28 listen (``subscriptions/listen``, served by the SDK over a bus); earlier ones subscribe
(``resources/subscribe``), which the SDK leaves to the server. One task follows the desk, one the memory; both tell all.
Notifications say that something changed, not what: many changes in a moment are one notification.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, unquote

import anyio
from mcp.server import MCPServer
from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import Context
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourceUpdated, ServerEvent
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, EmptyResult, SubscribeRequestParams, UnsubscribeRequestParams

from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.lifecycle import LinkKind
from memmcp_server.domain.news import Batch
from memmcp_server.domain.task import TASKS_NAMESPACE
from memmcp_server.errors import MemoryServerError, TradingUnavailable
from memmcp_server.services.background import beside
from memmcp_server.services.container import Services

from .caller import caller_of
from .errors import error_text
from .resources import HISTORY_TRADES, MEMORY_CHANGES, RISK_CURRENT, SUBSCRIBABLE, TASKS_OPEN, TELEMETRY_LATEST

SUBSCRIPTIONS_MAX: Final = 1_024
DESK_RETRY_S: Final = 1.0
SEND_TIMEOUT_S: Final = 5.0
"""A client that does not take a notification within this time loses its subscriptions, not the others theirs."""

NOTICE_INTERVAL_S: Final = 0.2
"""What changes in memory within this time is told together."""

MEMORY_SCHEME: Final = "memory://"

Address = tuple[str, MemoryId]
"""Namespace and id of a memory."""


class Bus(InMemorySubscriptionBus):
    """Tells each new listener at once that memory may have changed: nothing was sent to it while it was away."""

    def __init__(self) -> None:
        super().__init__()
        self.listeners = 0

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        leave = super().subscribe(listener)
        self.listeners += 1
        is_there = True
        listener(ResourceUpdated(uri=MEMORY_CHANGES))

        def unsubscribe() -> None:
            nonlocal is_there
            leave()
            self.listeners -= is_there
            is_there = False

        return unsubscribe


@dataclass(slots=True)
class Subscribers:
    """Who subscribed to what on the earlier protocol era; a closed connection takes its entries with it."""

    services: Services
    by_connection: dict[int, tuple[ServerSession, set[str]]] = field(default_factory=dict)

    async def subscribe(self, ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        uri = str(params.uri)
        if uri not in SUBSCRIBABLE:
            await self._check_memory(uri, ctx)
        if sum(len(uris) for _, uris in self.by_connection.values()) >= SUBSCRIPTIONS_MAX:
            raise MCPError(code=INVALID_PARAMS, message=f"there are already {SUBSCRIPTIONS_MAX} subscriptions")
        connection = ctx.session._connection
        if id(connection) not in self.by_connection:
            self.by_connection[id(connection)] = (ctx.session, set())
            connection.exit_stack.callback(self.by_connection.pop, id(connection), None)
        self.by_connection[id(connection)][1].add(uri)
        if uri == MEMORY_CHANGES:
            # A bridge repeats the subscription to a new daemon: what happened in between was told to nobody.
            await self._send(id(connection), ctx.session, uri)
        return EmptyResult()

    async def unsubscribe(self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams) -> EmptyResult:
        entry = self.by_connection.get(id(ctx.session._connection))
        if entry is not None:
            entry[1].discard(str(params.uri))
        return EmptyResult()

    async def notify(self, uri: str) -> None:
        """Tell every subscriber; one that does not read is dropped, and no other waits for it."""
        wanting = [(key, session) for key, (session, uris) in self.by_connection.items() if uri in uris]
        async with anyio.create_task_group() as tasks:
            for key, session in wanting:
                tasks.start_soon(self._send, key, session, uri)

    def memory_uris(self) -> dict[str, Address]:
        """Return the addresses of single memories that somebody subscribed to."""
        uris = {uri for _, uris in self.by_connection.values() for uri in uris}
        return {uri: address for uri in uris if (address := memory_address(uri)) is not None}

    async def _send(self, key: int, session: ServerSession, uri: str) -> None:
        with anyio.move_on_after(SEND_TIMEOUT_S) as patience:
            await session.send_resource_updated(uri)
        if patience.cancelled_caught:
            self.by_connection.pop(key, None)

    async def _check_memory(self, uri: str, ctx: ServerRequestContext[Any, Any]) -> None:
        """Raises: MCPError when the address is not that of a memory which the caller may read."""
        address = memory_address(uri)
        if address is None:
            allowed = ", ".join([*sorted(SUBSCRIBABLE), "memory://{namespace}/{id}"])
            raise MCPError(code=INVALID_PARAMS, message=f"{uri} cannot be subscribed to; these can: {allowed}")
        namespace, memory_id = address
        caller = caller_of(Context(request_context=ctx), "resources/subscribe")
        try:
            memory = await self.services.memories.get(memory_id, None, caller)
        except MemoryServerError as error:
            raise MCPError(code=INVALID_PARAMS, message=error_text(error)) from error
        if memory.namespace != namespace:
            msg = f"there is no memory {memory_id} in namespace {namespace}; it is in {memory.namespace}"
            raise MCPError(code=INVALID_PARAMS, message=msg)


class ResourceUpdates:
    """The bus for one era, the subscribers of the other, and the tasks that follow desk and memory."""

    def __init__(self, services: Services) -> None:
        self.bus = Bus()
        self.subscribers = Subscribers(services)
        self._services = services
        self._wake = anyio.Event()
        self._touched: set[Address] = set()
        self._has_tasks = False

    def serve(self, mcp: MCPServer[Any]) -> None:
        """Register the earlier era's handlers, which the SDK's server leaves out."""
        lowlevel = mcp._lowlevel_server
        lowlevel.add_request_handler("resources/subscribe", SubscribeRequestParams, self.subscribers.subscribe)
        lowlevel.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, self.subscribers.unsubscribe)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the tasks for as long as the block does."""
        async with beside("resource updates", self._follow_desk), beside("memory updates", self._follow_memory):
            with self._services.news.listening(self._note):
                yield

    async def _follow_desk(self) -> None:
        """Publish after each cycle, for as long as the process lives; a desk that is not up yet is waited for."""
        desk = self._services.desk
        if desk is None:
            return
        trades_seen: object = None
        while True:
            try:
                async for snapshot in desk.changes():
                    changed = [TELEMETRY_LATEST, RISK_CURRENT]
                    if snapshot.get("trades_total") != trades_seen:
                        trades_seen = snapshot.get("trades_total")
                        changed.append(HISTORY_TRADES)
                    for uri in changed:
                        await self._publish(uri)
            except TradingUnavailable:
                pass
            await anyio.sleep(DESK_RETRY_S)

    def _note(self, batch: Batch) -> None:
        if self.bus.listeners or self.subscribers.by_connection:
            self._touched.update(_touched_by(batch))
            self._has_tasks = self._has_tasks or any(
                each.memory is not None and each.memory.namespace == TASKS_NAMESPACE for each in batch.changes
            )
            self._wake.set()

    async def _follow_memory(self) -> None:
        """Publish that memory changed, and which of the memories that somebody may follow did."""
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            touched, self._touched = self._touched, set()
            await self._publish(MEMORY_CHANGES)
            if self._has_tasks:
                self._has_tasks = False
                await self._publish(TASKS_OPEN)
            for uri, address in self.subscribers.memory_uris().items() if touched else ():
                if address in touched:
                    await self.subscribers.notify(uri)
            for namespace, memory_id in touched if self.bus.listeners else ():
                # A listener's address is compared letter by letter: both ways to write it are told.
                for shown in dict.fromkeys((namespace, quote(namespace, safe=""))):
                    await self.bus.publish(ResourceUpdated(uri=f"{MEMORY_SCHEME}{shown}/{memory_id}"))
            await anyio.sleep(NOTICE_INTERVAL_S)

    async def _publish(self, uri: str) -> None:
        await self.bus.publish(ResourceUpdated(uri=uri))
        await self.subscribers.notify(uri)


def memory_address(uri: str) -> Address | None:
    """Return which memory the address is of, None when it is not that of one."""
    if not uri.startswith(MEMORY_SCHEME):
        return None
    namespace, separator, memory_id = uri.removeprefix(MEMORY_SCHEME).rpartition("/")
    return (unquote(namespace), MemoryId(unquote(memory_id))) if separator and namespace and memory_id else None


def _touched_by(batch: Batch) -> Iterable[Address]:
    """Yield the memories that say something else now; nobody can follow one that was just written."""
    for change in batch.changes:
        if change.memory is not None and change.memory.version > 1:
            yield change.memory.namespace, change.memory.id
        elif change.audit is not None and change.audit.memory_id is not None and change.audit.namespace is not None:
            yield change.audit.namespace, change.audit.memory_id
    for link in batch.links:
        if link.kind is LinkKind.SUPERSEDES and batch.versions.get(link.to_id):
            yield batch.versions[link.to_id][-1].namespace, link.to_id

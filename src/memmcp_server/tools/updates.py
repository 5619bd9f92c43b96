"""Update notifications of the subscribable resources, on both protocol eras, from one background task.

Clients of 2026-07-28 listen (``subscriptions/listen``, served by the SDK over a bus); earlier ones subscribe
(``resources/subscribe``), which the SDK leaves to the server. One task follows the desk and tells both.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
from mcp.server import MCPServer
from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourceUpdated
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, EmptyResult, SubscribeRequestParams, UnsubscribeRequestParams

from memmcp_server.errors import TradingUnavailable
from memmcp_server.ports import TradingDesk
from memmcp_server.services.background import beside

from .resources import HISTORY_TRADES, RISK_CURRENT, SUBSCRIBABLE, TELEMETRY_LATEST

SUBSCRIPTIONS_MAX: Final = 1_024
DESK_RETRY_S: Final = 1.0
SEND_TIMEOUT_S: Final = 5.0
"""A client that does not take a notification within this time loses its subscriptions, not the others theirs."""


@dataclass(slots=True)
class Subscribers:
    """Who subscribed to what on the earlier protocol era; a closed connection takes its entries with it."""

    by_connection: dict[int, tuple[ServerSession, set[str]]] = field(default_factory=dict)

    async def subscribe(self, ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        uri = str(params.uri)
        if uri not in SUBSCRIBABLE:
            msg = f"{uri} cannot be subscribed to; these can: {', '.join(sorted(SUBSCRIBABLE))}"
            raise MCPError(code=INVALID_PARAMS, message=msg)
        if sum(len(uris) for _, uris in self.by_connection.values()) >= SUBSCRIPTIONS_MAX:
            raise MCPError(code=INVALID_PARAMS, message=f"there are already {SUBSCRIPTIONS_MAX} subscriptions")
        connection = ctx.session._connection
        if id(connection) not in self.by_connection:
            self.by_connection[id(connection)] = (ctx.session, set())
            connection.exit_stack.callback(self.by_connection.pop, id(connection), None)
        self.by_connection[id(connection)][1].add(uri)
        return EmptyResult()

    async def unsubscribe(self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams) -> EmptyResult:
        entry = self.by_connection.get(id(ctx.session._connection))
        if entry is not None:
            entry[1].discard(str(params.uri))
        return EmptyResult()

    async def notify(self, uri: str) -> None:
        """Tell every subscriber; one that does not read is dropped."""
        for connection, (session, uris) in list(self.by_connection.items()):
            if uri not in uris:
                continue
            with anyio.move_on_after(SEND_TIMEOUT_S) as patience:
                await session.send_resource_updated(uri)
            if patience.cancelled_caught:
                self.by_connection.pop(connection, None)


class ResourceUpdates:
    """The bus for one era, the subscribers of the other, and the task that follows the desk."""

    def __init__(self, desk: TradingDesk | None) -> None:
        self.bus = InMemorySubscriptionBus()
        self.subscribers = Subscribers()
        self._desk = desk

    def serve(self, mcp: MCPServer[Any]) -> None:
        """Register the earlier era's handlers, which the SDK's server leaves out."""
        lowlevel = mcp._lowlevel_server
        lowlevel.add_request_handler("resources/subscribe", SubscribeRequestParams, self.subscribers.subscribe)
        lowlevel.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, self.subscribers.unsubscribe)

    async def run(self) -> None:
        """Publish after each cycle, for as long as the process lives; a desk that is not up yet is waited for."""
        if self._desk is None:
            return
        trades_seen: object = None
        while True:
            try:
                async for snapshot in self._desk.changes():
                    changed = [TELEMETRY_LATEST, RISK_CURRENT]
                    if snapshot.get("trades_total") != trades_seen:
                        trades_seen = snapshot.get("trades_total")
                        changed.append(HISTORY_TRADES)
                    for uri in changed:
                        await self._publish(uri)
            except TradingUnavailable:
                pass
            await anyio.sleep(DESK_RETRY_S)

    async def _publish(self, uri: str) -> None:
        await self.bus.publish(ResourceUpdated(uri=uri))
        await self.subscribers.notify(uri)

    def running(self) -> AbstractAsyncContextManager[None]:
        """Run the task for as long as the block does."""
        return beside("resource updates", self.run)

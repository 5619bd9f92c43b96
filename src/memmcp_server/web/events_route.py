"""GET /events: the one live stream of a page."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, aclosing
from typing import Final

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from memmcp_server.errors import InvalidInput
from memmcp_server.services.container import Services

from .live import Follower, LiveEvent, LiveEvents
from .requests import NoQuery, query_as, steward_of
from .routing import ApiRoute

PING_S: Final = 15
SEND_TIMEOUT_S: Final = 10.0
RECONNECT_MS: Final = 2_000


class _Stream(EventSourceResponse):
    """Holds its place until it has ended, also where it was left before it began."""

    def __init__(self, events: AsyncIterator[ServerSentEvent], held: ExitStack) -> None:
        super().__init__(events, ping=PING_S, send_timeout=SEND_TIMEOUT_S, sep="\n")
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            await super().__call__(scope, receive, send)


class EventsRoute:
    def __init__(self, services: Services, live: LiveEvents) -> None:
        self._services = services
        self._live = live

    async def events(self, request: Request) -> EventSourceResponse:
        query_as(request, NoQuery)
        last_seq = last_event_id(request)
        caller = steward_of(request, "GET /events")
        with ExitStack() as held:
            # Once the stream has begun there is no status left to refuse with, so its place is taken here.
            follower = held.enter_context(self._live.place(caller))
            held.enter_context(self._services.clients.connected("page", "http"))
            return _Stream(self._encoded(last_seq, follower), held.pop_all())

    async def _encoded(self, last_seq: int | None, follower: Follower) -> AsyncIterator[ServerSentEvent]:
        async with aclosing(self._live.follow(last_seq, follower)) as events:
            first = True
            async for event in events:
                yield _encoded(event, RECONNECT_MS if first else None)
                first = False

    def routes(self) -> list[ApiRoute]:
        return [
            ApiRoute(
                "GET",
                "/events",
                self.events,
                "Server-sent events: trading (TradingSnapshot), metrics (MetricsAnswer), alerts (AlertList), memory (a "
                "row, id = seq), change (what was done to one) and resync {from, to, cursor} when rows were lost: read "
                "them with /memory/changes. Last-Event-ID replays rows.",
                query=NoQuery,
                media_type="text/event-stream",
            )
        ]


def last_event_id(request: Request) -> int | None:
    """Return the seq after which the client wants rows.

    Raises: InvalidInput when the header is not a seq.
    """
    given = request.headers.get("last-event-id", "").strip()
    if not given:
        return None
    if not (given.isascii() and given.isdecimal() and len(given) <= 19):
        msg = f"Last-Event-ID {given[:40]!r} is not a journal seq"
        raise InvalidInput(msg, field="Last-Event-ID", hint="leave it out to begin now")
    return int(given)


def _encoded(event: LiveEvent, retry_ms: int | None) -> ServerSentEvent:
    return ServerSentEvent(event.text, event=event.kind, id=None if event.id is None else str(event.id), retry=retry_ms)

"""GET /events: the one live stream of a page."""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Final

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request

from memmcp_server.domain.caller import Caller
from memmcp_server.errors import InvalidInput
from memmcp_server.services.container import Services

from .live import LiveEvent, LiveEvents
from .requests import NoQuery, query_as, steward_of
from .routing import ApiRoute

PING_S: Final = 15
SEND_TIMEOUT_S: Final = 10.0
RECONNECT_MS: Final = 2_000


class EventsRoute:
    def __init__(self, services: Services, live: LiveEvents) -> None:
        self._services = services
        self._live = live

    async def events(self, request: Request) -> EventSourceResponse:
        query_as(request, NoQuery)
        last_seq = last_event_id(request)
        caller = steward_of(request, "GET /events")
        self._live.check_room()
        with self._services.clients.connected("page", "http"):
            # Once the stream has begun there is no status left to refuse with, so the room is asked for here.
            return EventSourceResponse(
                self._stream(last_seq, caller), ping=PING_S, send_timeout=SEND_TIMEOUT_S, sep="\n"
            )

    async def _stream(self, last_seq: int | None, caller: Caller) -> AsyncIterator[ServerSentEvent]:
        with self._services.clients.connected("page", "http"):
            async with aclosing(self._live.follow(last_seq, caller)) as events:
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
    data = json.dumps(event.data, ensure_ascii=False, separators=(",", ":"))
    return ServerSentEvent(data, event=event.kind, id=None if event.id is None else str(event.id), retry=retry_ms)

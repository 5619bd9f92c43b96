"""A loopback dead man's switch that keeps what it was told; ``faults`` are the statuses of the next answers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.market_server import loopback

KEY = "b8f1c2f4-0d5e-4a53-9f4e-5c1f2f9a7e11"
HANGS = 0


@dataclass
class SwitchServer:
    """``told``: the path after the key ("" for a beat that says all is well), with the note that came along."""

    told: list[tuple[str, str]] = field(default_factory=list)
    faults: list[int] = field(default_factory=list)
    url: str = ""

    async def _take(self, request: Request) -> Response:
        note = (await request.body()).decode()
        fault = self.faults.pop(0) if self.faults else 200
        if fault == HANGS:
            await anyio.sleep_forever()
        if fault == 200:
            self.told.append((request.url.path.removeprefix(f"/{KEY}"), note))
        return Response("OK", fault)

    @property
    def beats(self) -> int:
        return sum(1 for path, _ in self.told if path == "")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve until the block is left; yields the address with its key."""
        async with loopback([Route(f"/{KEY}{{rest:path}}", self._take, methods=["GET", "POST"])]) as url:
            self.url = f"{url}/{KEY}"
            yield self.url

"""The page and its files, as the build of ``web/ui`` left them."""

from pathlib import Path
from typing import Final

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

STATIC: Final = Path(__file__).with_name("static")
NOT_BUILT: Final = (
    "The page has not been built. In a checkout run: make setup\n"
    "(it needs Node.js; a wheel from the package index brings the page along). The HTTP API and MCP work without it.\n"
)


class Page:
    def __init__(self, static: Path = STATIC) -> None:
        self._static = static

    async def index(self, _request: Request) -> Response:
        index = self._static / "index.html"
        if not index.is_file():
            return PlainTextResponse(NOT_BUILT, status_code=503)
        return FileResponse(index, media_type="text/html", headers={"Cache-Control": "no-cache"})

    def routes(self) -> list[BaseRoute]:
        """Return ``/`` and ``/static``; static files are found by a request, so a later build needs no restart."""
        return [
            Route("/", self.index, methods=["GET"]),
            Mount("/static", _Files(directory=self._static, check_dir=False), name="static"),
        ]


class _Files(StaticFiles):
    """Revalidated on each load: the page and its script are of one build, always."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.setdefault("Cache-Control", "no-cache")
        return response

    async def check_config(self) -> None:
        """Answer 404 where Starlette would fail: the build may come later."""
        if not await anyio.Path(str(self.directory)).is_dir():
            raise HTTPException(404, "the page has not been built; run: make setup")

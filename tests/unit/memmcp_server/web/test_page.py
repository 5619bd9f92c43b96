"""The page and its files: served when built, and a clear word when not."""

from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette

from memmcp_server.web.page import Page

pytestmark = pytest.mark.anyio


def client_of(static: Path) -> httpx2.AsyncClient:
    app = Starlette(routes=Page(static).routes())
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://127.0.0.1")


async def test_a_page_that_is_not_built_says_how_to_build_it(tmp_path: Path) -> None:
    async with client_of(tmp_path / "static") as client:
        page = await client.get("/")
        assert page.status_code == 503
        assert "make setup" in page.text
        assert (await client.get("/static/app.js")).status_code == 404


async def test_a_page_built_later_is_served_without_a_restart(tmp_path: Path) -> None:
    static = tmp_path / "static"
    async with client_of(static) as client:
        assert (await client.get("/")).status_code == 503
        static.mkdir()
        (static / "index.html").write_text("<!doctype html><title>memMCP</title>")
        (static / "app.js").write_text("export {};")
        page = await client.get("/")
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        script = await client.get("/static/app.js")
        assert script.headers["cache-control"] == "no-cache"
        assert "javascript" in script.headers["content-type"]


async def test_nothing_outside_the_folder_is_served(tmp_path: Path) -> None:
    static = tmp_path / "static"
    static.mkdir()
    (static / "index.html").write_text("x")
    (tmp_path / "secret").write_text("token")
    async with client_of(static) as client:
        for path in ("/static/../secret", "/static/..%2fsecret", "/static/%2e%2e/secret", "/static//etc/passwd"):
            response = await client.get(path)
            assert response.status_code == 404
            assert "token" not in response.text

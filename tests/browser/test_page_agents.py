"""Who is connected and who wrote what, of a real application with agents at its door."""

from pathlib import Path

import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import Implementation
from playwright.sync_api import Browser, expect

from .test_page import axe_violations, go
from .test_page_app import running, watching

pytestmark = [pytest.mark.browser, pytest.mark.requirement("A1")]

NAME = "cur<b>sor</b>"


async def written(url: str) -> None:
    async with httpx2.AsyncClient() as http:
        transport = streamable_http_client(f"{url}/mcp", http_client=http)
        async with Client(transport, client_info=Implementation(name=NAME, version="1")) as client:
            await client.call_tool("memory_write", {"content": "wombats dig"})


def test_agents_that_are_here_and_those_that_wrote_are_listed_and_lead_to_their_memories(
    browser: Browser, tmp_path: Path
) -> None:
    with running(tmp_path) as daemon, watching(browser, daemon.url) as watched:
        page = watched.open()
        go(page, "Agents")
        expect(page.locator("#agents-none")).to_be_visible()
        expect(page.locator("#agents-meta")).to_have_text("0 connected over a bridge, 1 pages")
        daemon.portal.call(written, daemon.url)
        row = page.locator("#agents-callers tr")
        expect(row).to_have_count(1)
        expect(row.locator("th .main")).to_have_text(NAME)
        expect(row.locator("td").first).to_have_text("1")
        expect(row).to_contain_text("memory_write")
        writer = page.locator("#agents-writers").get_by_role("link", name=NAME)
        expect(writer).to_be_visible()
        assert axe_violations(page) == []
        writer.click()
        expect(page.locator("#browser-agent")).to_have_value(NAME)
        watched.expect_only()

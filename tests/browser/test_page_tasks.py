"""A task from the page to an agent and back: filed, claimed, lapsed, claimed again, answered on the page."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import Implementation
from playwright.sync_api import Browser, Page, expect
from tests.support.stage import Stage, served, staged

from memmcp_server.services.background import beside

from .conftest import DESKTOP, Watched
from .tabs import tab
from .test_page import go

pytestmark = [pytest.mark.browser, pytest.mark.requirement("A6")]


class Scene:
    """The daemon's application in a loop of its own; the page in Chromium; agents as MCP clients over HTTP."""

    def __init__(self, portal: BlockingPortal, stage: Stage, url: str, page: Page, watched: Watched) -> None:
        self.portal = portal
        self.stage = stage
        self.url = url
        self.page = page
        self.watched = watched

    def call(self, agent: str, tool: str, **arguments: Any) -> Any:
        """Call a tool as an agent would, over its own connection."""

        async def asked() -> Any:
            async with httpx2.AsyncClient() as http:
                transport = streamable_http_client(f"{self.url}/mcp", http_client=http)
                async with Client(transport, client_info=Implementation(name=agent, version="1")) as client:
                    return await client.call_tool(tool, arguments)

        return self.portal.call(asked)


@contextlib.contextmanager
def scene(browser: Browser, place: Path) -> Iterator[Scene]:
    with start_blocking_portal() as portal, contextlib.ExitStack() as stack:
        stage = stack.enter_context(portal.wrap_async_context_manager(staged(place)))
        keeping = beside("tasks", stage.services.tasks.run)
        stack.enter_context(portal.wrap_async_context_manager(keeping))
        url = stack.enter_context(portal.wrap_async_context_manager(served(stage.app)))
        watched = Watched(stack.enter_context(tab(browser, viewport=DESKTOP)), url)
        try:
            page = watched.open()
            go(page, "Agents")
            yield Scene(portal, stage, url, page, watched)
        finally:
            portal.call(stage.app.state.live.close)


def test_a_task_goes_round_and_its_answer_shows_on_the_page(browser: Browser, tmp_path: Path) -> None:
    with scene(browser, tmp_path) as here:
        expect(here.page.locator("#tasks-none")).to_be_visible()
        here.page.locator("#task-add summary").click()
        here.page.locator("#task-title").fill("Why did <b>BONK</b> lose?")
        here.page.locator("#task-kind").select_option("review_loss")
        here.page.locator("#task-text").fill("Look at the fee.")
        here.page.locator("#task-lease").fill("5")  # the page asks every two seconds
        here.page.locator("#task-form button").click()
        expect(here.page.locator("#tasks-answer")).to_contain_text("Filed.")
        item = here.page.locator("#tasks li")
        expect(item).to_contain_text("Why did <b>BONK</b> lose?")
        expect(item).to_have_attribute("data-state", "open")

        [task] = here.call("slow", "agent_task_list").structured_content["tasks"]
        here.call("slow", "agent_task", action="claim", id=task["id"])
        expect(item).to_contain_text("held by slow")
        expect(item).to_have_attribute("data-state", "open", timeout=20_000)  # its lease ran out
        expect(item).to_contain_text("slow claimed it and did not answer")

        claimed = here.call("quick", "agent_task", action="claim", id=task["id"], lease_s=60)
        assert claimed.structured_content["task"]["attempts"] == 2
        expect(item).to_contain_text(re.compile(r"held by quick until \d\d-\d\d \d\d:\d\d UTC"))
        lease_until = item.locator("time").get_attribute("datetime")
        assert lease_until == claimed.structured_content["task"]["lease_until"]
        here.call("quick", "agent_task", action="complete", id=task["id"], text="The <i>fee</i> ate it.")
        expect(item).to_have_attribute("data-state", "done")
        expect(item.locator(".quoted")).to_have_text("The <i>fee</i> ate it.")
        late = here.call("slow", "agent_task", action="complete", id=task["id"], text="mine")
        assert late.is_error
        here.watched.expect_only()


def test_what_no_agent_takes_is_shown_to_the_operator_who_takes_it_back(browser: Browser, tmp_path: Path) -> None:
    with scene(browser, tmp_path) as here:
        body = {"title": "Judge the launch", "kind": "judge_launch", "claim_within_s": 1}
        assert httpx2.post(f"{here.url}/tasks", json=body).status_code == 201
        item = here.page.locator("#tasks li")
        expect(here.page.locator("#tasks-meta")).to_contain_text("1 wait for you", timeout=20_000)
        expect(here.page.get_by_role("link", name="Agents").locator(".badge")).to_have_text("1")
        expect(item).to_have_attribute("data-overdue", "yes")
        item.locator(".cancel").click()
        expect(item).to_have_attribute("data-state", "cancelled")
        here.watched.expect_only()

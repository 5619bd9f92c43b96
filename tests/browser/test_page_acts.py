"""The action pad, end to end on paper: chosen, understood, confirmed, done once, followed, undone."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect
from tests.doubles.trading_desk import InMemoryDesk
from tests.support.stage import OPERATOR_TOKEN

from .conftest import Watched
from .test_page import axe_violations
from .test_page_app import Daemon, running, watching

pytestmark = [pytest.mark.browser, pytest.mark.requirement("D10")]

HELD = 10**9


@contextlib.contextmanager
def operated(browser: Browser, place: Path) -> Iterator[tuple[Daemon, Page, Locator, Watched]]:
    """A page with an operator at it, and the pad open; the desk holds something."""
    with (
        running(place, desk=InMemoryDesk(base_units=HELD, cost=10**8)) as daemon,
        watching(browser, daemon.url) as watched,
    ):
        daemon.advance()
        page = watched.open()
        expect(page.locator("#panel-trading")).to_have_attribute("data-state", "ready")
        page.keyboard.press("k")
        page.get_by_label("Code or token").fill(OPERATOR_TOKEN)
        page.keyboard.press("Enter")
        expect(page.locator("#who-text")).to_have_text("operator")
        page.keyboard.press("k")
        pad = page.get_by_role("dialog", name="Act on the desk")
        expect(pad).to_be_visible()
        yield daemon, page, pad, watched


def choose(pad: Locator, label: str, reason: str = "said by the test") -> None:
    pad.get_by_label(label, exact=True).check()
    pad.get_by_label("Why (kept in the journal)").fill(reason)


def calls(daemon: Daemon) -> list[str]:
    return [name for name, _, _ in daemon.stage.trading.calls if name.startswith("control:")]


def test_entries_are_stopped_and_that_is_undone_by_an_act_of_its_own(browser: Browser, tmp_path: Path) -> None:
    with operated(browser, tmp_path) as (daemon, page, pad, watched):
        expect(page.locator("#acts-consequence")).to_contain_text("Nothing new is opened")
        assert axe_violations(page) == []
        choose(pad, "Stop entries", "rebuilding the node")
        pad.locator("#acts-send").click()
        expect(page.locator("#acts-answer")).to_have_text("Done: positions stay and their exits go on.")
        assert daemon.stage.trading.entries_allowed is False
        assert daemon.stage.trading.calls[-1][1] == "operator:operator"
        pad.get_by_role("button", name="Undo: resume").click()
        expect(page.locator("#acts-consequence")).to_contain_text("Entries are allowed again, in the paper desk")
        pad.get_by_label("Why (kept in the journal)").fill("the node is back")
        pad.get_by_label(re.compile("^Type resume")).fill("resume")
        pad.locator("#acts-send").click()
        expect(page.locator("#acts-answer")).to_have_text("Done: entries are allowed.")
        assert calls(daemon) == ["control:stop_entries", "control:resume"]
        watched.expect_only()


def test_selling_everything_needs_the_word_and_is_followed_until_nothing_is_held(
    browser: Browser, tmp_path: Path
) -> None:
    with operated(browser, tmp_path) as (daemon, page, pad, watched):
        choose(pad, "Flatten and halt", "the feed lies")
        pad.locator("#acts-send").click()
        expect(page.locator("#acts-answer")).to_have_text("Type the word flatten to confirm it.")
        assert calls(daemon) == []
        pad.get_by_label(re.compile("^Type flatten")).fill("flatten")
        pad.locator("#acts-send").dblclick()
        expect(page.locator("#acts-answer")).to_contain_text("Done: every position is sold.")
        expect(page.locator("#acts-answer")).to_contain_text("1 position is still held.")
        daemon.advance()
        expect(page.locator("#acts-answer")).to_contain_text("Nothing is held any more.")
        assert calls(daemon) == ["control:flatten_and_halt"]
        watched.expect_only()


def test_a_part_of_a_position_is_closed(browser: Browser, tmp_path: Path) -> None:
    with operated(browser, tmp_path) as (daemon, page, pad, watched):
        choose(pad, "Close a position")
        pad.get_by_label("Percent of it").fill("50")
        expect(page.locator("#acts-consequence")).to_contain_text("50 % of ")
        pad.get_by_label(re.compile("^Type close")).fill("close")
        pad.locator("#acts-send").click()
        expect(page.locator("#acts-answer")).to_have_text("Done: sold.")
        assert daemon.stage.trading.base_units == HELD // 2
        watched.expect_only()


def test_what_adds_risk_is_not_done_in_another_state_than_the_one_that_was_seen(
    browser: Browser, tmp_path: Path
) -> None:
    with operated(browser, tmp_path) as (daemon, page, pad, watched):
        choose(pad, "Switch profile")
        pad.get_by_label("Profile", exact=True).fill("foundation")
        pad.get_by_label(re.compile("^Type profile")).fill("profile")

        def halted_on_the_way(route: Route) -> None:
            daemon.stage.trading.state = "HALTED"
            route.continue_()

        page.route("**/actions/profile", halted_on_the_way)
        pad.locator("#acts-send").click()
        expect(page.locator("#acts-answer")).to_contain_text("The desk is HALTED by now")
        assert calls(daemon) == []
        watched.expect_only("403 (Forbidden)")


def test_the_target_is_set_and_an_amount_that_is_none_is_refused_by_name(browser: Browser, tmp_path: Path) -> None:
    with operated(browser, tmp_path) as (daemon, page, pad, watched):
        choose(pad, "Set the target")
        expect(page.locator("#acts-consequence")).to_contain_text("The compounding target becomes this much")
        pad.get_by_label("Amount in SOL").fill("a lot")
        pad.locator("#acts-send").click()
        expect(page.locator("#acts-answer")).to_contain_text("mount_sol")
        pad.get_by_label("Amount in SOL").fill("25.5")
        pad.locator("#acts-send").click()
        expect(page.locator("#acts-answer")).to_have_text("Done: target set.")
        assert daemon.stage.trading.target == 25_500_000_000
        watched.expect_only("422 (Unprocessable")


def test_a_viewer_is_asked_to_log_in_as_an_operator(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path) as daemon, watching(browser, daemon.url) as watched:
        code = daemon.portal.call(daemon.stage.services.logins.new_code, "viewer")[1]
        watched.page.goto(f"{daemon.url}/#login={code}")
        expect(watched.page.locator("#who-text")).to_have_text("viewer")
        watched.page.get_by_role("button", name="Act…").click()
        expect(watched.page.get_by_role("dialog", name="Log in")).to_contain_text("Only an operator acts")
        expect(watched.page.get_by_role("dialog", name="Act on the desk")).to_be_hidden()
        watched.expect_only()

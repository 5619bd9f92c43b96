"""The action pad, end to end on paper: chosen, understood, confirmed, done once, followed, undone."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect
from tests.doubles.trading_desk import InMemoryDesk
from tests.support.signer_stage import armed_signer
from tests.support.signing import PASSPHRASE
from tests.support.stage import OPERATOR_TOKEN

from memmcp_server.adapters.signer_approvals import SignerApprovals
from trading.signing.secrets import Passphrase

from .conftest import Watched
from .test_page import axe_violations
from .test_page_app import Daemon, running, watching

pytestmark = [pytest.mark.browser, pytest.mark.requirement("D10")]

HELD = 10**9


@contextlib.contextmanager
def operated(browser: Browser, place: Path, **options: Any) -> Iterator[tuple[Daemon, Page, Locator, Watched]]:
    """A page with an operator at it, and the pad open; the desk holds something."""
    with (
        running(place, desk=InMemoryDesk(base_units=HELD, cost=10**8), **options) as daemon,
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


def type_word(pad: Locator, word: str) -> None:
    pad.get_by_label(re.compile(f"^Type {word}")).fill(word)


def test_a_rebalance_is_shown_confirmed_and_followed_until_every_order_is_settled(
    browser: Browser, tmp_path: Path
) -> None:
    with operated(browser, tmp_path) as (daemon, page, pad, watched):
        choose(pad, "Rebalance", "less of it")
        share = pad.get_by_label(re.compile("^BONK, %"))
        share.fill("nonsense")
        pad.get_by_role("button", name="Show what it would do").click()
        expect(page.locator("#acts-answer")).to_contain_text("The share of")
        share.fill("0")
        pad.get_by_role("button", name="Show what it would do").click()
        expect(page.locator("#acts-preview tbody tr")).to_contain_text("sell 100 %")
        expect(page.locator("#acts-answer")).to_contain_text("Nothing has happened yet")
        assert axe_violations(page) == []
        assert daemon.stage.trading.trades_made == []
        type_word(pad, "rebalance")
        pad.locator("#acts-send").dblclick()
        expect(page.locator("#acts-more [data-outcome=working]")).to_be_visible()
        expect(page.locator("#acts-end")).to_have_text("1 order is under way.")
        daemon.advance()
        expect(page.locator("#acts-more [data-outcome=filled]")).to_be_visible()
        expect(page.locator("#acts-end")).to_have_text("The end: every order is settled.")
        assert len(daemon.stage.trading.trades_made) == 1
        watched.expect_only()


def test_a_strategy_is_switched_off_and_on_by_keyboard_alone(browser: Browser, tmp_path: Path) -> None:
    with operated(browser, tmp_path) as (daemon, page, pad, watched):
        pad.get_by_label("Switch a strategy off", exact=True).focus()
        page.keyboard.press("Space")
        expect(page.locator("#acts-consequence")).to_contain_text("manual enters nothing any more")
        pad.get_by_label("Why (kept in the journal)").focus()
        page.keyboard.type("it loses")
        page.keyboard.press("Enter")
        expect(page.locator("#acts-answer")).to_have_text("Done: exposure of strategy:manual can only shrink.")
        assert daemon.stage.trading.levels == {"strategy:manual": "REDUCING"}
        pad.get_by_role("button", name="Undo: switch a strategy on").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#acts-consequence")).to_contain_text("Now: REDUCING")
        pad.get_by_label("Why (kept in the journal)").focus()
        page.keyboard.type("mended")
        pad.get_by_label(re.compile("^Type on")).focus()
        page.keyboard.type("on")
        page.keyboard.press("Enter")
        expect(page.locator("#acts-answer")).to_have_text("Done: strategy:manual may enter again.")
        assert daemon.stage.trading.levels == {}
        watched.expect_only()


def test_a_candidate_is_promoted_only_past_its_gates(browser: Browser, tmp_path: Path) -> None:
    with operated(browser, tmp_path) as (daemon, page, pad, watched):
        choose(pad, "Promote a candidate", "the best we have")
        page.locator("#acts-candidate").select_option("cand_000000000000")
        pad.locator("#acts-send").click()
        expect(page.locator("#acts-preview")).to_contain_text("not passed")
        expect(page.locator("#acts-answer")).to_have_text("Nothing of it can be done now.")
        expect(page.locator("#acts-word-row")).to_be_hidden()
        page.locator("#acts-candidate").select_option("cand_00000000000a")
        pad.locator("#acts-send").click()
        expect(page.locator("#acts-preview")).to_contain_text("✓ passed")
        assert axe_violations(page) == []
        assert daemon.stage.trading.stages == {}
        type_word(pad, "promote")
        pad.locator("#acts-send").click()
        expect(page.locator("#acts-answer")).to_have_text("Done: open positions stay.")
        assert daemon.stage.trading.stages == {"cand_00000000000a": "paper"}
        watched.expect_only()


def test_an_answer_that_was_lost_is_found_by_its_key_and_nothing_is_done_twice(
    browser: Browser, tmp_path: Path
) -> None:
    with operated(browser, tmp_path) as (daemon, page, pad, watched):
        choose(pad, "Close a position")
        type_word(pad, "close")

        def lost(route: Route) -> None:
            route.fetch()
            route.abort()

        page.route("**/actions/close", lost)
        pad.locator("#acts-send").click()
        expect(page.locator("#acts-answer")).to_contain_text("It was done after all")
        daemon.advance()
        expect(page.locator("#acts-end")).to_have_text("The end: filled.")
        assert calls(daemon) == ["control:close"]
        page.unroute("**/actions/close")
        choose(pad, "Stop entries")
        page.route("**/actions/stop-entries", lambda route: route.abort())
        pad.locator("#acts-send").click()
        expect(page.locator("#acts-answer")).to_contain_text("Nothing of it is done so far")
        page.unroute("**/actions/stop-entries")
        sent: list[str] = []
        page.on(
            "request", lambda request: sent.append(request.post_data or "") if "/stop-entries" in request.url else None
        )
        pad.locator("#acts-send").click()
        expect(page.locator("#acts-answer")).to_have_text("Done: positions stay and their exits go on.")
        assert calls(daemon) == ["control:close", "control:stop_entries"]
        again = page.evaluate(
            "async (body) => (await (await fetch('/actions/stop-entries', {method: 'POST', body,"
            " headers: {'Content-Type': 'application/json', 'X-Memmcp-Page': '1'}})).json()).effect",
            sent[-1],
        )
        assert again == "positions stay and their exits go on"
        watched.expect_only("ERR_FAILED", "Failed to load resource")


def test_the_sidecar_answers_with_reasons_and_cost_and_its_absence_is_said(browser: Browser, tmp_path: Path) -> None:
    with operated(browser, tmp_path) as (daemon, page, pad, watched):
        pad.get_by_label("Ask the sidecar", exact=True).check()
        pad.get_by_label("Question").fill("Is <b>BONK</b> done?")
        pad.locator("#acts-send").click()
        expect(page.locator("#acts-answer")).to_contain_text("No sidecar is configured")
        daemon.stage.trading.has_sidecar = True
        pad.locator("#acts-send").click()
        expect(page.locator("#acts-answer")).to_have_text("a-model answered.")
        expect(page.locator("#acts-more")).to_contain_text("5 + 1 tokens")
        expect(page.locator("#acts-more .quoted li").first).to_be_visible()
        assert axe_violations(page) == []
        watched.expect_only("503 (Service Unavailable)")


def test_an_agent_is_asked_about_a_memory_and_answers_in_place(browser: Browser, tmp_path: Path) -> None:
    with operated(browser, tmp_path) as (daemon, page, pad, watched):
        pad.get_by_role("button", name="Close").click()
        daemon.remember("BONK fell after the unlock")
        page.locator("#stream a[data-memory]").first.click()
        detail = page.get_by_role("dialog", name="Memory")
        detail.get_by_text("Ask an agent about this").click()
        detail.get_by_label("What is asked").fill("Was it the unlock?")
        detail.get_by_role("button", name="Ask", exact=True).dblclick()
        expect(detail.locator(".watched")).to_contain_text("Any connected agent may take it")
        [task] = httpx2.get(f"{daemon.url}/tasks").json()["tasks"]
        whole = httpx2.get(f"{daemon.url}/tasks/{task['id']}").json()
        assert [each["text"] for each in whole["context"]] == ["BONK fell after the unlock"]
        httpx2.post(f"{daemon.url}/tasks/{task['id']}/claim", json={"agent": "quick"})
        expect(detail.locator(".watched")).to_contain_text("Held by quick")
        httpx2.post(f"{daemon.url}/tasks/{task['id']}/complete", json={"agent": "quick", "text": "<i>Yes</i>."})
        expect(detail.locator(".watched .quoted")).to_have_text("<i>Yes</i>.")
        assert axe_violations(page) == []
        watched.expect_only()


@pytest.mark.requirement("T10")
def test_real_money_is_disarmed_by_one_act_and_armed_on_a_terminal_alone(browser: Browser, tmp_path: Path) -> None:
    environ: dict[str, str] = {}
    approvals = SignerApprovals(environ, tmp_path)
    with operated(browser, tmp_path, approvals=approvals) as (daemon, page, pad, watched):
        signing = tmp_path / "signing"
        with daemon.portal.wrap_async_context_manager(armed_signer(signing)) as signer:
            environ.update(signer.environ)
            (tmp_path / "mandate.toml").write_bytes((signing / "mandate.toml").read_bytes())
            choose(pad, "Disarm real money", "the chain lies")
            expect(page.locator("#acts-live")).to_contain_text("Armed: first")
            pad.locator("#acts-send").click()
            expect(page.locator("#acts-answer")).to_have_text("Done: real money was disarmed.")
            assert signer.core.status()["armed"] is None
            pad.get_by_label("Arm real money", exact=True).check()
            expect(pad.get_by_role("region", name="Commands")).to_contain_text("memmcp-trade live arm --data-dir")
            expect(pad.get_by_label("What the mandate allows")).to_contain_text("Passkey above")
            expect(page.locator("#acts-send")).to_be_hidden()
            assert axe_violations(page) == []
            text = (signing / "mandate.toml").read_bytes()
            daemon.portal.call(signer.core.arm, Passphrase(PASSPHRASE), text, signing / "mandate.toml")
            expect(page.locator("#acts-live")).to_contain_text("Armed: first")
            watched.expect_only()

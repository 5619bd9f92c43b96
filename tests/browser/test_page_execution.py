"""How the desk executes and what running costs, in every state, and with the API's own figures."""

import pytest
from playwright.sync_api import Page, expect
from tests.support import execution_documents as documents
from tests.support.page_server import Stage

from .conftest import Watched
from .test_page import PHONE, axe_violations, go, live, note_of

pytestmark = [pytest.mark.browser, pytest.mark.requirement("D8")]

HOSTILE = "<img src=x onerror=alert(1)> \u202eevil " + "x" * 4_000


def texts(page: Page, selector: str) -> list[str]:
    return page.locator(selector).all_inner_texts()


def test_a_node_on_paper_says_so_and_running_costs_stand_beside_its_result(watched: Watched, stage: Stage) -> None:
    stage.answer("/costs", documents.costs())
    away = documents.endpoint("rpc2.example.com", away_s=44.0, budget_left=0.0)
    stage.answer("/nodes", {"nodes": [documents.node(endpoints=[documents.endpoint("rpc.example.com"), away])]})
    swap = documents.transaction(
        state="simulated_fill", is_simulated=True, attempts=[], signature=None, slippage_against="mark", took_s=300.0
    )
    stage.answer("/transactions", {"transactions": [swap], "next_cursor": None})
    page = live(watched)
    page.keyboard.press("g")
    page.keyboard.press("x")
    expect(page.locator("#panel-nodes")).to_have_attribute("data-state", "ready")
    expect(page.locator(".node-head")).to_contain_text("paper: nothing is sent")
    assert texts(page, "#nodes dt") == ["Heartbeat", "Up since", "Simulated swaps", "Under way", "Success", "Cost"]
    expect(page.locator("#nodes dd").nth(2)).to_have_text("41 done2 failed, 1 expired")
    rows = page.locator("#nodes tbody tr")
    expect(rows.nth(0)).to_contain_text("1.60 ms")
    expect(rows.nth(1)).to_contain_text("simulated")
    expect(rows.nth(1).locator("td").last).to_have_text("10 min")
    expect(page.locator("#wallets tr")).to_contain_text("no address on paper")
    expect(page.locator("#transactions-meta")).to_have_text("paper: simulated, nothing was sent")
    expect(page.locator("#transactions tr")).to_contain_text("none, simulated")
    net = page.locator("#costs-net dd")
    expect(net.nth(0)).to_contain_text("+0.0900 SOL")
    expect(net.nth(0)).to_contain_text("0.0060 SOL of costs on chain are in it")
    expect(net.nth(1)).to_contain_text("4.20 USD at least")
    expect(net.nth(2)).to_contain_text("+0.0620 SOL")
    expect(net.nth(2)).to_contain_text("at most")
    expect(page.locator("#costs-note")).to_contain_text("Without a price: rpc.example.com.")
    day = page.locator("#costs-days tr")
    expect(day).to_contain_text("2026-11-22")
    expect(day).to_contain_text("600 calls, 2 × 429")
    expect(day.locator("td").last).to_have_text("▲ +0.0160 SOL")
    endpoints = page.locator("#costs-endpoints tr")
    expect(endpoints.nth(0)).to_contain_text("3 × 429, 5 failed, 2 withheld")
    expect(endpoints.nth(0).locator("td")).to_have_text(["12 000", "40", "no price"])
    expect(endpoints.nth(1)).to_contain_text("left alone for 44 s")
    assert axe_violations(page) == []
    go(page, "Agents")
    expect(note_of(page, "sidecar")).to_contain_text("TRADING_SIDECAR__URL")
    watched.expect_only()


def test_execution_nodes_are_rows_with_those_in_trouble_first(watched: Watched, stage: Stage) -> None:
    halted = documents.wallet(state="HALTED", problem=HOSTILE, address=documents.ADDRESS)
    others = [
        documents.other_node("left"),
        documents.other_node(HOSTILE, state="silent", state_reason=HOSTILE, heartbeat_age_s=90.0),
        documents.other_node("right", wallets=[halted], latency=[]),
        *(documents.other_node(f"more-{number}") for number in range(60)),
    ]
    stage.answer("/nodes", {"nodes": [documents.node(), *others]})
    page = live(watched)
    go(page, "Execution")
    expect(page.locator("#nodes-meta")).to_have_text("64 nodes")
    expect(page.locator(".node-head")).to_have_count(1)
    rows = page.locator("#nodes table.others tbody tr")
    expect(rows).to_have_count(50)
    expect(page.locator("#nodes")).to_contain_text("and 13 more")
    expect(rows.nth(0)).to_contain_text("silent")
    expect(rows.nth(0)).to_contain_text("1 under way")
    expect(rows.nth(1).locator("td").nth(0)).to_have_text("working1 under way, 1 halted")
    expect(rows.nth(1).locator("td").nth(4)).to_have_text("\u2013")
    expect(rows.nth(2).locator("td").nth(2)).to_have_text("412 failed, 1 expired")
    expect(rows.nth(2).locator("td").nth(3)).to_have_text("400 msp99 2.00 s")
    assert axe_violations(page) == []
    watched.expect_only()


def test_transactions_of_real_money_show_attempts_costs_and_why_some_failed(watched: Watched, stage: Stage) -> None:
    wallets = [documents.wallet(address=documents.ADDRESS, buckets=["momentum"], problem=HOSTILE)]
    node = documents.node(mode="live", not_armed="nothing is armed", is_reconciled=True, wallets=wallets)
    stage.answer("/nodes", {"nodes": [node]})
    failed = documents.transaction(
        2, state="reverted", problem=HOSTILE, reason=HOSTILE, symbol=HOSTILE, sol_lamports=None, failed_lamports=25_000
    )
    newest = {"transactions": [documents.transaction(1), failed], "next_cursor": "7"}
    stage.answer("/transactions", newest)
    page = live(watched)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    go(page, "Execution")
    expect(page.locator(".node-head")).to_contain_text("live: real money")
    expect(page.locator("#nodes p.warn")).to_have_text("buys nothing: nothing is armed")
    rows = page.locator("#transactions tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("Buy BONK")
    expect(rows.first).to_contain_text("1 attempt")
    expect(rows.first).to_contain_text("0.000035 SOL")
    expect(rows.first).to_contain_text("took 2.40 s")
    expect(rows.nth(1)).to_contain_text("failed on chain")
    expect(rows.nth(1)).to_contain_text("<img src=x onerror=alert(1)>")
    assert len(rows.nth(1).inner_text()) < 400
    assert page.locator("#panel-transactions img, #panel-wallets img").count() == 0
    signature = rows.first.get_by_role("button")
    signature.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#announcer")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == documents.SIGNATURE
    page.locator("#wallets").get_by_role("button").click()
    expect(page.locator("#wallets").get_by_role("button")).to_have_text("copied")
    assert page.evaluate("navigator.clipboard.readText()") == documents.ADDRESS
    older = {"transactions": [documents.transaction(3, kind="sweep", side=None)], "next_cursor": None}
    page.route("**/transactions?*cursor=7*", lambda route: route.fulfill(json=older))
    page.get_by_role("button", name="Older transactions").click()
    expect(rows).to_have_count(3)
    expect(page.get_by_role("button", name="Older transactions")).to_be_hidden()
    assert axe_violations(page) == []
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    watched.expect_only()


def test_a_part_that_cannot_be_told_says_why_and_what_was_told_before_stays(watched: Watched, stage: Stage) -> None:
    off = {"error": {"code": "trading_unavailable", "message": "trading is switched off"}}
    page = live(watched)
    page.clock.install()
    go(page, "Execution")
    expect(page.locator("#panel-nodes")).to_have_attribute("data-state", "ready")
    expect(note_of(page, "transactions")).to_have_text("No transaction yet.")
    expect(note_of(page, "costs")).to_have_text("Nobody counts what running costs here.")
    for path in ("/nodes", "/transactions", "/costs"):
        stage.answer(path, off, 503)
    page.clock.run_for(30_000)
    for panel in ("nodes", "wallets", "transactions"):
        expect(page.locator(f"#panel-{panel}")).to_have_attribute("data-state", "stale")
        expect(note_of(page, panel)).to_have_text("Trading is switched off.")
    expect(page.locator("#nodes dd").first).to_contain_text("12 s ago")
    watched.expect_only("503 (Service Unavailable)")


@pytest.mark.requirement("D12", "T14")
def test_the_logs_of_profiles_and_of_the_sidecar_say_what_by_whom_and_what_it_took(
    watched: Watched, stage: Stage
) -> None:
    gates = [{"name": "deflated_sharpe", "passed": False, "note": "too few"}]
    promoted = documents.profile_entry(7, what="parameters", strategy="momentum", by="desk", gates=gates, changes=[])
    first = {"entries": [documents.profile_entry(9, why=HOSTILE, by=HOSTILE), promoted], "next_cursor": "7"}
    stage.answer("/profiles/log", first)
    records = [{"model": "small-model", "kind": "entry", "count": 30, "hit_rate_bps": 5_600, "weight_bps": 1_200}]
    standing = {**documents.OFF, "weight_bps_max": 2_500, "asking": documents.ASKING, "records": records}
    fault = documents.sidecar_entry(
        2, outcome="timeout", is_answered=False, detail="no answer within 3 s", effect=None, score=None
    )
    asked = {"standing": standing, "entries": [documents.sidecar_entry(3, text=HOSTILE), fault], "next_cursor": None}
    stage.answer("/sidecar/log", asked)
    page = live(watched)
    go(page, "Insights")
    entries = page.locator("#profiles > li")
    expect(entries).to_have_count(2)
    expect(entries.first.locator("b")).to_have_text("foundation → acceleration")
    assert len(entries.first.inner_text()) < 1_000
    entries.first.locator("summary").click()
    expect(entries.first.locator(".changes li")).to_have_text("limits.exposure_bps_max: 5000 → 7000")
    expect(entries.nth(1)).to_contain_text("by the desk's own rules")
    expect(entries.nth(1)).to_contain_text("not passed: deflated sharpe")
    page.route("**/profiles/log?*cursor=7*", lambda route: route.abort())
    page.get_by_role("button", name="Older entries").click()
    expect(page.locator("#profiles-problem")).to_have_text("The server cannot be reached.")
    assert axe_violations(page) == []
    go(page, "Agents")
    expect(page.locator("#sidecar-meta")).to_have_text("small-model · asked")
    rows = page.locator("#sidecar-standing dd")
    expect(rows.nth(0)).to_have_text("answered 4, timeout 1")
    expect(rows.nth(2)).to_have_text("95 calls, 90 000 tokens, 1.25 USD")
    expect(rows.last).to_have_text("56 % right of 30, counts 12 %")
    entries = page.locator("#sidecar > li")
    expect(entries.nth(0)).to_contain_text("820 ms · 700 + 120 tokens · 0.0012 USD")
    expect(entries.nth(0)).to_contain_text("right: the price moved +1.30 %")
    expect(entries.nth(1)).to_contain_text("no answer within 3 s")
    assert page.locator("#panel-sidecar img, #panel-profiles img").count() == 0
    assert axe_violations(page) == []
    watched.expect_only("ERR_FAILED")

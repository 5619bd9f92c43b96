"""The heatmap of strategies: the API's own figures, coloured by what the sample carries."""

import re
from typing import Any

import pytest
from playwright.sync_api import expect
from tests.support import page_documents as documents
from tests.support.page_server import Stage, asked

from .conftest import Watched
from .test_page import axe_violations, go, live

pytestmark = [pytest.mark.browser, pytest.mark.requirement("D5")]

HOSTILE = "<b>breakout</b>"


def amount(lamports: int) -> dict[str, Any]:
    return {"lamports": lamports, "sol": str(lamports / 1e9), "usd": None}


def figures(trades: int, low: int | None, mean: int | None, high: int | None) -> dict[str, Any]:
    shown = {"mean_return_bps": mean, "low_bps": low, "high_bps": high, "wins": trades // 2}
    return {"trades": trades, **shown, "confidence": f"{trades} trades"}


def window(days: int, trades: int, low: int | None, mean: int | None, high: int | None) -> dict[str, Any]:
    return {"days": days, **figures(trades, low, mean, high)}


def told(name: str, whole: dict[str, Any], windows: list[dict[str, Any]], *cells: dict[str, Any], **more: Any) -> Any:
    sums = {"realised_lamports": 7_000_000, "win_rate_bps": 5_000}
    return {"name": name, **whole, **sums, "windows": windows, "cells": list(cells)} | more


def strategy(name: str, realised: int, windows: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "momentum",
        "enabled": True,
        "in_tier": True,
        "parameters": {"channel_bars": 288},
        "bucket": name,
        "capital": amount(1_000_000_000),
        "trades": 40,
        "wins": 25,
        "realised": amount(realised),
        "unrealised": amount(0),
        "win_rate_bps": 6_250,
        "last_signal": "2026-11-22T08:00:00Z",
        "lineage": "",
        "stage": "",
        "gates": [],
        "windows": windows,
        "allocation": {"share_bps": 5_000},
    } | more


def stage_strategies(stage: Stage) -> None:
    sure = [window(30, 40, 12, 55, 98), window(7, 20, -30, 60, 150), window(1, 3, None, 90, None)]
    bad = [window(30, 9, -300, -100, 100), window(7, 12, -200, -120, -40), window(1, 0, None, None, None)]
    gates = [
        {"name": "deflated_sharpe", "value": 9_700, "bound": 9_500, "is_floor": True, "passed": True, "note": "n 40"},
        {"name": "overfitting", "value": 4_000, "bound": 2_000, "is_floor": False, "passed": False, "note": "8 blocks"},
        {"name": "holdout_psr", "value": 9_650, "bound": 9_500, "passed": True, "sample": 21, "note": ""},
    ]
    promoted = strategy(HOSTILE, 30_000_000, [], stage="paper", lineage="cand_7", gates=gates)
    stage.answer("/strategies", {"strategies": [promoted, strategy("reversion", -12_000_000, [])]})
    cell = {"regime": "calm/up", "tier": "foundation", **figures(20, 10, 50, 90), "evidence": ["trade-bonk"]}
    whole = [told(HOSTILE, figures(40, 12, 55, 98), sure, cell), told("reversion", figures(21, -90, -50, -10), bad)]
    stage.answer("/strategies/digest", documents.digest(*whole))


def memory(name: str, kind: str, text: str) -> dict[str, Any]:
    about = {"namespace": "strategies/breakout", "agent": "xavier", "ts": "2026-11-22T00:00:00Z", "importance": 50}
    return {"id": name, "url": f"/memory/{name}", "kind": kind, "text": text, "pinned": False, "stale": None, **about}


def behind(**more: Any) -> dict[str, Any]:
    tested = {"gate": "holdout_psr", "confidence_bps": 9_650, "bound_bps": 9_500, "sample": 21, "sample_of": "days"}
    finding = {
        "about": "result",
        "strategy": HOSTILE,
        "regime": "calm/up",
        "tier": "foundation",
        "says": "gains",
        "text": f"{HOSTILE} gains in calm/up",
        "sample": 20,
        "confidence": "20 finished trades: a hint",
        "out_of_sample": {**tested, "passed": True, "note": ""},
        "evidence": ["trade-bonk"],
    }
    trade = {"id": "trade-bonk", "url": "/trajectories/trade-bonk", "title": "Buy <i>BONK</i>", "outcome": "win"}
    return {
        "money": "paper",
        "strategy": HOSTILE,
        "regime": "calm/up",
        "tier": "foundation",
        "since": "1970-01-01T00:00:00Z",
        "until": "2026-11-22T09:00:00Z",
        "figures": {**figures(20, 10, 50, 90), "realised_lamports": 7_000_000},
        "findings": [finding],
        "trades": [{**trade, "reward_lamports": 7_000_000, "closed_at": "2026-11-22T08:30:00Z"}],
        "digests": [memory("dig-1", "digest", "Digest of breakout: 20 trades")],
        "memories": [memory("pro-1", "promotion", "cand_7 was promoted")],
        "namespace": "strategies/breakout",
        "memories_total": 1_234,
    } | more


def test_a_cell_is_coloured_by_its_interval_and_not_by_its_mean(watched: Watched, stage: Stage) -> None:
    stage_strategies(stage)
    page = live(watched)
    go(page, "Strategies")
    rows = page.locator("#strategies-rows tr")
    expect(rows).to_have_count(2)
    expect(page.locator("#strategies-head th.heat")).to_have_text(["Whole run", "Last 30 d", "Last 7 d", "Last 1 d"])
    cells = [[cell.get_attribute("data-verdict") for cell in row.locator("td.heat").all()] for row in rows.all()]
    assert cells == [["gain", "gain", "leans-gain", "open"], ["loss", "open", "loss", "none"]]
    expect(rows.first.locator("td.heat").nth(1)).to_contain_text("+0.55")
    expect(rows.first.locator("td.heat").nth(1)).to_contain_text("n 40")
    expect(rows.first).to_contain_text("25 of 40")
    expect(rows.first.locator("td").nth(3)).to_have_text(re.compile(r"✓ 96\.5\s%21 days, asked 95\s%"))
    expect(rows.nth(1).locator("td").nth(3)).to_have_text("–no candidate")
    expect(page.locator("#strategies-extremes")).to_have_text(
        f"Best realised: {HOSTILE} ▲ +0.0300 SOL. Worst: reversion ▼ −0.0120 SOL."
    )
    saved = page.get_by_role("link", name="CSV: save the strategies over the whole run as a file")
    expect(saved).to_have_attribute("href", "/export/strategies?format=csv")
    assert axe_violations(page) == []
    watched.expect_only()


def test_the_range_of_the_page_is_that_of_the_heatmap(watched: Watched, stage: Stage) -> None:
    stage_strategies(stage)
    page = watched.page
    page.goto(f"{stage.url}/?view=strategies&since=2026-11-01&until=2026-11-09")
    expect(page.locator("#strategies-meta")).to_have_text("2 strategies, 11-01 00:00 to 11-09 00:00 UTC")
    assert asked(stage, "/strategies/digest")[-1] == {
        "since": "2026-11-01T00:00:00.000Z",
        "until": "2026-11-09T00:00:00.000Z",
    }
    week = [window(7, 12, -200, -120, -40), window(1, 0, None, None, None)]
    since = {"window": "range", "since": "2026-11-15T09:00:00Z"}
    range_told = [told(HOSTILE, figures(4, 1, 2, 3), week, counted_since="2026-11-16T00:00:00Z")]
    stage.answer("/strategies/digest", documents.digest(*range_told, **since))
    page.get_by_role("button", name="1 w").click()
    expect(page.locator("#strategies-head th.heat")).to_have_text(["Last 7 days", "Last 7 d", "Last 1 d"])
    # What was realised is of the range; a strategy without a trade in it has none.
    rows = page.locator("#strategies-rows tr")
    expect(rows.first).to_contain_text("2 of 4")
    expect(rows.first).to_contain_text("▲ +0.0070 SOL")
    expect(rows.nth(1)).to_contain_text("0 of 0")
    expect(page.locator("#strategies-cut")).to_have_text(
        f"{HOSTILE}: trades since 11-16 00:00 UTC alone are in the cells."
    )
    assert set(asked(stage, "/strategies/digest")[-1]) == {"since"}
    watched.expect_only()


def test_a_cell_opens_the_findings_trades_digests_and_memories_behind_it(watched: Watched, stage: Stage) -> None:
    stage_strategies(stage)
    stage.answer("/strategies/cell", behind())
    page = live(watched)
    go(page, "Strategies")
    page.get_by_role("button", name="By regime").click()
    expect(page.locator("#strategies-head th.heat")).to_have_text(["calm/up"])
    page.locator("#strategies-rows .cell").first.press("Enter")
    cell = page.locator("#strategy-cell")
    heading = cell.get_by_role("heading", name=f"{HOSTILE}, calm/up, tier foundation, whole run")
    expect(heading).to_be_focused()
    wish = {"strategy": HOSTILE, "regime": "calm/up", "tier": "foundation", "window": "all"}
    expect(cell.locator("dl")).to_contain_text("20, 10 won (50")
    assert asked(stage, "/strategies/cell") == [wish]
    for text in ("▲ +0.0070 SOL", "▲ gains; 20 trades", "+0.10", "96.5", "21 days that no search saw"):
        expect(cell.locator("dl")).to_contain_text(text)
    finding = cell.get_by_role("list", name="Findings").locator("li")
    expect(finding).to_contain_text(f"▲ gainsresult · n 20{HOSTILE} gains in calm/up20 finished trades: a hint")
    expect(cell.get_by_role("list", name="Trades")).to_contain_text("Buy <i>BONK</i>")
    expect(cell.get_by_role("list", name="Digests")).to_contain_text("Digest of breakout: 20 trades")
    expect(cell.get_by_role("list", name="Memories")).to_contain_text("cand_7 was promoted")
    assert axe_violations(page) == []
    finding.get_by_role("link", name="trade 1").click()
    expect(page.get_by_role("dialog", name="Trajectory")).to_be_visible()
    page.keyboard.press("Escape")
    # It asks again for another cell, and the same one closes it and has the focus back.
    stage.answer("/strategies/cell", {"error": {"code": "invalid_input", "message": "strategy: gone"}}, 422)
    page.get_by_role("button", name="By window").click()
    page.locator("#strategies-rows .cell").nth(1).click()
    expect(cell.get_by_role("alert")).to_have_text("Cannot show it: Strategy: gone.")
    assert asked(stage, "/strategies/cell")[-1] == {"strategy": HOSTILE, "window": "30d"}
    # Without trades or memories there are words for it.
    nothing = {"figures": None, "findings": [], "trades": [], "digests": [], "memories": [], "memories_total": 0}
    stage.answer("/strategies/cell", behind(**nothing))
    page.locator("#strategies-rows .cell").nth(2).click()
    expect(cell).to_contain_text("none in this time")
    expect(cell).to_contain_text("Nothing can be said of no trade.")
    expect(cell).to_contain_text("No digest was written in this time.")
    cell.get_by_role("button", name="Close").click()
    expect(cell).to_be_hidden()
    expect(page.locator("#strategies-rows .cell").nth(2)).to_be_focused()
    watched.expect_only("422 (Unprocessable")


def test_a_strategy_opens_its_gates_and_the_memories_and_trades_behind_it(watched: Watched, stage: Stage) -> None:
    stage_strategies(stage)
    page = live(watched)
    go(page, "Strategies")
    page.get_by_role("button", name=HOSTILE).click()
    detail = page.locator("#strategy-detail")
    expect(detail).to_contain_text("candidate cand_7")
    expect(detail.locator("tbody tr")).to_contain_text(["✓ passed", "✗ not passed", "✓ passed"])
    expect(detail.locator("tbody tr").nth(1)).to_contain_text("at most 2000")
    detail.get_by_role("link", name="trade 1").click()
    expect(page.get_by_role("dialog", name="Trajectory")).to_be_visible()
    page.keyboard.press("Escape")
    stage.answer("/memory/search", {"hits": [], "index": "ready", "backlog": 0, "note": None, "next_cursor": None})
    detail.get_by_role("link", name="digests").click()
    expect(page.locator("#browser-kinds")).to_have_value("digest")
    expect(page.locator("#browser-q")).to_have_value(HOSTILE)
    watched.expect_only()

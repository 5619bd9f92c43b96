"""The heatmap of strategies: the API's own figures, coloured by what the sample carries."""

from typing import Any

import pytest
from playwright.sync_api import expect
from tests.support.page_server import Stage

from .conftest import Watched
from .test_page import axe_violations, go, live

pytestmark = [pytest.mark.browser, pytest.mark.requirement("D5")]

HOSTILE = "<b>breakout</b>"


def amount(lamports: int) -> dict[str, Any]:
    return {"lamports": lamports, "sol": str(lamports / 1e9), "usd": None}


def window(days: int, trades: int, low: int | None, mean: int | None, high: int | None) -> dict[str, Any]:
    figures = {"mean_return_bps": mean, "low_bps": low, "high_bps": high}
    return {"days": days, "trades": trades, **figures, "confidence": f"{trades} trades"}


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
    sure = [window(1, 3, None, 90, None), window(7, 20, -30, 60, 150), window(30, 40, 12, 55, 98)]
    bad = [window(1, 0, None, None, None), window(7, 12, -200, -120, -40), window(30, 9, -300, -100, 100)]
    gates = [
        {"name": "deflated_sharpe", "value": 0.97, "bound": 0.95, "is_floor": True, "passed": True, "note": "n 40"},
        {"name": "overfitting", "value": 0.4, "bound": 0.2, "is_floor": False, "passed": False, "note": "8 blocks"},
    ]
    promoted = strategy(HOSTILE, 30_000_000, sure, stage="paper", lineage="cand_7", gates=gates)
    stage.answer("/strategies", {"strategies": [promoted, strategy("reversion", -12_000_000, bad)]})
    cell = {"regime": "calm/up", "tier": "foundation", **window(0, 20, 10, 50, 90), "evidence": ["trade-bonk"]}
    stage.answer(
        "/strategies/digest",
        {"window": "30d", "strategies": [{"name": HOSTILE, "cells": [cell]}, {"name": "reversion", "cells": []}]},
    )


def test_a_cell_is_coloured_by_its_interval_and_not_by_its_mean(watched: Watched, stage: Stage) -> None:
    stage_strategies(stage)
    page = live(watched)
    go(page, "Strategies")
    rows = page.locator("#strategies-rows tr")
    expect(rows).to_have_count(2)
    cells = [[cell.get_attribute("data-verdict") for cell in row.locator("td.heat").all()] for row in rows.all()]
    assert cells == [["open", "leans-gain", "gain"], ["none", "loss", "open"]]
    expect(rows.first.locator("td.heat").nth(2)).to_contain_text("+0.55")
    expect(rows.first.locator("td.heat").nth(2)).to_contain_text("n 40")
    expect(rows.first).to_contain_text("25 of 40")
    expect(page.locator("#strategies-extremes")).to_have_text(
        f"Best realised: {HOSTILE} ▲ +0.0300 SOL. Worst: reversion ▼ −0.0120 SOL."
    )
    assert axe_violations(page) == []
    watched.expect_only()


def test_a_strategy_opens_its_gates_and_the_memories_and_trades_behind_it(watched: Watched, stage: Stage) -> None:
    stage_strategies(stage)
    page = live(watched)
    go(page, "Strategies")
    page.get_by_role("button", name=HOSTILE).click()
    detail = page.locator("#strategy-detail")
    expect(detail).to_contain_text("candidate cand_7")
    expect(detail.locator("tbody tr")).to_contain_text(["✓ passed", "✗ not passed"])
    expect(detail.locator("tbody tr").nth(1)).to_contain_text("at most 0.2")
    page.get_by_role("button", name="By regime").click()
    expect(page.locator("#strategies-head")).to_contain_text("calm/up")
    detail.get_by_role("link", name="trade 1").click()
    expect(page.get_by_role("dialog", name="Trajectory")).to_be_visible()
    page.keyboard.press("Escape")
    stage.answer("/memory/search", {"hits": [], "index": "ready", "backlog": 0, "note": None, "next_cursor": None})
    detail.get_by_role("link", name="digests").click()
    expect(page.locator("#browser-kinds")).to_have_value("digest")
    expect(page.locator("#browser-q")).to_have_value(HOSTILE)
    watched.expect_only()

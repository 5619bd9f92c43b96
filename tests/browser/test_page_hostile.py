"""Texts that nobody means well by, through every part of the page: shown as they are written, and nothing runs.

First over canned answers that hold them in every field that is a text, so that no panel is left out; then over the real
application, through the doors by which such texts come in.
"""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, Dialog, Page, expect
from tests.doubles import trading_desk
from tests.support import execution_documents as execution
from tests.support import page_documents as documents
from tests.support import page_path
from tests.support.page_server import Stage, sse
from tests.support.stage import OPERATOR_TOKEN

from memmcp_server.domain.alert import Reading, Sample, labels_of

from .conftest import Watched
from .test_page import PHONE, go, live
from .test_page_app import Daemon, running, watching
from .test_page_strategies import behind, stage_strategies

pytestmark = [pytest.mark.browser, pytest.mark.requirement("O5")]

JSON = {"Content-Type": "application/json"}
MARK = "hostile"
TEXT = (
    f"{MARK}<img src=x onerror=window.ran=1><script>window.ran=2</script><svg onload=window.ran=3>"
    "<a href='javascript:window.ran=4'>x</a>\"'><iframe srcdoc='<script>parent.ran=5</script>'></iframe>"
    "\u202egnihsihp\u2066\u200b\ufeff \u05e9\u05dc\u05d5\u05dd \U0001f468\u200d\U0001f469\u200d\U0001f467 "
    "a\x00b \ud800 {{7*7}}"
)
LONG = f"{TEXT} {'w' * 100_000}"
DECIMALS = {
    *("sol_usd", "sol", "usd", "amount", "price_sol", "average_price_sol", "mark_price_sol"),
    *("open", "high", "low", "close", "volume"),
}
"""Fields that hold figures as texts."""
FIXED = {
    *("money", "state", "severity", "unit", "side", "reward_unit", "outcome", "role", "zone"),
    *("ts", "since", "until", "last", "newest", "opened_at", "closed_at", "raised_at", "expires_at", "asked_at"),
    *("last_event", "next_evaluation", "last_signal", "lease_until", "counted_since"),
    *("mode", "basis"),
    *DECIMALS,
}
"""Fields that are words of ours, times or figures: the page reads them, and does not take others."""
KEYED = {"denials", "parameters", "connected", "metadata", "passed_over", "denied", "failed", "outcomes"}
VIEWS = ("Desk", "Trades", "Strategies", "Memory", "Insights", "Risk", "Execution", "Agents", "System")
POISON = (
    "window.ran = 0; window.violations = []; document.addEventListener('securitypolicyviolation', "
    "(event) => window.violations.push(event.violatedDirective));"
)
MARKUP = "img, script:not([src]), iframe, svg[onload], a[href^='javascript:' i], object, embed, form[action]"


def poisoned(value: Any, text: str = TEXT, name: str = "") -> Any:
    """Return the document with the text in each field that may hold any; names of dictionaries of ours are kept."""
    if isinstance(value, dict):
        keyed = name in {
            "denials",
            "parameters",
            "connected",
            "metadata",
            "passed_over",
            "denied",
            "failed",
            "outcomes",
        }
        renamed = {f"{text[:60]} {key}" if keyed and key != "page" else key: each for key, each in value.items()}
        return {key: poisoned(each, text, key) for key, each in renamed.items()}
    if isinstance(value, list):
        return [poisoned(each, text, name) for each in value]
    if not isinstance(value, str) or name in FIXED or (name == "kind" and value == "synthetic"):
        return value
    if name == "mint":
        return text[:200]  # asked for in an address, which a server takes up to some length
    return text if name != "id" else f"{value} {text[:200]}"


def a_task() -> dict[str, Any]:
    times = {"lease_until": None, "claimed_by": "somebody", "result_id": "r1", "note": "a note"}
    return {"id": "t1", "kind": "review", "title": "a title", "state": "done", "overdue": False, **times}


def an_alert() -> dict[str, Any]:
    said = dict.fromkeys(
        ("rule", "title", "text", "advice", "reads", "acknowledged_by", "trajectory_id", "runbook"), "x"
    )
    figures = {"silenced": False, "escalation": 0, "count": 2}
    stands = {"severity": "critical", "state": "acknowledged", "raised_at": documents.START.isoformat()}
    return {"id": "a1", **said, **figures, **stands}


def an_approval() -> dict[str, Any]:
    names = ("intent_id", "wallet", "in_mint", "out_mint", "amount_in", "min_out", "fee_lamports_max", "reason")
    times = {"asked_at": documents.START.isoformat(), "expires_at": documents.START.isoformat()}
    return {"id": "p1", "state": "awaiting_operator", **times, **dict.fromkeys(names, "x")}


def a_hit() -> dict[str, Any]:
    names = ("content", "why", "kind", "namespace", "agent", "trust", "trajectory_id", "url")
    return {"id": "m1", "score": 0.5, "tags": ["tag"], "ts": documents.START.isoformat(), **dict.fromkeys(names, "x")}


def a_brief() -> dict[str, Any]:
    names = ("kind", "namespace", "agent", "text")
    return {"id": "m1", "ts": documents.START.isoformat(), "stale": ["x"], "pinned": True, **dict.fromkeys(names, "x")}


def executed() -> dict[str, Any]:
    """Rows for each panel of the part Execution, and for the logs."""
    wallet = execution.wallet(address=execution.ADDRESS, buckets=["x", "y"], problem="x")
    endpoint = execution.endpoint("x", failed={"x": 2}, away_s=44.0)
    node = execution.node(state_reason="x", not_armed="x", wallets=[wallet], endpoints=[endpoint])
    live = execution.node(id="n2", mode="live", is_reconciled=False, wallets=[wallet])
    failed = execution.transaction(2, state="reverted", problem="x", side=None, trajectory_id=None)
    records = [{"model": "x", "kind": "x", "count": 30, "hit_rate_bps": 5_600, "weight_bps": 1_200}]
    standing = {**execution.OFF, "asking": execution.ASKING, "records": records}
    gates = [{"name": "x", "passed": False, "note": "x"}]
    return {
        "/nodes": {"nodes": [node, live]},
        "/transactions": {"transactions": [execution.transaction(1), failed], "next_cursor": "x"},
        "/costs": execution.costs(),
        "/profiles/log": {"entries": [execution.profile_entry(1, gates=gates)], "next_cursor": "x"},
        "/sidecar/log": {"standing": standing, "entries": [execution.sidecar_entry(1)], "next_cursor": "x"},
    }


def stage_hostile(stage: Stage, text: str) -> None:
    """Put the text into everything that the page asks for."""
    stage_strategies(stage)
    share = {"name": "x", "label": "x", "lamports": 5, "share_bps": 700}
    shares = {f"by_{by}": [share] for by in ("token", "strategy", "bucket", "tier", "group")}
    cell = behind(
        figures=None, trades=[{"id": "t", "title": "x", "outcome": "x", "reward_lamports": 5, "closed_at": None}]
    )
    sums = {"desks": 3, "stale": 1, "with_equity": 1, "equity_lamports": 5, "with_exposure": 1, "exposure_lamports": 2}
    desk_totals = {"own": {"money": "x", **sums}, "outside": [{"money": "x", **sums}]}
    figures = {"equity_lamports": 5, "exposure_lamports": 2, "exposure_bps": 4_000, "drawdown_bps": 1, "age_s": 7.0}
    desk = {"desk_id": "x", "is_own": False, "ts": documents.START.isoformat(), "stale": True, "state": "x"}
    agents = {"connected": 1, "callers": 2, "calls": 3, "writers": 4, "writers_left_out": True, "memories": 5}
    nodes = {"nodes": 2, "working": 1, "success": 5, "failed": 6, "expired": 7}
    caller = {"agent": "x", "transport": "x", "calls": 1, "last_tool": "x", "last": documents.START.isoformat()}
    memory = {**a_hit(), "version": 1, "metadata": {"k": "v"}, "links": [], "pinned": False, "history": 1}
    answers: dict[str, Any] = {
        "/alerts": {
            "severity": "critical",
            "alerts": [an_alert()],
            "notices": [],
            "silences": [{"rule": "x", "until": documents.START.isoformat(), "by": "x"}],
        },
        "/approvals": {
            "is_available": True,
            "approvals": [an_approval()],
            "passkeys": [{"fingerprint": "x", "label": "x"}],
            "origins": ["x"],
            "is_armed": False,
            "why_not": "x",
        },
        "/tasks": {"tasks": [a_task()], "next_cursor": None},
        "/clients": {"connected": {"page": 1, "stdio": 2}, "callers": [caller]},
        "/memory/summary": {"counts": [{"name": "x", "count": 5, "newest": documents.START.isoformat()}]},
        "/insights": {
            "warnings": [{"about": "x", "text": "x", "next": "x"}],
            "warnings_left_out": 0,
            "lessons": [a_brief()],
            "lessons_total": 1,
            "digests": [a_brief()],
            "findings": cell["findings"],
            "confidence": "x",
            "totals": {"desks": desk_totals, "nodes": nodes, "agents": agents},
        },
        "/telemetry/desks": {"desks": [{**desk, "money": None, **figures}], "left_out": 1, "totals": desk_totals},
        "/strategies/cell": cell | {"digests": [a_brief()], "memories": [a_brief()]},
        "/risk": {"exposure_bps": 900, "exposure_map": shares},
        "/why": documents.chain(),
        "/candles": documents.candles(),
        "/projection": page_path.projection(),
        **executed(),
        "/night": documents.night(),
        "/strategies": stage.answers["/strategies"][1],
        "/memory/search": {"hits": [a_hit()], "index": "ready", "backlog": 0, "note": "x", "next_cursor": None},
        "/telemetry/trading/trades": documents.trades(4),
        "/telemetry/trading": documents.snapshot(),
    }
    asked = {path: document for path, (_, document) in stage.answers.items()}
    for path, document in {**asked, **answers}.items():
        stage.answer(path, poisoned(document, text))
    stage.answer("/tasks/t1", poisoned({**a_task(), "result": {"text": "x"}}, text))
    for path in ("/memory/m1", f"/memory/m1 {text[:200]}"):
        stage.answer(path, poisoned(memory, text))
    stage.answer(f"/tasks/t1 {text[:200]}", poisoned({**a_task(), "result": {"text": "x"}}, text))
    queue = {"pending": 1, "oldest_s": 1.0, "dead": 2, "delivered": 3}
    notes = [documents.memory(5_200 + number, "x") for number in (1, 2)]
    stage.greeting = [
        sse("trading", poisoned(documents.snapshot(state_reason="x"), text)),
        sse("metrics", poisoned(documents.metrics(queues={"q": queue}), text)),
        *(sse("memory", poisoned(note, text), note["seq"]) for note in notes),
    ]


class Guarded:
    """A page on which anything that ran is found: a dialog, a flag, an element that is no text, a violation."""

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self.dialogs: list[str] = []
        watched.page.add_init_script(POISON)
        watched.page.on("dialog", self._on_dialog)

    def _on_dialog(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def expect_nothing_ran(self, *allowed: str) -> None:
        page = self.watched.page
        assert self.dialogs == []
        assert page.evaluate("[window.ran, window.violations]") == [0, []]
        assert page.locator(MARKUP).count() == 0
        self.watched.expect_only(*allowed)


def expect_held(page: Page) -> None:
    """Nothing pushes the page aside, and no text could pass for another by hidden or turned characters."""
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), page.url
    shown = page.evaluate("document.body.innerText")
    assert not re.search("[\u200b-\u200c\u202a-\u202e\u2066-\u2069\ufeff\x00]", shown)


@pytest.mark.parametrize(
    ("viewport", "text"),
    [({"width": 1440, "height": 1000}, TEXT), (PHONE, LONG)],
    ids=["markup on a desktop", "long texts on a phone"],
)
class TestCanned:
    @pytest.fixture
    def context_options(self, viewport: dict[str, int]) -> dict[str, Any]:
        return {"viewport": viewport, "color_scheme": "light", "reduced_motion": "reduce"}

    def test_every_part_shows_hostile_texts_as_texts(self, watched: Watched, stage: Stage, text: str) -> None:
        stage_hostile(stage, text)
        guarded = Guarded(watched)
        page = live(watched)
        expect(page.locator("#stream li")).to_have_count(2)
        for view in VIEWS:
            go(page, view)
            if view == "Strategies" and text == TEXT:  # a longer name is none that a server is asked for
                page.locator("#strategies-rows .cell").first.click()
                expect(page.locator("#strategy-cell li").first).to_contain_text(f"{MARK}<img src=x")
            if view in MARKED:
                expect(page.locator(f".view[data-view={view.lower()}]")).to_contain_text(f"{MARK}<img src=x")
            for rows in ROWS.get(view, ()):
                expect(page.locator(f"#{rows} tr").first).to_contain_text(f"{MARK}<img src=x")
            expect_held(page)
        guarded.expect_nothing_ran()


MARKED = {"Desk", "Trades", "Strategies", "Insights", "Risk", "Execution", "Agents", "System"}
"""Parts that show such a text by themselves; the others are asked for something first."""


ROWS = {
    "Trades": ("candles-trades", "trade-list"),
    "Risk": ("desks",),
    "Execution": ("transactions", "wallets", "costs-endpoints"),
}
"""Tables that hold such texts, by the part that they are in."""
ODD = (-(2**63), 2**63, 1e300, -0.5, 0)


def odd(value: Any, numbers: Iterator[float | None], name: str = "") -> Any:
    """Return the document with each figure another one, of which no desk would dream, and texts for those in words."""
    if isinstance(value, dict):
        kept = {"schema_version", "seq", "id"}
        return {key: each if key in kept else odd(each, numbers, key) for key, each in value.items()}
    if isinstance(value, list):
        return [odd(each, numbers, name) for each in value]
    if isinstance(value, str) and name in DECIMALS:
        return f"{TEXT} {'9' * 5_000}"
    return next(numbers) if isinstance(value, int | float) and not isinstance(value, bool) else value


@pytest.mark.parametrize("numbers", [ODD, (None,)], ids=["far too large", "none at all"])
class TestOddFigures:
    @pytest.fixture
    def context_options(self) -> dict[str, Any]:
        return {"viewport": PHONE, "color_scheme": "dark", "reduced_motion": "reduce"}

    def test_no_part_breaks(self, watched: Watched, stage: Stage, numbers: tuple[float | None, ...]) -> None:
        stage_hostile(stage, "x")
        endless = itertools.cycle(numbers)
        for path, (_, document) in list(stage.answers.items()):
            stage.answer(path, odd(document, endless))
        if None not in numbers:
            snapshot, figures = documents.snapshot(), documents.metrics()
            stage.greeting = [sse("trading", odd(snapshot, endless)), sse("metrics", odd(figures, endless))]
        guarded = Guarded(watched)
        page = watched.open()
        expect(page.locator("#connection")).to_have_attribute("data-state", "open")
        for view in VIEWS:
            go(page, view)
            expect(page.locator(f".view[data-view={view.lower()}] .panel[data-state=loading]:visible")).to_have_count(0)
            if view == "Strategies" and None not in numbers:
                page.locator("#strategies-rows .cell").first.click()
                expect(page.locator("#strategy-cell dd").first).to_be_visible()
            for rows in ROWS.get(view, ()):
                if None in numbers:
                    expect(page.locator(f".panel:has(#{rows}) > .note")).to_contain_text("should be number, got null")
                else:
                    expect(page.locator(f"#{rows} tr").first).to_be_attached()
            expect_held(page)
        expect(page.locator("#banner")).to_be_hidden()
        guarded.expect_nothing_ran()


def test_details_and_a_search_show_hostile_texts_as_texts(watched: Watched, stage: Stage) -> None:
    stage_hostile(stage, TEXT)
    guarded = Guarded(watched)
    page = live(watched)
    page.goto(f"{stage.url}/?view=memory&q={MARK}%3Cimg%20src%3Dx%20onerror%3Dwindow.ran%3D1%3E")
    expect(page.locator("#browser-hits li")).to_contain_text(f"{MARK}<img src=x")
    expect(page.locator("#browser-q")).to_have_value(re.compile("onerror=window.ran"))
    expect_held(page)
    page.locator("#browser-hits").get_by_role("link", name="open").first.click()
    dialog = page.get_by_role("dialog", name="Memory")
    expect(dialog.locator(".quoted")).to_contain_text(f"{MARK}<img src=x")
    expect_held(page)
    page.keyboard.press("Escape")
    guarded.expect_nothing_ran()


def test_an_error_that_quotes_a_hostile_text_is_a_text(watched: Watched, stage: Stage) -> None:
    error = {"error": {"code": TEXT[:60], "message": TEXT, "hint": TEXT, "field": TEXT}}
    for path in list(stage.answers):
        stage.answer(path, error, 503)
    stage.greeting = [
        sse("trading", {"schema_version": TEXT}),
        sse(TEXT.replace("\ud800", ""), {}),
        sse("metrics", {"x": TEXT}),
    ]
    guarded = Guarded(watched)
    page = watched.open()
    expect(page.locator("#connection")).to_have_attribute("data-state", "open")
    for view in VIEWS:
        go(page, view)
        if view == "Agents":  # only a part that is looked at asks, and draws what it was answered
            expect(page.locator("#panel-agents > .note")).to_contain_text("<img src=x")
        expect_held(page)
    guarded.expect_nothing_ran("503 (Service Unavailable)")


@pytest.fixture
def _hostile_desk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A desk whose token is called as a stranger named it."""
    symbol = f"{MARK}<img src=x onerror=window.ran=1>\u202e\u200b"
    monkeypatch.setattr(trading_desk, "SYMBOL", symbol)


def pour(daemon: Daemon, http: httpx2.Client) -> str:
    """Send hostile texts in by every real door that takes some; return the id of a memory."""
    text = TEXT.replace("\x00", "").replace("\ud800", "")
    agent = f"{MARK}<b onmouseover=window.ran=6>agent"
    for content in ("a\x00b", "\ud800"):
        refused = http.post("/memory/write", content=json.dumps({"content": content}), headers=JSON)
        assert (refused.status_code, refused.json()["error"]["field"]) == (422, "content")
    too_long = http.post("/memory/write", json={"content": text + "w" * 100_000})
    assert too_long.status_code == 413
    body = {"content": text, "agent": agent, "tags": [f"{MARK}<i>"], "metadata": {text[:100]: text}, "kind": "lesson"}
    written = http.post("/memory/write", json=body)
    assert written.status_code == 201, written.text
    filed = http.post("/tasks", json={"title": text[:200], "kind": "review_loss", "text": text})
    assert filed.status_code == 201, filed.text
    report = {"desk_id": "outside-1", "key": "k", "ts": "2026-03-01T00:00:00Z", "money": "paper", "equity_lamports": 5}
    assert http.post("/telemetry/trading", json={**report, "strategies": [{"name": text}]}).status_code in (201, 422)
    operator = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    stopped = http.post("/actions/reduce-only", json={"reason": text}, headers=operator)
    assert stopped.status_code in (200, 422), stopped.text
    labels = labels_of({"limit": "drawdown_bps", "scope": "account"})
    alerts = daemon.stage.services.alerts
    assert alerts is not None
    reading = Reading("drawdown_used_bps", 11_000, labels, text, "trade-7")
    daemon.portal.call(alerts.take, Sample((reading,), frozenset({"drawdown_used_bps"})))
    journal = daemon.stage.services.journal

    async def given_up() -> None:
        due = await journal.outbox_due("qdrant", now_ns=daemon.stage.services.clock.now_ns(), limit=9)
        await journal.outbox_failed([each.id for each in due], error=text, retry_at_ns=None)

    daemon.portal.call(given_up)
    return str(written.json()["id"])


@pytest.mark.usefixtures("_hostile_desk")
def test_what_comes_in_by_the_real_doors_is_shown_as_a_text_everywhere(browser: Browser, tmp_path: Path) -> None:
    with (
        running(tmp_path) as daemon,
        watching(browser, daemon.url) as watched,
        httpx2.Client(base_url=daemon.url, timeout=30) as http,
    ):
        daemon.portal.call(daemon.stage.trading._fill, "buy", 500_000_000, 50_000_000, TEXT.replace("\ud800", ""))
        pour(daemon, http)
        guarded = Guarded(watched)
        page = watched.open()
        page.locator("#who-button").click()
        page.get_by_label("Code or token").fill(OPERATOR_TOKEN)
        page.keyboard.press("Enter")
        expect(page.locator("#who-text")).to_have_text("operator")
        expect(page.locator("#stream li").first).to_contain_text(MARK)
        expect(page.locator("#positions tr")).to_contain_text(f"{MARK}<img src=x")
        expect(page.locator("#trades tr")).to_contain_text(MARK)
        expect(page.locator("#alerts li")).to_contain_text(f"{MARK}<img src=x")
        places = {"Insights": "#insights-lessons", "Agents": "#tasks", "System": "#dead-rows"}
        for view in VIEWS:
            go(page, view)
            if view in places:
                expect(page.locator(places[view])).to_contain_text(f"{MARK}<img src=x")
            expect_held(page)
        page.goto(f"{daemon.url}/?view=memory&q={MARK}")
        page.locator("#browser-hits").get_by_role("link", name="open").first.click()
        expect(page.get_by_role("dialog", name="Memory").locator(".quoted")).to_contain_text(f"{MARK}<img src=x")
        expect_held(page)
        guarded.expect_nothing_ran()

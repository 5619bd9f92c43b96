"""GET /metrics as Prometheus reads it: figures move when things happen, and come also when parts are down."""

import re
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client import Client
from mcp_types import Implementation
from pydantic import SecretStr
from tests.support.figures import OPENMETRICS, Scraped, scraped
from tests.support.stage import OPERATOR_TOKEN, Stage, staged
from tests.support.tracing import telling, to_langfuse

from memmcp_server.config import HttpSection, MetricsSection, QuotasSection
from memmcp_server.domain.alert import Reading, Sample
from memmcp_server.domain.meters import SERIES_MAX
from memmcp_server.domain.tracing.spans import Span
from memmcp_server.errors import JournalBusy
from memmcp_server.services.meters import Meters
from memmcp_server.services.scrape import Scrape

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("O1")]

BASE_UNITS = ("_seconds", "_bytes", "_ratio", "_lamports", "_usd", "_slots", "_calls", "_info")
COUNTED = ("_pending", "_dead", "_state", "_up", "_clients", "_points", "_seq", "_rounds", "_firing")
SAYS = ("_allowed", "_stale", "_resting", "_armed", "_reconciled", "_halted", "_unfinished")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as opened:
        yield opened


def agent_of(stage: Stage) -> Client:
    return Client(stage.mcp, client_info=Implementation(name="cursor", version="1"), mode="legacy")


@pytest.mark.parametrize(("accept", "begins"), [("", "text/plain"), (OPENMETRICS, "application/openmetrics-text")])
async def test_both_formats_parse_and_say_the_same(stage: Stage, accept: str, begins: str) -> None:
    told = await scraped(stage.http, accept)
    assert told.content_type.startswith(begins)
    assert told.value("memmcp_part_up", part="journal") == 1
    assert told.value("memmcp_trading_equity_lamports") == stage.trading.equity_lamports
    assert told.samples("process_resident_memory_bytes")
    [build] = told.samples("memmcp_build_info")
    assert build.labels["version"]


async def test_names_units_and_help_follow_the_conventions(stage: Stage) -> None:
    async with agent_of(stage) as agent:
        await agent.call_tool("memory_search", {"query": "anything"})
    for family in (await scraped(stage.http)).families.values():
        if not family.name.startswith("memmcp_"):
            continue
        assert re.fullmatch(r"[a-z][a-z0-9_]*[a-z0-9]", family.name)
        assert family.documentation.endswith("."), family.name
        names = {sample.name for sample in family.samples}
        if family.type == "counter":
            assert names <= {f"{family.name}_total"}, names
        else:
            assert family.name.endswith((*BASE_UNITS, *COUNTED, *SAYS)), family.name
            assert not family.name.endswith("_total")
        assert not re.search(r"_(ms|milliseconds|bps|percent|sol)(_|$)", family.name)


async def test_a_tool_call_counts_by_tool_and_outcome_and_is_timed(stage: Stage) -> None:
    async with agent_of(stage) as agent:
        await agent.call_tool("memory_write", {"content": "one"})
        await agent.call_tool("memory_write", {"content": "two"})
        await agent.call_tool("memory_write", {"content": ""})
        await agent.call_tool("no_such_tool", {})
    told = await scraped(stage.http)
    assert told.value("memmcp_tool_calls_total", tool="memory_write", outcome="ok") == 2
    assert told.value("memmcp_tool_calls_total", tool="memory_write", outcome="invalid_input") == 1
    assert told.value("memmcp_tool_calls_total", tool="no_such_tool") == 0
    assert told.value("memmcp_tool_call_duration_seconds_count", tool="memory_write") == 3
    assert told.value("memmcp_tool_call_duration_seconds_bucket", tool="memory_write", le="+Inf") == 3
    assert told.value("memmcp_tool_call_duration_seconds_sum", tool="memory_write") > 0
    assert told.value("memmcp_memory_operation_duration_seconds_count", operation="write") == 2


async def test_requests_are_counted_by_the_template_of_their_route(stage: Stage) -> None:
    for number in range(3):
        await stage.http.get(f"/memory/unknown-{number}")
    await stage.http.get("/memory/search?query=x")
    await stage.http.get("/no/such/page")
    await stage.http.request("BREW", "/health")
    told = await scraped(stage.http)
    assert told.value("memmcp_http_requests_total", method="GET", route="/memory/{id}", status="4xx") == 3
    assert told.value("memmcp_http_requests_total", route="/memory/search", status="2xx") == 1
    assert told.value("memmcp_http_requests_total", route="none", status="4xx") == 1
    assert told.value("memmcp_http_requests_total", method="other") == 1
    assert told.value("memmcp_http_request_duration_seconds_count", route="/memory/{id}") == 3
    assert told.value("memmcp_memory_operation_duration_seconds_count", operation="search") == 1


async def test_a_request_that_fails_in_a_way_nobody_foresaw_is_a_5xx(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(stage.services.memories, "details", breaks)
    with pytest.raises(ZeroDivisionError):  # the transport of the test hands it on; a server answers
        await stage.http.get("/memory/unknown")
    told = await scraped(stage.http)
    assert told.value("memmcp_http_requests_total", route="/memory/{id}", status="5xx") == 1


async def test_what_waits_for_a_sink_is_told_with_its_age(stage: Stage) -> None:
    await stage.http.post("/memory/write", json={"content": "one"})
    await anyio.sleep(0.01)
    told = await scraped(stage.http)
    assert told.value("memmcp_outbox_pending", sink="qdrant") == 1
    assert 0 < told.value("memmcp_outbox_oldest_age_seconds", sink="qdrant") < 60
    assert told.value("memmcp_outbox_relay_state", sink="qdrant", state="idle") == 1
    assert told.value("memmcp_journal_seq") >= 1
    assert told.value("memmcp_file_size_bytes", file="journal") > 0
    assert told.value("memmcp_disk_free_bytes") > 0


async def test_an_agent_that_has_used_up_its_minute_is_counted(tmp_path: Path) -> None:
    quotas = QuotasSection(reads_per_minute_max=1, writes_per_minute_max=0, orders_per_minute_max=0)
    async with staged(tmp_path, quotas=quotas) as stage, agent_of(stage) as agent:
        for _ in range(3):
            await agent.call_tool("memory_search", {"query": "x"})
        told = await scraped(stage.http)
    assert told.value("memmcp_quota_refusals_total", kind="reads") == 2
    assert told.value("memmcp_tool_calls_total", tool="memory_search", outcome="too_many_calls") == 2


async def test_the_desk_s_figures_move_with_its_cycles(stage: Stage) -> None:
    before = await scraped(stage.http)
    stage.trading.advance(3)
    stage.trading.state = "REDUCING"
    after = await scraped(stage.http)
    assert after.value("memmcp_trading_cycles_total") == before.value("memmcp_trading_cycles_total") + 3
    assert after.value("memmcp_trading_state", state="ACTIVE") == 0
    assert after.value("memmcp_trading_state", state="REDUCING") == 1


@pytest.mark.requirement("Q4")
async def test_a_part_that_is_down_or_stuck_is_told_as_such_and_the_rest_comes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stuck() -> dict[str, Any]:
        await anyio.sleep_forever()
        raise AssertionError

    async def busy() -> int:
        msg = "locked"
        raise JournalBusy(msg)

    stage.trading.away = "the feed is gone"
    monkeypatch.setattr(stage.services.journal, "outbox_stats", stuck)
    monkeypatch.setattr(stage.services.journal, "horizon", busy)
    with anyio.fail_after(30):
        told = await scraped(stage.http)
    up = {sample.labels["part"]: sample.value for sample in told.samples("memmcp_part_up")}
    assert up == {"journal": 0, "outbox": 0, "index": 1, "trading": 0}
    assert told.samples("memmcp_http_requests_total") == []
    assert told.samples("memmcp_event_loop_lag_seconds")
    assert not told.samples("memmcp_trading_equity_lamports")


@pytest.mark.requirement("O4")
async def test_alerts_that_fire_are_told_by_rule_until_they_are_silenced(stage: Stage) -> None:
    alerts = stage.services.alerts
    assert alerts is not None
    assert (await scraped(stage.http)).value("memmcp_alerts_firing") == 0
    await alerts.take(Sample((Reading("disk_free_bytes", 1_000.0),), frozenset({"disk_free_bytes"})))
    told = await scraped(stage.http)
    assert told.value("memmcp_alerts_firing", rule="disk_low", severity="critical") == 1
    assert told.value("memmcp_alerts_firing") == 1
    assert told.samples("memmcp_alerts_firing", rule="queue_stuck", severity="warning")
    until = {"rule": "disk_low", "for_s": 600}
    answer = await stage.http.post("/silences", json=until, headers={"Authorization": f"Bearer {OPERATOR_TOKEN}"})
    assert answer.status_code < 300, answer.text
    assert (await scraped(stage.http)).value("memmcp_alerts_firing") == 0


@pytest.mark.requirement("O3")
async def test_spans_that_wait_for_a_receiver_that_is_down_are_told(stage: Stage, tmp_path: Path) -> None:
    async with telling(to_langfuse(tmp_path, "http://127.0.0.1:1")) as calls:
        look = Scrape(replace(stage.services, calls=calls))
        calls.record(Span(b"t" * 16, b"s" * 8, "memory_search", "tool", 1, 2))
        with anyio.fail_after(30):
            while not (told := readings(await look.readings(), "memmcp_spans_waiting")).get(("langfuse",)):  # noqa: ASYNC110
                await anyio.sleep(0.01)
        found = await look.readings()
    assert told == {("langfuse",): 1}
    assert readings(found, "memmcp_part_up")["spans",] == 1
    assert set(readings(found, "memmcp_spans_lost_total").values()) == {0}
    assert "memmcp_spans_waiting" not in (await scraped(stage.http)).families


def readings(found: list[Any], name: str) -> dict[tuple[str, ...], float]:
    return {each.labels: each.value for each in found if each.family.name == name}


def test_the_client_library_is_not_loaded_before_somebody_scrapes() -> None:
    code = "import sys, memmcp_server.adapters.prometheus as each; print('prometheus_client' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


async def test_without_a_desk_nothing_is_said_of_trading(tmp_path: Path) -> None:
    async with staged(tmp_path, without_desk=True) as stage:
        told = await scraped(stage.http)
    assert not [name for name in told.families if name.startswith("memmcp_trading")]
    assert told.samples("memmcp_part_up", part="trading") == []


async def test_made_up_names_do_not_grow_it_without_end(stage: Stage) -> None:
    for number in range(2 * SERIES_MAX):
        stage.services.meters.tool_calls.add(f"tool-{number}", "ok")
    told = await scraped(stage.http)
    assert len(told.samples("memmcp_tool_calls_total")) == SERIES_MAX + 1
    assert told.value("memmcp_tool_calls_total") == 2 * SERIES_MAX
    assert told.value("memmcp_tool_calls_total", tool="other") >= SERIES_MAX


async def test_no_text_of_others_and_no_secret_is_in_it(stage: Stage) -> None:
    headers = {"X-Memmcp-Agent": "agent-of-a-secret-name", "Authorization": f"Bearer {OPERATOR_TOKEN}"}
    await stage.http.post("/memory/write", json={"content": "the vault"}, headers=headers)
    await stage.http.get("/memory/search?query=vault", headers=headers)
    text = (await scraped(stage.http)).text
    for word in (
        OPERATOR_TOKEN,
        "agent-of-a-secret-name",
        "vault",
        "http://",
        "https://",
        str(stage.sections.data_dir),
    ):
        assert word not in text
    assert not re.search(r'="[1-9A-HJ-NP-Za-km-z]{32,}"', text), "an address or an id is a label"


async def test_eager_scrapers_ask_the_parts_no_more_often_than_allowed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    meters = Meters(section=MetricsSection(fresh_s=60))
    asked = 0
    outbox_stats = stage.services.journal.outbox_stats

    async def counting() -> Any:
        nonlocal asked
        asked += 1
        return await outbox_stats()

    monkeypatch.setattr(stage.services.journal, "outbox_stats", counting)
    look = Scrape(replace(stage.services, meters=meters))
    for _ in range(5):
        await look.readings()
    assert asked == 1


@pytest.mark.requirement("O5")
@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), ({"Authorization": "Bearer wrong"}, 401), ({"Authorization": "Bearer the-token-of-the-scraper"}, 200)],
)
async def test_a_daemon_with_a_token_wants_it_of_a_scraper_too(
    tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    async with staged(tmp_path, http=HttpSection(token=SecretStr("the-token-of-the-scraper"))) as stage:
        answer = await stage.http.get("/metrics", headers=headers)
    assert answer.status_code == status
    if status == 200:
        assert Scraped(answer).value("memmcp_part_up", part="journal") == 1

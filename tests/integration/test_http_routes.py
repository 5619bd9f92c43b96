"""The HTTP door: every route, and one error shape for whatever goes wrong."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tests.doubles.trading_desk import MINT, SOL
from tests.support.stage import OPERATOR_TOKEN, Stage, error_of, staged

from memmcp_server.config import HttpSection
from memmcp_server.errors import TradingUnavailable
from memmcp_server.wire.desk_logs import ProfileLog, SidecarLog
from memmcp_server.wire.execution import NodesAnswer, TransactionPage
from memmcp_server.wire.memory import MemoryDocument, MemorySearchAnswer, TrajectoryDocument, TrajectoryPage
from memmcp_server.wire.money import CostsAnswer
from memmcp_server.wire.prices import CandleSeries
from memmcp_server.wire.status import HealthAnswer, MetricsAnswer
from memmcp_server.wire.telemetry import RiskView, SnapshotSeries
from memmcp_server.wire.trading import EquitySeries, StrategyDigest, StrategyList, TradePage, TradingSnapshot, WhyAnswer

pytestmark = pytest.mark.anyio
OPERATOR = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as opened:
        yield opened


async def write(stage: Stage, content: str, **more: Any) -> dict[str, Any]:
    response = await stage.http.post("/memory/write", json={"content": content, **more})
    assert response.status_code in (200, 201), response.text
    body: dict[str, Any] = response.json()
    return body


@pytest.mark.requirement("O1")
@pytest.mark.requirement("Q2")
async def test_every_get_route_answers_its_wire_model(stage: Stage) -> None:
    written = await write(stage, "a step", trajectory_id="session-1")
    for path, model in (
        (f"/memory/{written['id']}", MemoryDocument),
        ("/memory/search?query=step", MemorySearchAnswer),
        ("/trajectories", TrajectoryPage),
        ("/trajectories/session-1", TrajectoryDocument),
        ("/telemetry/trading", TradingSnapshot),
        ("/telemetry/trading/history?resolution=60", EquitySeries),
        ("/telemetry/trading/trades?limit=5&side=buy&result=won&origin=agent", TradePage),
        ("/candles?interval=300", CandleSeries),
        ("/telemetry/metrics", MetricsAnswer),
        ("/strategies", StrategyList),
        ("/strategies/digest?window=7d", StrategyDigest),
        ("/risk", RiskView),
        ("/why", WhyAnswer),
        ("/costs?days=3", CostsAnswer),
        ("/nodes", NodesAnswer),
        ("/transactions?limit=5", TransactionPage),
        ("/profiles/log", ProfileLog),
        ("/sidecar/log?limit=200", SidecarLog),
        ("/health", HealthAnswer),
        ("/ready", HealthAnswer),
    ):
        response = await stage.http.get(path)
        assert response.status_code == 200, (path, response.text)
        model.model_validate(response.json())


@pytest.mark.requirement("M1")
async def test_a_memory_written_over_http_is_found_at_once_with_who_wrote_it(stage: Stage) -> None:
    body = {"content": "Slippage doubled after midnight.", "agent": "watcher", "tags": ["slippage"], "source": "cron"}
    response = await stage.http.post("/memory/write", json=body)
    assert response.status_code == 201
    answer = await stage.http.get("/memory/search", params={"query": "slippage midnight", "detail": "full"})
    [hit] = answer.json()["hits"]
    assert (hit["id"], hit["agent"], hit["source"]) == (response.json()["id"], "watcher", "cron")
    assert hit["url"] == response.json()["url"] == f"/memory/{hit['id']}"
    assert (await stage.http.get(hit["url"])).json()["content"] == body["content"]


@pytest.mark.requirement("M3")
async def test_a_repeat_answers_200_and_duplicate_with_the_first_id(stage: Stage) -> None:
    headers = {"Idempotency-Key": "cron-17"}
    first = await stage.http.post("/memory/write", json={"content": "x"}, headers=headers)
    again = await stage.http.post("/memory/write", json={"content": "x"}, headers=headers)
    other = await stage.http.post("/memory/write", json={"content": "y"}, headers=headers)
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["duplicate"] is True
    assert error_of(other)["code"] == "idempotency_conflict"


BAD_BODIES: list[tuple[bytes, int, str, str]] = [
    (b"", 400, "malformed_request", "empty"),
    (b"{", 400, "malformed_request", "line 1"),
    (b'{"content": "\xff"}', 400, "malformed_request", "UTF-8"),
    (b'{"content": "x", "metadata": {"a": NaN}}', 400, "malformed_request", "NaN"),
    (b'{"content": "x", "metadata": {"a": -Infinity}}', 400, "malformed_request", "Infinity"),
    (b'{"content": "x", "content": "y"}', 400, "malformed_request", "twice"),
    (b'{"content": "x", "metadata": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001, 400, "malformed_request", "deeply"),
    (b'{"content": "x", "metadata": {"a": ' + b"9" * 5_000 + b"}}", 400, "malformed_request", "too long"),
    (b"[]", 422, "invalid_input", "object"),
    (b'"text"', 422, "invalid_input", "object"),
    (b"{}", 422, "invalid_input", "content: required"),
    (b'{"content": 5}', 422, "invalid_input", "was given 5"),
    (b'{"content": "x", "contnet": "y"}', 422, "invalid_input", "contnet: unknown field; allowed: "),
    (b'{"content": "x", "namespace": "../up"}', 422, "invalid_input", "namespace"),
    (b'{"content": "x", "tags": ["' + b"t" * 100 + b'"]}', 422, "invalid_input", "tags.0"),
    (b'{"content": "x", "ts": "2026-05-01T12:00:00"}', 422, "invalid_input", "zone"),
    (b'{"content": "x", "ts": "2100-01-01T00:00:00Z"}', 422, "invalid_input", "future"),
    (b'{"content": "\\ud800"}', 422, "invalid_input", "content"),
    (b'{"content": "a\\u0000b"}', 422, "invalid_input", "U+0000"),
    (b'{"content": "x", "namespace": "trading"}', 403, "refused", "only the runtime"),
    (b'{"content": "' + b"x" * 70_000 + b'"}', 413, "payload_too_large", "content"),
]


@pytest.mark.requirement("Q4")
async def test_a_bad_body_is_named_and_nothing_is_written(stage: Stage) -> None:
    for body, status, code, said in BAD_BODIES:
        headers = {"Content-Type": "application/json"}
        response = await stage.http.post("/memory/write", content=body, headers=headers)
        error = error_of(response)
        assert (response.status_code, error["code"]) == (status, code), (body[:80], error)
        assert said in error["message"] + (error.get("field") or ""), (body[:80], error)
    assert await stage.services.journal.horizon() == 0


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_a_form_cannot_write(stage: Stage, media_type: str) -> None:
    response = await stage.http.post("/memory/write", content=b'{"content":"x"}', headers={"Content-Type": media_type})
    assert response.status_code == 415
    assert error_of(response)["field"] == "Content-Type"


async def test_a_body_beyond_the_limit_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 1_024

    headers = {"Content-Type": "application/json"}
    async with staged(tmp_path, http=HttpSection(body_bytes_max=4_096)) as stage:
        declared = await stage.http.post("/memory/write", content=b" " * 5_000, headers=headers)
        undeclared = await stage.http.post("/memory/write", content=endless(), headers=headers)
        mcp = await stage.http.post("/mcp", content=endless(), headers=headers)
    for response in (declared, undeclared, mcp):
        assert response.status_code == 413
    for response in (declared, undeclared):
        assert error_of(response)["code"] == "payload_too_large"
        assert "4096" in error_of(response)["message"]


BAD_QUERIES = [
    ("/memory/search", 422, "query"),
    ("/memory/search?query=x&limti=3", 422, "limti"),
    ("/memory/search?query=x&limit=many", 422, "limit"),
    ("/memory/search?query=x&limit=1&limit=2", 422, "limit"),
    ("/memory/search?query=x&since=yesterday", 422, "since"),
    ("/memory/search?query=x&since=2026-01-01T00:00:00", 422, "since"),
    ("/memory/search?query=%20", 422, "query"),
    ("/memory/no-such-id", 404, "id"),
    ("/trajectories/no-such-id", 404, "trajectory_id"),
    ("/trajectories?open=perhaps", 422, "open"),
    ("/trajectories?cursor=x", 422, "cursor"),
    ("/telemetry/trading?desk=local", 422, "desk"),
    ("/telemetry/trading/history?resolution=0", 422, "resolution"),
    ("/telemetry/trading/trades?cursor=x", 422, "cursor"),
    ("/why?order_id=ord-of-nobody", 422, "order_id"),
    ("/nodes?id=local", 422, "id"),
    ("/transactions?cursor=x", 422, "cursor"),
    ("/transactions?limit=201", 422, "limit"),
    ("/profiles/log?limit=0", 422, "limit"),
    ("/sidecar/log?cursor=-1", 422, "cursor"),
    ("/health?verbose=1", 422, "verbose"),
    ("/no/such/route", 404, None),
]


async def test_a_bad_query_names_the_parameter(stage: Stage) -> None:
    for path, status, field in BAD_QUERIES:
        response = await stage.http.get(path)
        assert response.status_code == status, (path, response.text)
        assert error_of(response).get("field") == field, (path, response.text)


async def test_lists_in_a_query_are_repeated_or_separated_by_commas(stage: Stage) -> None:
    await write(stage, "one", kind="lesson", tags=["a", "b"])
    await write(stage, "one more", kind="fact", tags=["a"])
    both = await stage.http.get("/memory/search?query=one&kinds=lesson,fact")
    tagged = await stage.http.get("/memory/search?query=one&tags=a&tags=b")
    assert len(both.json()["hits"]) == 2
    assert len(tagged.json()["hits"]) == 1


async def test_a_wrong_method_names_the_right_ones(stage: Stage) -> None:
    response = await stage.http.delete("/telemetry/trading")
    assert response.status_code == 405
    assert set(response.headers["allow"].replace(" ", "").split(",")) == {"GET", "HEAD", "POST"}
    assert error_of(response)["code"] == "method_not_allowed"


async def test_head_answers_like_get_without_a_body(stage: Stage) -> None:
    response = await stage.http.head("/health")
    assert response.status_code == 200
    assert response.content == b""


async def test_what_nobody_foresaw_is_a_500_without_details(stage: Stage, caplog: Any) -> None:
    async def broken() -> Any:
        raise RuntimeError("password=hunter2")

    stage.trading.snapshot = broken  # type: ignore[method-assign]
    transport = stage.http._transport
    transport.raise_app_exceptions = False  # type: ignore[attr-defined]
    response = await stage.http.get("/telemetry/trading")
    assert response.status_code == 500
    assert error_of(response)["code"] == "internal_error"
    assert "hunter2" not in response.text
    assert "hunter2" in caplog.text
    assert "content-security-policy" in response.headers


async def test_without_trading_its_routes_say_so_and_memory_works(tmp_path: Path) -> None:
    async with staged(tmp_path, without_desk=True) as stage:
        for path in ("/telemetry/trading", "/strategies", "/risk", "/why", "/nodes", "/transactions", "/sidecar/log"):
            response = await stage.http.get(path)
            assert response.status_code == 503
            assert error_of(response)["code"] == "trading_unavailable"
            assert response.headers["retry-after"]
        assert (await stage.http.get("/ready")).status_code == 200
        assert (await write(stage, "still here"))["durable"] is True


async def test_ready_is_503_and_health_200_while_trading_is_down(stage: Stage) -> None:
    async def starting() -> Any:
        msg = "the trading desk is starting"
        raise TradingUnavailable(msg)

    stage.trading.snapshot = starting  # type: ignore[method-assign]
    ready, health = await stage.http.get("/ready"), await stage.http.get("/health")
    assert (ready.status_code, health.status_code) == (503, 200)
    assert "starting" in ready.json()["checks"]["trading"]
    assert health.json()["status"] == "degraded"


@pytest.mark.requirement("O7")
async def test_an_outside_engines_report_is_kept_under_its_own_desk(stage: Stage) -> None:
    report = {
        "desk_id": "freqtrade-1",
        "key": "cycle-9",
        "ts": "2026-03-01T00:00:00Z",
        "money": "real",
        "equity_lamports": 50 * SOL,
    }
    first = await stage.http.post("/telemetry/trading", json=report)
    again = await stage.http.post("/telemetry/trading", json=report)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["duplicate"] is True
    [desk] = (await stage.http.get("/telemetry/desks")).json()["desks"]
    assert (desk["desk_id"], desk["stale"], desk["report"]["equity_lamports"]) == ("freqtrade-1", False, 50 * SOL)
    ours = (await stage.http.get("/telemetry/trading")).json()
    assert (ours["desk_id"], ours["equity"]["lamports"]) == ("local", 2 * SOL)
    for wrong, field in (({"desk_id": "local"}, "desk_id"), ({"equity_lamports": -1}, "equity_lamports")):
        response = await stage.http.post("/telemetry/trading", json=report | wrong)
        assert error_of(response)["field"] == field


@pytest.mark.requirement("O2")
@pytest.mark.requirement("O7")
async def test_snapshots_of_any_desk_are_queried_by_range_and_resolution(stage: Stage) -> None:
    for minute in range(10):
        report = {"desk_id": "bot", "key": f"k{minute}", "ts": f"2026-03-01T00:{minute:02}:00Z", "money": "paper"}
        await stage.http.post("/telemetry/trading", json={**report, "equity_lamports": minute})

    async def asked(**query: str) -> list[int]:
        response = await stage.http.get("/telemetry/snapshots", params={"desk_id": "bot", **query})
        series = SnapshotSeries.model_validate(response.json())
        return [int(str(each.report["equity_lamports"])) for each in series.snapshots]

    assert await asked() == list(range(10))
    assert await asked(since="2026-03-01T00:02:00Z", until="2026-03-01T00:05:00Z") == [2, 3, 4]
    assert await asked(resolution="240") == [3, 7, 9]
    assert await asked(limit="2") == [8, 9]
    assert (await stage.http.get("/telemetry/snapshots")).json()["snapshots"] == []
    backwards = {"since": "2026-03-01T00:05:00Z", "until": "2026-03-01T00:02:00Z"}
    assert error_of(await stage.http.get("/telemetry/snapshots", params=backwards))["field"] == "since"


@pytest.mark.requirement("O5")
async def test_an_action_needs_the_operators_token_and_acts_once_per_key(stage: Stage) -> None:
    body = {"reason": "rebuilding the node", "idempotency_key": "stop-1"}
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {OPERATOR_TOKEN}"}):
        response = await stage.http.post("/actions/stop-entries", json=body, headers=headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith("Bearer")
        assert OPERATOR_TOKEN not in response.text
    assert stage.trading.calls == []
    for _ in range(2):
        response = await stage.http.post("/actions/stop-entries", json=body, headers=OPERATOR)
        assert response.json()["effect"] == "positions stay and their exits go on"
    assert stage.trading.calls[0] == ("control:stop_entries", "operator:operator", "stop-1")
    assert stage.trading.entries_allowed is False


@pytest.mark.requirement("D10")
async def test_an_action_that_expects_a_state_is_done_in_that_state_alone_and_its_repeat_is_answered(
    stage: Stage,
) -> None:
    body = {"reason": "the feed lies", "expected_state": "ACTIVE", "idempotency_key": "halt-1"}
    for _ in range(2):  # the second in the state that the first has led to
        done = await stage.http.post("/actions/flatten-and-halt", json=body, headers=OPERATOR)
        assert (done.status_code, done.json()["state"]) == (200, "HALTED")
    late = await stage.http.post("/actions/resume", json=body | {"idempotency_key": "resume-1"}, headers=OPERATOR)
    assert (late.status_code, error_of(late)["field"]) == (403, "expected_state")
    assert "HALTED by now" in error_of(late)["message"]
    assert stage.trading.state == "HALTED"
    body |= {"expected_state": "HALTED", "idempotency_key": "resume-2"}
    assert (await stage.http.post("/actions/resume", json=body, headers=OPERATOR)).json()["state"] == "ACTIVE"


async def test_every_action_reaches_the_desk_with_its_own_fields(stage: Stage) -> None:
    for name, fields in (
        ("reduce-only", {}),
        ("flatten-and-halt", {}),
        ("resume", {}),
        ("close", {"mint": MINT, "percent": 50}),
        ("deposit", {"amount_sol": "1.5"}),
        ("withdraw", {"amount_sol": "0.5"}),
        ("target", {"amount_sol": "30"}),
        ("profile", {"profile": "cautious"}),
    ):
        response = await stage.http.post(f"/actions/{name}", json={"reason": "a test", **fields}, headers=OPERATOR)
        assert response.status_code == 200, (name, response.text)
        assert stage.trading.calls[-1][0] == f"control:{name.replace('-', '_')}"
    assert stage.trading.target == 30 * SOL
    assert stage.trading.deposits == SOL


BAD_ACTIONS = [
    ("self-destruct", {"reason": "a test"}, 404, "name"),
    ("deposit", {"reason": "a test"}, 422, None),
    ("deposit", {"reason": "a test", "amount_sol": "-1"}, 422, "amount_sol"),
    ("deposit", {"reason": "a test", "amount_sol": "1e9"}, 422, "amount_sol"),
    ("deposit", {"reason": "a test", "amount_sol": 1.5}, 422, "amount_sol"),
    ("close", {"reason": "a test", "mint": MINT, "percent": 101}, 422, "percent"),
    ("resume", {"reason": "a test", "mint": MINT}, 422, None),
    ("resume", {"reason": ""}, 422, "reason"),
    ("profile", {"reason": "a test"}, 422, None),
    ("profile", {"reason": "a test", "profile": "../own"}, 422, "profile"),
    ("resume", {"reason": "a test", "force": True}, 422, "force"),
]


async def test_a_wrong_action_is_named_and_changes_nothing(stage: Stage) -> None:
    for name, body, status, field in BAD_ACTIONS:
        response = await stage.http.post(f"/actions/{name}", json=body, headers=OPERATOR)
        assert response.status_code == status, (name, body, response.text)
        assert error_of(response).get("field") == field, (name, body, response.text)
    assert stage.trading.calls == []


async def test_the_openapi_document_is_valid_and_describes_every_route(stage: Stage) -> None:
    document = (await stage.http.get("/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    served = {
        (method, route.path)
        for route in stage.app.routes
        for method in (getattr(route, "methods", None) or ())
        if method != "HEAD"
    }
    described = {(method.upper(), path) for path, row in document["paths"].items() for method in row}
    mcp_and_page = {path for _, path in served - described if not path.startswith("/admin/")}
    assert described <= served
    assert mcp_and_page == {"/", "/sse"}
    names = set(document["components"]["schemas"])
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for reference in references_in(document):
        assert reference.removeprefix("#/components/schemas/") in names
    ids = [operation["operationId"] for row in document["paths"].values() for operation in row.values()]
    assert len(ids) == len(set(ids))
    assert document["paths"]["/actions/{name}"]["post"]["security"] == [{"token": []}]


async def test_a_real_answer_meets_its_described_schema(stage: Stage) -> None:
    document = (await stage.http.get("/openapi.json")).json()
    for path in ("/telemetry/trading", "/telemetry/metrics", "/health", "/strategies", "/risk"):
        operation = document["paths"][path]["get"]
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        validator = Draft202012Validator({**schema, "components": document["components"]})
        validator.validate((await stage.http.get(path)).json())


def references_in(value: Any) -> list[str]:
    if isinstance(value, dict):
        here = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return here + [each for item in value.values() for each in references_in(item)]
    if isinstance(value, list):
        return [each for item in value for each in references_in(item)]
    return []


def test_the_shape_of_an_error_has_only_the_documented_fields() -> None:
    from memmcp_server.errors import InvalidInput
    from memmcp_server.web.errors import error_response

    body = json.loads(bytes(error_response(InvalidInput("wrong", field="x", hint="do y")).body))
    assert body == {"error": {"code": "invalid_input", "message": "wrong", "field": "x", "hint": "do y"}}


@pytest.mark.parametrize("name", ["ts", "expires_at"])
@pytest.mark.parametrize("moment", [1_716_000_000, 1_716_000_000_000, "1716000000", 7.5, True, "yesterday"])
async def test_a_time_in_a_unit_that_must_be_guessed_is_refused(stage: Stage, name: str, moment: Any) -> None:
    response = await stage.http.post("/memory/write", json={"content": "when?", name: moment})
    assert response.status_code == 422
    assert error_of(response)["field"] == name
    assert "ISO 8601" in error_of(response)["message"]


async def test_a_search_since_a_bare_number_is_refused(stage: Stage) -> None:
    response = await stage.http.get("/memory/search", params={"query": "x", "since": "7"})
    assert (response.status_code, error_of(response)["field"]) == (422, "since")


@pytest.mark.parametrize(
    "path",
    [
        "/memory/x?version=9223372036854775808",
        "/memory/x?version=2147483648",
        "/trajectories?cursor=9999999999999999999:a",
        "/trajectories/session?cursor=9223372036854775808",
    ],
)
async def test_a_number_that_no_journal_holds_is_the_callers_mistake(stage: Stage, path: str) -> None:
    await write(stage, "a step", trajectory_id="session")
    response = await stage.http.get(path)
    assert response.status_code == 422
    assert error_of(response)["field"] in ("version", "cursor")


async def test_metrics_say_what_the_delivery_of_each_queue_is_doing(stage: Stage) -> None:
    queue = (await stage.http.get("/telemetry/metrics")).json()["queues"]["qdrant"]
    assert queue["relay"] == {"state": "idle", "outages": 0, "retry_in_s": 0.0, "last_error": ""}


async def test_an_unknown_id_is_repeated_in_part_only(stage: Stage) -> None:
    response = await stage.http.get(f"/memory/{'a' * 5_000}")
    assert response.status_code == 404
    assert len(response.content) < 500


async def test_an_action_takes_no_flag_for_a_number(stage: Stage) -> None:
    body = {"reason": "half", "mint": MINT, "percent": True}
    response = await stage.http.post("/actions/close", json=body, headers=OPERATOR)
    assert (response.status_code, error_of(response)["field"]) == (422, "percent")

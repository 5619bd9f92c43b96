"""The sidecar beside a desk: asked from what is committed, heard as an input, replayed without anybody being asked."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from tests.doubles.desk_memory import ListMemory
from tests.support.chat_server import KEY, ChatServer, data_of
from tests.support.sidecar_desk import PROFILE, ended, feed, opened, rows, run, sections
from tests.unit.trading.feeds.bar_writers import bar_rows, write_csv
from typer.testing import CliRunner

from trading.cli import app
from trading.errors import InvalidInput, Unavailable
from trading.runtime import advising
from trading.runtime.recorded_runs import recorded_run
from trading.runtime.replaying import ReplaySpec, measure

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T14")]


def without_network(patch: pytest.MonkeyPatch) -> list[Any]:
    """Refuse every connection from now on; return those that are tried."""
    tried: list[Any] = []

    def connect(_self: socket.socket, address: Any) -> None:
        tried.append(address)
        raise ConnectionRefusedError

    patch.setattr(socket.socket, "connect", connect)
    patch.setattr(socket.socket, "connect_ex", connect)
    return tried


@pytest.mark.requirement("O2")
@pytest.mark.requirement("T19")
async def test_advice_comes_in_shrinks_entries_is_remembered_and_shown(tmp_path: Path) -> None:
    server, memory = ChatServer(said={"size_scale_bps": 0, "expires_in_s": 604_800}), ListMemory()
    async with server.serving() as url, opened(tmp_path, sections(url, timeout_s=20), memory) as desk:
        shown = await ended(desk)
        smaller = next(json.loads(body) for _, _, body in rows(tmp_path, "advice_weighed") if b":7500" in body)
        chain = await desk.why(order_id=None, trajectory_id=smaller["trajectory_id"], mint=None, since_ns=None)
        log = await desk.sidecar_log(cursor=None, limit=200)
        first = await desk.sidecar_log(cursor=None, limit=3)
        second = await desk.sidecar_log(cursor=first["next_cursor"], limit=3)
    asked = len(rows(tmp_path, "advised"))
    assert len(log["entries"]) == min(asked, 200)
    assert [*first["entries"], *second["entries"]] == log["entries"][:6]
    entry = next(each for each in log["entries"] if each["effect"] and each["effect"]["scale_bps"] == 7_500)
    assert (entry["outcome"], entry["model"], entry["tokens_in"]) == ("answered", "a-model", 500)
    assert any(each["score"] for each in log["entries"])
    assert log["standing"]["asking"]["breaker"] == "closed"
    assert "Advice of a-model" in next(each["text"] for each in chain["chain"] if each["step"] == "advice")
    told = {kind for _, kind, _ in rows(tmp_path)}
    assert {"advised", "advice_weighed", "advice_scored"} <= told
    weighed = [json.loads(body) for _, _, body in rows(tmp_path, "advice_weighed")]
    assert any(each["scale_bps"] == 7_500 for each in weighed)
    kinds = {data_of(each)["kind"] for each in server.asked}
    assert "entry" in kinds
    bank = [each for each in memory.records if each.namespace == "memory_bank"]
    assert {"request", "response", "weighed", "score"} <= {each.kind for each in bank}
    response = next(each for each in bank if each.kind == "response")
    assert (response.metadata["tokens_in"], response.metadata["outcome"]) == (500, "answered")
    assert "«the move is late»" in response.text
    assert KEY not in "".join(str(each) for each in memory.records)
    asking = shown["sidecar"]["asking"]
    assert asking["breaker"] == "closed"
    # What comes in behind the end of the feed is heard by nobody.
    assert asking["handed_in"] >= shown["sidecar"]["received"]["answered"] >= 3
    # Less by what is reserved for the question under way.
    assert 0 < asking["micro_usd_left"] <= 1_000_000 - 900 * asking["outcomes"]["answered"]
    assert shown["sidecar"]["records"][0]["model"] == "a-model"


async def test_a_run_with_advice_is_replayed_byte_for_byte_and_nobody_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run(tmp_path, ChatServer(faults=["", "error", "an_order", ""], said={"size_scale_bps": 2_000}))
    tried = without_network(monkeypatch)
    with recorded_run(str(tmp_path)) as recorded:
        document = measure(recorded, ReplaySpec(feed=feed())).document()
    assert document["rows_identical"] is True, document["first_other_row"]
    assert tried == []


def test_a_backtest_opens_no_connection_however_the_sidecar_is_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADING_SIDECAR__URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("TRADING_SIDECAR__MODEL", "a-model")
    tried = without_network(monkeypatch)
    (tmp_path / "heard.toml").write_text(PROFILE)
    bars = write_csv(tmp_path / "FROGSOL_5m.csv", bar_rows(40, price="0.001"))
    arguments = ["backtest", "--data", str(bars), "--profile", str(tmp_path / "heard.toml"), "--json", "-"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert tried == []


async def test_a_mistake_in_asking_stops_the_asking_and_not_the_desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_arguments: Any) -> Any:
        msg = "a mistake"
        raise RuntimeError(msg)

    monkeypatch.setattr(advising, "questions_of", broken)
    shown = await run(tmp_path, ChatServer(), speed=60_000)
    assert shown["sidecar"]["asking"]["has_failed"] is True
    assert shown["trades_total"] > 10
    assert "goes on without it" in caplog.text


async def test_a_sidecar_that_never_answers_changes_no_byte_of_the_journal(tmp_path: Path) -> None:
    """The control is the run before: what came in changed it."""
    await run(tmp_path / "absent", None, speed="max")
    server = ChatServer(faults=["hanging"])
    await run(tmp_path / "hanging", server, timeout_s=60, speed=40_000)
    assert server.asked
    assert rows(tmp_path / "hanging") == rows(tmp_path / "absent")


async def test_without_an_address_nobody_is_asked_and_assess_says_so(tmp_path: Path) -> None:
    async with opened(tmp_path, sections()) as desk:
        assert "asking" not in (await desk.snapshot())["sidecar"]
        with pytest.raises(Unavailable, match="no sidecar"):
            await desk.assess({}, agent="a")


async def test_assess_answers_others_and_both_sides_are_in_memory_before_it_does(tmp_path: Path) -> None:
    memory = ListMemory()
    question = {"id": "q_1", "kind": "scenario", "question": "What if SOL falls by a tenth?"}
    async with ChatServer().serving() as url, opened(tmp_path, sections(url), memory) as desk:
        found = await desk.assess(question, agent="someone")
        assert (found["id"], found["assessment"]["probability_bps"]) == ("q_1", 4_000)
        asked = [each for each in memory.records if each.key.startswith("assess/")]
        assert [(each.kind, each.metadata["asked_by"]) for each in asked] == [
            ("request", "someone"),
            ("response", "someone"),
        ]
        with pytest.raises(InvalidInput) as caught:
            await desk.assess({**question, "horizon_s": "soon"}, agent="someone")
        assert caught.value.field == "horizon_s"


async def test_assess_tells_a_fault_and_remembers_it(tmp_path: Path) -> None:
    memory, server = ListMemory(), ChatServer(faults=["error"])
    question = {"id": "q_1", "kind": "scenario", "question": "What if SOL falls by a tenth?"}
    async with server.serving() as url, opened(tmp_path, sections(url), memory) as desk:
        with pytest.raises(Unavailable, match="http_5xx"):
            await desk.assess(question, agent="someone")
    assert "http_5xx" in [each for each in memory.records if each.key.startswith("assess/")][1].tags

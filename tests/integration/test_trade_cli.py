"""``memmcp-trade`` against the daemon's own web application, and its runs that need no daemon."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from click.testing import Result
from tests.doubles.trading_desk import MINT, SOL, TOKEN, InMemoryDesk
from tests.support.signer_stage import armed_signer
from tests.support.signing import COLD
from tests.support.stage import OPERATOR_TOKEN, Stage, served, staged
from typer.testing import CliRunner

from trading.cli import app

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Desk:
    """A served stage and the command line that talks to it."""

    stage: Stage
    data_dir: Path

    async def run(self, *arguments: str) -> Result:
        given = [*arguments, "--data-dir", str(self.data_dir)]
        with anyio.fail_after(30):
            return await anyio.to_thread.run_sync(lambda: CliRunner().invoke(app, given, env={"COLUMNS": "200"}))

    async def json(self, *arguments: str) -> Any:
        result = await self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@asynccontextmanager
async def a_desk(tmp_path: Path, *, without_desk: bool = False, token: str = OPERATOR_TOKEN) -> AsyncIterator[Desk]:
    desk = InMemoryDesk(cash=SOL, base_units=1_000 * TOKEN, cost=SOL)
    async with staged(tmp_path, desk=desk, without_desk=without_desk) as stage, served(stage.app) as url:
        (tmp_path / "daemon.json").write_text(json.dumps({"pid": 1, "version": "0", "http": url, "token": token}))
        yield Desk(stage, tmp_path)


async def test_each_control_reaches_the_desk_and_says_what_happens_to_open_positions(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        for arguments, effect, state in (
            (("stop-entries",), "positions stay and their exits go on", "state ACTIVE, no entries"),
            (("reduce-only",), "only sells from now on", "state REDUCING"),
            (("resume", "--reason", "the cause is known"), "entries are allowed", "state ACTIVE, entries allowed"),
            (("close", MINT, "50"), "sold", "orders: ord-1"),
            (("deposit", "1.5"), "deposit booked", "money: paper"),
            (("withdraw", "0.5"), "withdraw booked", "feed: "),
            (("target", "30"), "target set", "state ACTIVE"),
            (("flatten-and-halt",), "every position is sold", "state HALTED"),
        ):
            result = await desk.run(*arguments)
            assert result.exit_code == 0, result.output
            assert f"{arguments[0]}: done" in result.stdout
            assert effect in result.stdout
            assert state in result.stdout
        played = desk.stage.trading
        called = [name.removeprefix("control:") for name, _, _ in played.calls]
        assert called == [
            "stop_entries",
            "reduce_only",
            "resume",
            "close",
            "deposit",
            "withdraw",
            "target",
            "flatten_and_halt",
        ]
        assert played.deposits == SOL
        assert played.target == 30 * SOL
        assert len({key for _, _, key in played.calls}) == 8  # each its own key


async def test_a_repeat_with_its_key_changes_nothing(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        first = await desk.json("deposit", "1", "--key", "pay-day")
        again = await desk.json("deposit", "1", "--key", "pay-day")
        assert first == again
        assert desk.stage.trading.deposits == SOL


async def test_what_the_desk_does_is_shown_for_people_and_programs(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.run("close", MINT, "50")
        report = await desk.run("report")
        assert "ACTIVE" in report.stdout
        assert "BONK" in report.stdout
        for said in ("53.00 %, to 61.00 %", "12, 0.41 % (-1.20 % to 2.02 %)"):
            assert said in report.stdout
        assert (await desk.json("report"))["snapshot"]["money"] == "paper"
        trades = await desk.run("trades", "--limit", "5")
        assert "ord-1" in trades.stdout
        assert (await desk.json("trades"))["trades"][0]["order_id"] == "ord-1"
        risk = await desk.run("risk")
        assert "exposure_bps_max" in risk.stdout
        assert "2 pool_too_shallow" in risk.stdout
        assert (await desk.json("risk"))["state"] == "ACTIVE"


async def test_why_tells_the_chain_by_order_and_by_trajectory(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.run("close", MINT, "50")
        by_order = await desk.run("why", "ord-1")
        assert "sell because: close" in by_order.stdout
        assert "verdict  approved" in by_order.stdout
        assert (await desk.json("why", "trade-1")) == (await desk.json("why", "ord-1"))
        unknown = await desk.run("why", "ord-99")
        assert unknown.exit_code == 2
        assert "there is no trade ord-99" in unknown.stderr


async def test_why_not_tells_the_funnel_and_the_nearest_miss(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        result = await desk.run("why-not", MINT, "--since", "2026-01-01")
        assert result.exit_code == 0, result.output
        assert "both denied: pool_too_shallow" in result.stdout
        assert "nearest miss" in result.stdout
        assert (await desk.json("why-not"))["funnel"]["seen"] == 9
        assert (await desk.run("why-not", "--since", "yesterday")).exit_code == 2


@pytest.mark.requirement("T18")
async def test_review_tells_open_forecasts_and_how_far_earlier_ones_came_true(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        result = await desk.run("review")
        assert result.exit_code == 0, result.output
        for said in ("3.00 %", "52.50 %", "55.00 %", "0.2480", "BONK (12.34 % a day)", "51.20 %"):
            assert said in result.stdout
        document = await desk.json("review")
        assert document["money"] == "paper"
        assert document["calibration"][0]["count"] == 40
        assert document["ranking"]["tokens"][0]["symbol"] == "BONK"


async def test_the_daemons_refusal_is_passed_on_with_its_field(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        result = await desk.run("resume", "--reason", "x", "--json")
        assert result.exit_code == 2
        assert json.loads(result.stdout)["error"]["field"] == "reason"
        assert desk.stage.trading.calls == []


async def test_a_daemon_without_trading_says_so(tmp_path: Path) -> None:
    async with a_desk(tmp_path, without_desk=True) as desk:
        result = await desk.run("report")
        assert result.exit_code == 1
        assert "trading is switched off" in result.stderr
        assert "hint: start it with" in result.stderr


async def test_a_wrong_token_is_refused_and_never_printed(tmp_path: Path) -> None:
    async with a_desk(tmp_path, token="not-the-operators") as desk:
        result = await desk.run("stop-entries")
        assert result.exit_code == 1
        assert "not-the-operators" not in result.output
        assert desk.stage.trading.entries_allowed


@pytest.mark.parametrize(
    "record",
    [
        None,
        "",
        "{",
        "[]",
        '{"pid": 1}',
        '{"http": "http://127.0.0.1:9", "token": "t"}',
        '{"http": "nonsense://x", "token": "t"}',
    ],
)
@pytest.mark.parametrize("command", [("stop-entries",), ("report",)])
async def test_without_a_daemon_the_exit_code_is_3(tmp_path: Path, record: str | None, command: tuple[str]) -> None:
    if record is not None:
        (tmp_path / "daemon.json").write_text(record)
    result = await anyio.to_thread.run_sync(lambda: CliRunner().invoke(app, [*command, "--data-dir", str(tmp_path)]))
    assert result.exit_code == 3, result.output
    assert "error: data_dir: " in result.stderr
    assert "hint: " in result.stderr


async def test_an_answer_that_is_lost_leaves_the_outcome_unknown_and_names_the_key(tmp_path: Path) -> None:
    async def hang_up(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    (tmp_path / "daemon.json").write_text(json.dumps({"http": f"http://127.0.0.1:{port}", "token": "t"}))
    run: Callable[..., Result] = CliRunner().invoke
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, hang_up)
        act = await anyio.to_thread.run_sync(
            lambda: run(app, ["deposit", "1", "--key", "k-7", "--data-dir", str(tmp_path)])
        )
        ask = await anyio.to_thread.run_sync(lambda: run(app, ["risk", "--data-dir", str(tmp_path)]))
        tasks.cancel_scope.cancel()
    assert act.exit_code == 1
    assert "gave no answer" in act.stderr
    assert "--key k-7" in act.stderr
    assert ask.exit_code == 3


async def test_something_else_on_the_port_is_no_daemon(tmp_path: Path) -> None:
    async def teapot(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": b"<html>hello"})

    async with served(teapot) as url:
        (tmp_path / "daemon.json").write_text(json.dumps({"http": url, "token": "t"}))
        result = await anyio.to_thread.run_sync(lambda: CliRunner().invoke(app, ["risk", "--data-dir", str(tmp_path)]))
    assert result.exit_code == 1
    assert "is another program listening there?" in result.stderr


@pytest.mark.requirement("O8")
async def test_a_halted_desk_resumes_only_with_its_cause_acknowledged(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.run("flatten-and-halt")
        bare = await desk.run("resume")
        assert bare.exit_code == 2
        assert "HALTED" in bare.output
        assert desk.stage.trading.calls[-1][0] == "control:flatten_and_halt"
        waiting = await desk.json("night")
        assert waiting["money"] == "paper"
        done = await desk.run("resume", "--reason", "the feed was wrong")
        assert done.exit_code == 0, done.output
        assert "state ACTIVE" in done.stdout
        assert (await desk.run("resume", "--level", "bucket:manual")).exit_code == 2
        assert (await desk.run("resume")).exit_code == 0


@pytest.mark.requirement("O8")
async def test_the_night_is_shown_with_what_waits(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        shown = await desk.run("night", "--since", "2026-01-01")
        assert shown.exit_code == 0, shown.output
        assert "Since 2026-01-01" in shown.stdout
        assert "waits for an answer" in shown.stdout
        assert (await desk.run("night", "--since", "yesterday")).exit_code == 2


@pytest.mark.requirement("T10")
async def test_live_status_says_how_the_desk_is_and_what_it_waits_for(tmp_path: Path) -> None:
    async with armed_signer(tmp_path / "signing") as signer, a_desk(tmp_path) as desk:
        given = ("live", "status", "--socket", str(signer.socket))
        found = await desk.json(*given)
        assert found["signer"]["armed"]["name"] == "first"
        assert found["desk"].startswith("paper money, ACTIVE, entries allowed: ")
        assert found["last_sweep"] is None
        told = await desk.run(*given)
        assert "cold address" in told.stdout
        assert f"{COLD[:4]}…{COLD[-4:]}" in told.stdout
        desk.stage.trading.away = "the trading desk waits: no endpoint answers (since noon, the next try at one)"
        assert (await desk.json(*given))["desk"] == desk.stage.trading.away
        (tmp_path / "daemon.json").unlink()
        assert "no daemon is running" in (await desk.json(*given))["desk"]


@pytest.mark.requirement("O1")
@pytest.mark.requirement("O6")
async def test_costs_say_what_running_takes_and_what_has_no_price(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        shown = (await desk.run("costs", "--days", "1")).stdout
        answer = await desk.json("costs")
        assert (await desk.stage.http.get("/costs", params={"days": 401})).status_code == 422
    assert "at least 4.2000 USD since 2026-03-01" in shown
    assert "rpc.example.com: the true net is lower" in shown
    assert "unknown" in next(line for line in shown.splitlines() if line.startswith("rpc.example.com"))
    assert answer["running"]["net"]["net"]["lamports"] == -28_000_000


@pytest.mark.requirement("O6")
async def test_trades_and_risk_are_drawn_beside_their_figures(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        for percent in ("10", "20"):
            await desk.run("close", MINT, percent)
        trades, risk = (await desk.run("trades")).stdout, (await desk.run("risk")).stdout
    outcome = next(line for line in trades[trades.index("Outcomes") :].splitlines() if line.startswith("manual"))
    assert "100.00 %" in outcome or "0.00 %" in outcome
    assert outcome.rstrip()[-1] in "▁▂▃▄▅▆▇█"
    assert "exposure_bps_max" in risk
    assert "█" in risk

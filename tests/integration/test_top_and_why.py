"""What an operator sees of a running daemon in a terminal, narrow and piped too."""

import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from click.testing import Result
from rich.console import Console
from tests.doubles.trading_desk import MINT
from tests.support.stage import OPERATOR_TOKEN, Stage, served, staged
from typer.testing import CliRunner

from memmcp_server.cli import app, outbox, top, why
from memmcp_server.cli import daemon as daemon_commands
from memmcp_server.cli.client import Client, Failed, NoDaemon
from memmcp_server.cli.plots import bar, curve
from memmcp_server.cli.top_view import view

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("O6")]


async def a_trade(stage: Stage) -> dict[str, Any]:
    wish = {"side": "buy", "mint": MINT, "amount_sol": "0.5", "reason": "looks strong"}
    desk = stage.trading
    preview = await desk.place_trade(wish, agent="a", key="1")
    done = await desk.place_trade({**wish, "preview_id": preview["preview_id"]}, agent="a", key="2")
    desk.advance(3)
    return done


def rendered(seen: dict[str, Any], width: int, *, is_plain: bool = False) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(view(seen, width, is_plain=is_plain))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


async def test_top_shows_the_desk_within_the_width_of_any_terminal(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, served(stage.app) as url:
        await a_trade(stage)
        seen = await anyio.to_thread.run_sync(top.look, Client({"http": url, "token": OPERATOR_TOKEN}))
    wide = rendered(seen, 100)
    for part in (
        "PAPER money",
        "ACTIVE, entries allowed",
        "Equity 2.0000 SOL",
        "Positions 1",
        "BONK",
        "exposure_bps_max",
    ):
        assert part in wide
    assert "qdrant" in wide
    assert "buy  BONK" in wide
    for width in (20, 40, 80, 200):
        assert max(len(line) for line in rendered(seen, width).splitlines()) <= width
    assert rendered(seen, 80, is_plain=True).isascii()


async def test_top_goes_on_through_a_daemon_that_is_away_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(tmp_path) as stage, served(stage.app) as url:
        client = Client({"http": url, "token": OPERATOR_TOKEN})
        seen = await anyio.to_thread.run_sync(top.look, client)
    answers: list[Any] = [NoDaemon("the daemon is away"), seen, KeyboardInterrupt()]

    def look(_client: Client) -> dict[str, Any]:
        answer = answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        found: dict[str, Any] = answer
        return found

    monkeypatch.setattr(top, "look", look)
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80, height=24, color_system=None)
    with pytest.raises(KeyboardInterrupt):
        top._watch(client, console, seen, 0.01)
    assert answers == []
    shown = screen.getvalue()
    assert shown.index("PAPER money") < shown.index("the daemon is away") < shown.rindex("PAPER money")


async def test_top_of_a_daemon_without_trading_says_so(tmp_path: Path) -> None:
    async with staged(tmp_path, without_desk=True) as stage, served(stage.app) as url:
        seen = await anyio.to_thread.run_sync(top.look, Client({"http": url, "token": OPERATOR_TOKEN}))
    assert "trading is switched off" in rendered(seen, 100)
    assert json.loads(json.dumps(seen))["snapshot"] is None


async def test_why_finds_orders_trajectories_and_memories_by_their_id(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, served(stage.app) as url:
        done = await a_trade(stage)
        wish = {"content": "stop losses were too wide", "kind": "lesson", "trajectory_id": "of-mine"}
        memory = (await stage.http.post("/memory/write", json=wish)).json()
        explain = partial(why.explained, Client({"http": url, "token": OPERATOR_TOKEN}))

        async def told(given: str) -> dict[str, Any]:
            return await anyio.to_thread.run_sync(explain, given)

        order, trade = await told(done["order_id"]), await told(done["trajectory_id"])
        assert (order["of"], trade["of"]) == ("order", "trajectory")
        assert [step["step"] for step in order["chain"]] == ["signal", "verdict", "fill"]
        found = await told(memory["id"])
        assert (found["of"], found["chain"][0]["text"]) == ("memory", "stop losses were too wide")
        assert found["chain"][1]["step"] == "trajectory"  # not one of the desk's: where to look instead
        assert [step["text"] for step in (await told("of-mine"))["chain"]][-1] == "stop losses were too wide"
        with pytest.raises(Failed, match="there is no order, trajectory, alert or memory nothing"):
            await told("nothing/at all")


async def test_commands_speak_to_people_and_to_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with staged(tmp_path) as stage, served(stage.app) as url:
        client = Client({"http": url, "token": OPERATOR_TOKEN})
        for module in (top, why, outbox, daemon_commands):
            monkeypatch.setattr(module, "find", lambda _places: client)
        done = await a_trade(stage)

        async def run(*words: str, code: int = 0, **environment: str) -> Result:
            invoke = partial(CliRunner().invoke, app, [*words], env={"COLUMNS": "80", **environment})
            result = await anyio.to_thread.run_sync(invoke)
            assert result.exit_code == code, (result.output, result.exception)
            return result

        shown = await run("top", NO_COLOR="1", TERM="dumb")
        assert "\x1b" not in shown.stdout
        assert max(len(line) for line in shown.stdout.splitlines()) <= 80
        assert json.loads((await run("top", "--once", "--json")).stdout)["snapshot"]["money"] == "paper"
        assert "looks strong" in (await run("why", done["order_id"])).stdout
        assert json.loads((await run("why", done["order_id"], "--json")).stdout)["of"] == "order"
        await run("why", "nothing", code=1)
        status = (await run("status")).stdout
        assert "PAPER ACTIVE" in status
        assert "drawdown 0.00 %, 1 positions open" in status
        assert "qdrant" in (await run("outbox")).stdout
        assert set(json.loads((await run("outbox", "--json")).stdout)["outbox"]) == {"qdrant"}


def test_a_curve_fills_its_area_and_a_bar_its_share() -> None:
    assert curve([1, 2, 3, 4], 4, 1) == ["▁▃▅█"]
    assert curve([5, 5], 9, 2) == ["  ", "▁▁"]
    assert curve([], 9, 2) == curve([1], 0, 2) == []
    assert (bar(5_000, 4), bar(20_000, 4), bar(-9, 4, is_plain=True)) == ("██░░", "████", "....")


def test_a_pin_is_taken_from_no_pipe_and_no_argument(tmp_path: Path) -> None:
    piped = CliRunner().invoke(app, ["phone", "pin", "--data-dir", str(tmp_path)], input="83-jkl-2\n83-jkl-2\n")
    assert piped.exit_code == 2
    assert "never taken from a pipe" in piped.output
    assert CliRunner().invoke(app, ["phone", "pin", "83-jkl-2", "--data-dir", str(tmp_path)]).exit_code == 2
    assert list(tmp_path.iterdir()) == []

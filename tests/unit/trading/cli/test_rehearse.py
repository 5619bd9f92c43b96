"""``rehearse`` refuses what it cannot run, and its pools go along with a generated market."""

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.support.market_server import eventually, loopback
from typer.testing import CliRunner

from trading.cli import app
from trading.cli.rehearse import Follow, along
from trading.cli.rehearse_follow import MarketFollower, established_tokens
from trading.feeds.synthetic import SyntheticFeed, SyntheticMarket
from trading.model.market_data import Bar, CycleEnd
from trading.rehearsal.stage import StagePlan, staging
from trading.rehearsal.tokens import NATIVE_MINT


def refused(*arguments: str) -> dict[str, str]:
    result = CliRunner().invoke(app, ["rehearse", "--json", *arguments])
    assert result.exit_code == 2, result.output
    error: dict[str, str] = json.loads(result.stdout)["error"]
    return error


@pytest.fixture
def taken() -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield str(listener.getsockname()[1])


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("--tokens", ","), "tokens"),
        (("--wallet", "nobody"), "wallet"),
        (("--sol", "0"), "sol"),
        (("--pool-sol", "1.0000000001"), "pool_sol"),
    ],
)
def test_what_cannot_be_run_is_named(arguments: tuple[str, ...], field: str) -> None:
    assert refused(*arguments)["field"] == field


@pytest.mark.parametrize("option", ["--port", "--jupiter-port"])
def test_a_port_that_is_taken_is_said_to_be(taken: str, option: str) -> None:
    other = {"--port": "--jupiter-port", "--jupiter-port": "--port"}[option]
    error = refused(option, taken, other, "0", "--tokens", "FROG")
    assert error["field"] == "port"
    assert "--jupiter-port" in error["hint"]


def test_only_a_generated_market_is_followed_and_it_has_its_own_tokens() -> None:
    assert refused("--feed", "market")["field"] == "feed"
    assert refused("--feed", "synthetic", "--tokens", "FROG")["field"] == "tokens"


BAR_NS = 300 * 10**9
START_NS = 1_767_225_600 * 10**9


def bars(seed: int, cycles: int) -> list[dict[str, Bar]]:
    """Return the bars of the established tokens, cycle by cycle."""
    feed = SyntheticFeed(SyntheticMarket(seed=seed, cycles=cycles))
    found: list[dict[str, Bar]] = [{}]
    for event in feed.events():
        if isinstance(event, Bar):
            found[-1][event.mint.removeprefix("sim:")] = event
        elif isinstance(event, CycleEnd):
            found.append({})
    return found[:-1]


def test_pools_go_along_with_the_market_and_back_when_a_run_begins_anew() -> None:
    held: dict[str, tuple[int, int]] = {}
    follower = MarketFollower(3, lambda symbol, lamports, units: held.update({symbol: (lamports, units)}))
    market = bars(3, 6)
    for cycle in (0, 4, 1):
        held.clear()
        follower.up_to(START_NS + (cycle + 1) * BAR_NS)
        for symbol, bar in market[cycle].items():
            lamports, units = held[symbol]
            assert lamports == bar.pool_lamports
            assert abs(Decimal(lamports) / 10**9 / (Decimal(units) / 10**6) / bar.close - 1) < Decimal("1e-9")
    held.clear()
    follower.up_to(START_NS + 3 * BAR_NS - 1)  # before the next close
    assert held == {}


def test_the_established_tokens_are_those_of_the_first_cycle() -> None:
    assert sorted(established_tokens(3)) == sorted(bars(3, 1)[0])


@pytest.mark.anyio
async def test_the_pools_of_a_rehearsal_stand_where_the_daemons_market_does(tmp_path: Path) -> None:
    told: dict[str, Any] = {"cycle": 0, "ts": "2030-01-01T00:00:00Z"}

    asked = 0

    async def snapshot(request: Request) -> Response:
        nonlocal asked
        asked += 1
        return Response(json.dumps(told), media_type="application/json")

    def told_at(cycle: int) -> None:
        at = datetime.fromtimestamp((START_NS + cycle * BAR_NS) / 10**9, UTC)
        told.update(cycle=cycle, ts=at.isoformat())

    market = bars(5, 3)
    symbols = tuple(established_tokens(5))
    async with loopback([Route("/telemetry/trading", snapshot)]) as url, staging(StagePlan(symbols)) as stage:
        before = stage.pools[symbols[0]].reserves(stage.rehearsal.cluster, NATIVE_MINT)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(along, stage, Follow(5, tmp_path))
            await anyio.lowlevel.checkpoint()  # there is no daemon yet, and then one that has not begun
            (tmp_path / "daemon.json").write_text(json.dumps({"http": url, "token": "t"}))
            await eventually(lambda: asked > 1, 10)
            assert stage.pools[symbols[0]].reserves(stage.rehearsal.cluster, NATIVE_MINT) == before
            for cycle in (1, 3):
                told_at(cycle)
                for symbol in symbols:
                    wanted = market[cycle - 1][symbol].pool_lamports

                    def stands(symbol: str = symbol, wanted: int | None = wanted) -> bool:
                        return stage.pools[symbol].reserves(stage.rehearsal.cluster, NATIVE_MINT)[0] == wanted

                    await eventually(stands, 10)
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("--to", "127.0.0.1:8899"), "to"),
        (("--to", "http://127.0.0.1:1", "--fault", '{"kind": "nothing"}'), "fault"),
        (("--to", "http://127.0.0.1:1", "--fault", "[]"), "fault"),
        (("--to", "http://127.0.0.1:1", "--fault", "{"), "fault"),
    ],
)
def test_a_proxy_that_cannot_be_run_is_named(arguments: tuple[str, ...], field: str) -> None:
    result = CliRunner().invoke(app, ["fault-proxy", "--json", *arguments])
    assert result.exit_code == 2, result.output
    assert json.loads(result.stdout)["error"]["field"] == field


def test_a_port_that_is_taken_is_no_proxys(taken: str) -> None:
    result = CliRunner().invoke(app, ["fault-proxy", "--json", "--to", "http://127.0.0.1:1", "--port", taken])
    assert json.loads(result.stdout)["error"]["field"] == "port"

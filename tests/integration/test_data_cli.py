"""``data fetch|list|check`` as people use them, against loopback servers, and the run that rests on what came."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import Result
from tests.support.exchange_server import ExchangeServer
from tests.support.market_server import NS, FakePool, MarketServer, SteppedClock, address, status
from tests.unit.trading.feeds.bar_writers import HEADER
from typer.testing import CliRunner

from trading.adapters.market_api_http import BURST_CALLS
from trading.cli import app
from trading.feeds.bar_store import load_bars
from trading.feeds.replay import open_replay
from trading.model.bar_market import BarMarket
from trading.runtime.backtest import BacktestSpec, run_backtest

pytestmark = pytest.mark.requirement("T1")

NOW_S = 1_790_000_100
BEGIN = "2026-09-20T00:00:00Z"
BEGIN_S = 1_789_862_400
POOL = FakePool(address("PooFrog"), address("Frog"), "$FROG", created_at="2026-09-20T00:00:00Z")


class Servers:
    """Both loopback servers, in a thread of their own, as a command finds them."""

    def __init__(self) -> None:
        self.clock = SteppedClock(NOW_S)
        self.exchange: ExchangeServer
        self.market: MarketServer
        self._up = threading.Event()
        self._down = anyio.Event()
        self._thread = threading.Thread(target=lambda: anyio.run(self._serve))

    async def _serve(self) -> None:
        self._down = anyio.Event()
        async with (
            ExchangeServer.serving(self.clock, BEGIN_S) as self.exchange,
            MarketServer.serving(self.clock, [POOL]) as self.market,
            anyio.from_thread.BlockingPortal() as self._portal,
        ):
            self._up.set()
            await self._down.wait()

    def __enter__(self) -> "Servers":
        self._thread.start()
        assert self._up.wait(15)
        return self

    def __exit__(self, *_: object) -> None:
        self._portal.start_task_soon(self._down.set)
        self._thread.join(15)


@pytest.fixture(scope="module")
def running() -> Iterator[Servers]:
    with Servers() as found:
        yield found


@pytest.fixture
def servers(running: Servers) -> Servers:
    """The servers as if they had just begun: starting them takes longer than most of these tests."""
    running.clock.advance(NOW_S - running.clock.now_ns() // NS)
    running.exchange.rows.clear()
    for server in (running.exchange, running.market):
        server.faults.clear()
        server.calls.clear()
    return running


def run(*arguments: str) -> Result:
    environ = {"COLUMNS": "300", "TRADING_FETCH__BACKOFF_BASE_S": "0.01", "TRADING_FETCH__SETTLE_S": "0"}
    return CliRunner().invoke(app, list(arguments), env=environ)


def fetch(servers: Servers, data_dir: Path, *more: str, symbol: str = "BONK/USDT") -> dict[str, Any]:
    url = servers.exchange.url
    result = run("data", "fetch", "binance", symbol, "--base-url", url, "--data-dir", str(data_dir), "--json", *more)
    document: dict[str, Any] = json.loads(result.stdout)
    return document | {"exit_code": result.exit_code}


def test_an_exchange_s_bars_are_fetched_listed_checked_and_run(servers: Servers, tmp_path: Path) -> None:
    servers.exchange.is_unruly = True
    first = fetch(servers, tmp_path, "--since", BEGIN)
    (file,) = first["files"]
    assert first["exit_code"] == 0
    assert file["rows_new"] == (NOW_S - BEGIN_S) // 300
    assert file["path"].endswith("bars/binance-spot/5m/BONKUSDT_5m.parquet")
    servers.exchange.is_unruly = False
    servers.clock.advance(900)
    second = fetch(servers, tmp_path)["files"][0]
    assert (second["rows_new"], second["changed_total"], second["rows_compared"]) == (3, 0, 50)
    fetch(servers, tmp_path, "--since", BEGIN, symbol="SOL/USDT")

    listed = json.loads(run("data", "list", "--data-dir", str(tmp_path), "--json").stdout)["files"]
    assert [(each["symbol"], each["interval"], each["gaps"]) for each in listed] == [
        ("BONK/USDT", "5m", 0),
        ("SOL/USDT", "5m", 0),
    ]
    assert listed[0]["rows"] == file["rows_new"] + 3
    (tmp_path / "bars" / "x" / "y").mkdir(parents=True)
    (tmp_path / "bars" / "x" / "y" / "AAUSDT_5m.parquet").write_bytes(b"PAR1")
    result = run("data", "list", "--data-dir", str(tmp_path))
    assert (result.exit_code, "BONK/USDT" in result.stdout, "AAUSDT_5m.parquet" in result.stderr) == (1, True, True)
    assert run("data", "check", str(Path(file["path"]).parent)).exit_code == 0

    folder = Path(file["path"]).parent
    of_parquet = run_backtest(BacktestSpec(open_replay([folder])))
    as_csv = tmp_path / "csv"
    as_csv.mkdir()
    for path in folder.glob("*.parquet"):
        market = BarMarket(
            "binance", "spot", f"{path.name.partition('USDT')[0]}/USDT", path.name[: -len("_5m.parquet")], 300
        )
        rows = [f"{at},{','.join(values)}" for at, values in sorted(load_bars(path, market).bars.items())]
        (as_csv / path.with_suffix(".csv").name).write_text("\n".join([HEADER, *rows, ""]), encoding="utf-8")
    of_csv = run_backtest(BacktestSpec(open_replay([as_csv])))
    assert of_csv.document["journal_sha256"] == of_parquet.document["journal_sha256"]
    assert of_csv.document["bars"] == file["rows_new"] + 3


def test_a_changed_past_ends_with_exit_code_1_and_says_what_changed(servers: Servers, tmp_path: Path) -> None:
    fetch(servers, tmp_path, "--since", BEGIN)
    at = NOW_S // 300 * 300 - 600
    servers.exchange.rows[at] = [at * 1_000, "9", "9", "9", "9", "1"]
    answer = fetch(servers, tmp_path)
    assert (answer["exit_code"], answer["files"][0]["changed_total"]) == (1, 1)
    assert answer["files"][0]["changed"][0]["received"] == ["9", "9", "9", "9", "1"]
    result = run(
        "data", "fetch", "binance", "BONK/USDT", "--base-url", servers.exchange.url, "--data-dir", str(tmp_path)
    )
    assert (result.exit_code, "the file keeps what it had" in result.stdout) == (1, True)


def test_a_market_that_fails_now_and_then_is_fetched_all_the_same(servers: Servers, tmp_path: Path) -> None:
    servers.exchange.faults["info"].append(status(503))
    servers.exchange.faults["klines"].extend([status(429, retry_after="0"), status(500)])
    answer = fetch(servers, tmp_path, "--since", "2026-09-21T00:00:00Z")
    assert answer["exit_code"] == 0
    assert answer["files"][0]["retries"] == 2


def test_a_market_that_is_gone_is_unreachable_and_nothing_is_left_behind(servers: Servers, tmp_path: Path) -> None:
    servers.exchange.faults["klines"].extend([status(503)] * 5)
    result = run(
        "data", "fetch", "binance", "BONK/USDT", "--since", BEGIN,
        "--base-url", servers.exchange.url, "--data-dir", str(tmp_path),
    )  # fmt: skip
    assert result.exit_code == 3
    assert "goes on where it stopped" in result.stderr
    assert list(tmp_path.rglob("*.parquet")) == []


def test_a_pool_s_bars_are_kept_under_its_mint_and_run(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADING_MARKET__GECKO_CALLS_PER_MINUTE", str(60 * 100 * BURST_CALLS))
    servers.market.faults["ohlcv"].append(status(429, retry_after="0"))
    result = run(
        "data", "fetch", "gecko", POOL.address, "--since", "2026-01-01",
        "--base-url", f"{servers.market.url}/gecko", "--data-dir", str(tmp_path), "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    (file,) = json.loads(result.stdout)["files"]
    # The server has bars of any time; before the pool was made none is asked for.
    assert (file["first"], file["rows_new"]) == ("2026-09-20T00:00:00+00:00", (NOW_S - BEGIN_S) // 300)
    assert Path(file["path"]).name == f"FROG-{POOL.address[:8]}_5m_sol.parquet"
    feed = open_replay([Path(file["path"])])
    assert feed.summary.bars == file["rows_new"]
    first = next(event for event in feed.events() if hasattr(event, "volume"))
    assert first.mint == POOL.mint
    assert abs(float(first.volume) * float(first.close) - 12.5) < 1e-9  # the volume was money, a bar counts tokens


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", "BONK/USDT"), "knows no exchange"),
        (("binance", "BONK/USDT", "--interval", "7m"), "has no bars of 7m"),
        (("binance", "BONK/USDT", "--interval", "soon"), "interval is 'soon'"),
        (("binance", "BONK/USDT", "--kind", "option"), "allowed: spot, swap"),
        (("binance", "BONK/USDT", "--since", "soon"), "expected a date or time"),
        (("binance", "BONK/USDT", "--base-url", "file:///etc"), "expected http"),
        (("gecko", "pool", "--interval", "3m"), "has no bars of 180 s"),
    ],
)
def test_a_wrong_wish_is_wrong_use(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run("data", "fetch", *arguments, "--data-dir", str(tmp_path))
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr


def test_a_market_the_exchange_has_not_is_wrong_use(servers: Servers, tmp_path: Path) -> None:
    for symbol, message in (("FROG/USDT", "has no spot market"), ("SOL/BTC", "quoted in BTC")):
        answer = fetch(servers, tmp_path, symbol=symbol)
        assert answer["exit_code"] == 2
        assert message in answer["error"]["message"]

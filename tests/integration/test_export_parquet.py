"""What is exported for analysis reads back as typed columns, whole, from the doors of a daemon."""

from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path

import anyio.to_thread
import pyarrow as pa
import pytest
from pyarrow import parquet
from tests.doubles.trading_desk import InMemoryDesk
from tests.support.stage import OPERATOR_TOKEN, Stage, served, staged

from memmcp_server.cli import parquet as module
from memmcp_server.cli.client import Client, Failed
from memmcp_server.cli.parquet import TABLES, Wish, export_tables, tables_of
from memmcp_server.errors import InvalidInput
from memmcp_server.wire.trading import EquitySeries

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("O6")]

MINT = "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263"


async def exported(stage: Stage, place: Path, *names: str, wish: Wish | None = None) -> dict[str, int]:
    refusal: Exception | None = None
    counts: dict[str, int] = {}
    async with served(stage.app) as url:
        call = partial(
            export_tables, Client({"http": url, "token": OPERATOR_TOKEN}), names or list(TABLES), place, wish or Wish()
        )
        try:
            counts = await anyio.to_thread.run_sync(call)
        except (Failed, InvalidInput) as error:  # raised outside: what serves would wrap it in a group
            refusal = error
    if refusal is not None:
        raise refusal
    return counts


async def trade(desk: InMemoryDesk, number: int) -> None:
    wish = {"side": "buy", "mint": MINT, "amount_sol": "0.01", "reason": "a test buys", "bucket": "manual"}
    shown = await desk.place_trade(wish, agent="a", key=f"p{number}")
    await desk.place_trade({**wish, "preview_id": shown["preview_id"]}, agent="a", key=f"t{number}")
    desk.advance()


async def test_every_table_reads_back_as_it_was_written(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        written = await stage.http.post("/memory/write", json={"content": "first", "tags": ["a", "b"], "kind": "note"})
        memory_id = written.json()["id"]
        await stage.http.post(f"/memory/{memory_id}/update", json={"content": "second"})
        for number in range(3):
            await trade(stage.trading, number)
        place = tmp_path / "out"
        counts = await exported(stage, place)
        series = EquitySeries.model_validate((await stage.http.get("/telemetry/trading/history")).json())

    tables = {name: parquet.read_table(place / f"{name}.parquet") for name in TABLES}
    assert {name: table.num_rows for name, table in tables.items()} == counts
    memories = sorted(tables["memories"].to_pylist(), key=lambda row: row["version"])
    assert [(row["id"], row["version"], row["content"]) for row in memories] == [
        (memory_id, 1, "first"),
        (memory_id, 2, "second"),
    ]
    assert memories[0]["tags"] == ["a", "b"]
    assert memories[0]["ts"].tzinfo is not None
    trades = tables["trades"].to_pylist()
    assert len(trades) == 3
    assert all(isinstance(row["value_lamports"], int) and isinstance(row["value_usd"], Decimal) for row in trades)
    assert [row["ts"] for row in trades] == sorted((row["ts"] for row in trades), reverse=True)
    points = tables["equity"].to_pylist()
    assert [row["equity_lamports"] for row in reversed(points)] == [each.equity_lamports for each in series.points]
    assert tables["equity"].schema.field("ts").type == pa.timestamp("us", "UTC")
    assert not [path for path in place.iterdir() if path.suffix == ".part"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in place.iterdir())


async def test_pages_and_groups_of_rows_lose_and_repeat_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 7)
    monkeypatch.setattr(module, "TRADES_PAGE", 2)
    monkeypatch.setattr(module, "POINTS_PAGE_MIN", 1)
    desk = InMemoryDesk()
    async with staged(tmp_path, desk=desk) as stage:
        for number in range(5):
            await trade(desk, number)
        desk.advance(1)
        stamps = [datetime.fromisoformat(str(point["ts"])) for point in desk.points]
        counts = await exported(stage, tmp_path / "out", "trades", "equity", wish=Wish(resolution_s=1))
        since = stamps[3]
        part = await exported(stage, tmp_path / "part", "equity", wish=Wish(1, since=since, until=stamps[-1]))
    assert counts["trades"] == 5
    assert len(set(parquet.read_table(tmp_path / "out" / "trades.parquet").column("order_id").to_pylist())) == 5
    found = parquet.read_table(tmp_path / "out" / "equity.parquet").column("ts").to_pylist()
    assert found == sorted(set(stamps), reverse=True)
    assert part == {"equity": len({each for each in stamps if since <= each < stamps[-1]})}


async def test_a_file_that_cannot_be_finished_is_not_there(tmp_path: Path) -> None:
    place = tmp_path / "trades.parquet"
    async with staged(tmp_path, without_desk=True) as stage:
        with pytest.raises(Failed, match="trading is switched off"):
            await exported(stage, place, "trades")
    assert not place.exists()
    assert [each.name for each in tmp_path.iterdir() if "parquet" in each.name] == []


async def test_what_exists_is_not_touched(tmp_path: Path) -> None:
    place = tmp_path / "equity.parquet"
    place.write_text("mine", encoding="utf-8")
    async with staged(tmp_path) as stage:
        with pytest.raises(InvalidInput, match="exists"):
            await exported(stage, place, "equity")
    assert place.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("place", "table", "names"),
    [
        ("trades.parquet", None, ["trades"]),
        ("mine.parquet", "equity", ["equity"]),
        ("folder", None, list(TABLES)),
        ("folder", "memories", ["memories"]),
    ],
)
async def test_the_place_says_which_tables_go_there(place: str, table: str | None, names: list[str]) -> None:
    assert tables_of(Path(place), table) == names


@pytest.mark.parametrize(("place", "table"), [("mine.parquet", None), ("folder", "fills"), ("a.parquet", "")])
async def test_an_unknown_table_names_those_that_there_are(place: str, table: str | None) -> None:
    with pytest.raises(InvalidInput, match="memories, trajectories, trades, equity"):
        tables_of(Path(place), table)


async def test_a_resolution_that_is_none_names_its_field(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        export_tables(Client({}), ["equity"], tmp_path / "x", Wish(resolution_s=0))
    assert caught.value.field == "resolution"
    assert list(tmp_path.iterdir()) == []

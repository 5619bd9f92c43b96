"""Files of what the page shows: every row once, nothing that a spreadsheet would work out, and errors before a file."""

import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.doubles.trading_desk import MINT, Trade
from tests.support.stage import Stage, error_of, staged

from memmcp_server.web import export_routes
from memmcp_server.web.tables import Table, download

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("D4")]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as opened:
        yield opened


def trade(number: int, reason: str = "because") -> Trade:
    is_buy = number % 2 == 0
    ts = datetime(2026, 3, 1, 12, number, tzinfo=UTC)
    side = "buy" if is_buy else "sell"
    realised = None if is_buy else number - 4
    return Trade(f"ord-{number}", f"trj-{number}", side, 1_000, 5_000_000, realised, reason, ts)


async def rows(stage: Stage, path: str) -> list[dict[str, str]]:
    response = await stage.http.get(path)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(response.text, newline="")))


async def test_a_file_of_trades_holds_every_match_once_whatever_the_pages(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_routes, "PAGE", 2)
    stage.trading.trades_made = [trade(number) for number in range(7)]
    found = await rows(stage, "/export/trades")
    assert [row["order_id"] for row in found] == [f"ord-{number}" for number in range(6, -1, -1)]
    assert {row["money"] for row in found} == {"paper"}
    won = await stage.http.get("/export/trades?format=json&result=won&side=sell")
    assert won.headers["content-disposition"].startswith('attachment; filename="memmcp-trades-20')
    assert won.headers["content-disposition"].endswith('Z.json"')
    document: dict[str, Any] = json.loads(won.text)
    assert (document["money"], [row["realised_lamports"] for row in document["rows"]]) == ("paper", [1])
    assert json.loads((await stage.http.get("/export/trades?format=json&strategy=nobody")).text)["rows"] == []


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
async def test_a_text_of_a_stranger_is_no_formula(stage: Stage, start: str) -> None:
    text = f'{start}HYPERLINK("http://evil.example","x"),\n"more"'
    stage.trading.trades_made = [trade(1, text)]
    [row] = await rows(stage, "/export/trades")
    assert (row["reason"], row["realised_lamports"]) == (f"'{text}", "-3")
    document = json.loads((await stage.http.get("/export/trades?format=json")).text)
    assert document["rows"][0]["reason"] == text


async def test_what_is_wrong_is_an_error_and_no_file(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_routes, "TRADES_MAX", 3)
    stage.trading.trades_made = [trade(number) for number in range(4)]
    for query, field in (
        ("trades", "since"),
        ("trades?side=both", "side"),
        ("trades?format=xls", "format"),
        ("candles?mint=nobody", "mint"),
        ("memories?query=x&limit=0", "limit"),
    ):
        response = await stage.http.get(f"/export/{query}")
        assert (response.status_code, error_of(response)["field"]) == (422, field), query
        assert "content-disposition" not in response.headers


async def test_the_other_files_say_what_their_routes_say(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(9):
        stage.trading.advance()
    candles = (await stage.http.get("/candles")).json()
    found = await rows(stage, "/export/candles")
    assert [(row["ts"], row["close"]) for row in found] == [(each["ts"], each["close"]) for each in candles["candles"]]
    assert found[0]["mint"] == MINT
    monkeypatch.setattr(export_routes, "POINTS_A_PAGE", 2)
    points = (await stage.http.get("/telemetry/trading/history")).json()["points"]
    fine = [(row["ts"], int(row["equity_lamports"])) for row in await rows(stage, "/export/equity?resolution=60")]
    assert fine == [(each["ts"], each["equity_lamports"]) for each in points]
    assert len(await rows(stage, "/export/equity")) == len(points)
    strategy = (await stage.http.get("/strategies")).json()["strategies"][0]
    assert (await rows(stage, "/export/strategies"))[0]["name"] == strategy["name"]
    for number in range(5):
        await stage.http.post("/memory/write", json={"content": f"=cmd slippage {number}", "tags": ["a", "b"]})
    memories = await rows(stage, "/export/memories?query=slippage&limit=4")
    assert {row["content"][:6] for row in memories} == {"'=cmd "}
    assert (len(memories), memories[0]["tags"]) == (4, "a b")


async def test_pages_are_fetched_as_they_are_sent_and_not_before() -> None:
    asked: list[int] = []

    async def pages() -> AsyncIterator[list[dict[str, int]]]:
        for number in range(3):
            asked.append(number)
            yield [{"n": number}]

    table = Table("numbers", ("n",), frozenset())
    answer = await download(table, "csv", pages(), {}, datetime(2026, 3, 1, tzinfo=UTC))
    seen = [(text, len(asked)) async for text in answer.body_iterator]
    assert seen == [("n\r\n0\r\n", 1), ("1\r\n", 2), ("2\r\n", 3)]
    assert answer.headers["content-disposition"] == 'attachment; filename="memmcp-numbers-20260301T000000Z.csv"'

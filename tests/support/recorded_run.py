"""The daemon's doors over a desk that has traded a recorded market to its end: from then on nothing moves by itself.

The recording is of eight days in bars of an hour: enough for a projection, digests and windows that differ.
"""

import gzip
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio

from memmcp_server.adapters.late_desk import LateDesk
from memmcp_server.adapters.trading_desk import open_desk
from memmcp_server.config import TradingSection
from memmcp_server.ports import TradingDesk
from tests.support.chat_server import KEY, MODEL, ChatServer
from tests.support.sidecar_desk import PROFILE
from tests.support.stage import Stage, staged

SYMBOLS: Final = {"SOL": 150.0, "BONK": 0.00003, "PEPE": 0.000009}
COLUMNS: Final = "ts,open,high,low,close,volume"
FIRST_ROW: Final = 20_004
FIRST_ROW_S: Final = 1_704_067_200 + 300 * FIRST_ROW
HOURS: Final = 176
ROWS_AN_HOUR: Final = 12
MOSTLY_HELD: Final = ("wait_bars = 4, hold_bars = 3", "wait_bars = 2, hold_bars = 6")
ENDED_WITHIN_S: Final = 60


def recording(market_dir: Path, folder: Path) -> str:
    """Write some days of bars into the folder; return the feed over them. Where no recorded market lies, as on a
    machine that builds the project, they are those of a walk that is the same every time."""
    paths = []
    for symbol, price in SYMBOLS.items():
        recorded = market_dir / "ohlcv_5m" / f"{symbol}USDT_5m.csv.gz"
        rows = recorded_rows(recorded) if recorded.exists() else walked_rows(symbol, price)
        path = folder / f"{symbol}USDT_1h.csv"
        path.write_text("\n".join([COLUMNS, *rows]) + "\n", encoding="utf-8")
        paths.append(str(path))
    return f"replay:{','.join(paths)}"


def recorded_rows(path: Path) -> list[str]:
    """Return bars of an hour, made from those of five minutes."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        assert next(file).strip() == COLUMNS
        lines = itertools.islice(file, FIRST_ROW, FIRST_ROW + HOURS * ROWS_AN_HOUR)
        rows = [line.strip().split(",") for line in lines]
    hours = [rows[at : at + ROWS_AN_HOUR] for at in range(0, len(rows), ROWS_AN_HOUR)]
    return [
        ",".join(
            (
                *(hour[0][0], hour[0][1]),
                max((row[2] for row in hour), key=float),
                min((row[3] for row in hour), key=float),
                hour[-1][4],
                f"{sum(float(row[5]) for row in hour):.2f}",
            )
        )
        for hour in hours
    ]


def walked_rows(symbol: str, price: float) -> list[str]:
    chance = random.Random(symbol)
    rows = []
    for number in range(HOURS):
        opened, price = price, price * (1 + chance.gauss(0, 0.012))
        high, low = max(opened, price) * 1.001, min(opened, price) * 0.999
        at_s = FIRST_ROW_S + 3_600 * number
        rows.append(f"{at_s},{opened:.12f},{high:.12f},{low:.12f},{price:.12f},{10**10 + number * 10**7}")
    return rows


async def ended(desk: TradingDesk) -> dict[str, Any]:
    """Wait until the recording is over; return the last snapshot."""
    with anyio.fail_after(ENDED_WITHIN_S):
        async for shown in desk.changes():
            feed = shown["feed"]
            assert isinstance(feed, dict)
            if "ended" in str(feed["detail"]):
                return dict(shown)
    raise AssertionError


@asynccontextmanager
async def recorded_stage(market_dir: Path, data_dir: Path) -> AsyncIterator[Stage]:
    """Open the stage once the desk has traded to the end of the recording, with a sidecar that was asked."""
    profiles = data_dir / "profiles"
    profiles.mkdir(parents=True)
    (profiles / "heard.toml").write_text(PROFILE.replace(*MOSTLY_HELD), encoding="utf-8")
    late = LateDesk()
    async with ChatServer().serving() as sidecar, staged(data_dir, real_desk=late) as stage:
        environ = {
            "TRADING_ACCOUNT__EQUITY_SOL": "20",
            "TRADING_PAPER__SPEED": "600000",
            "TRADING_PAPER__STALE_AFTER_S": "1000000000",
            "TRADING_RELAY__POLL_S": "0.05",
            "TRADING_SIDECAR__URL": f"{sidecar}/v1",
            "TRADING_SIDECAR__MODEL": MODEL,
            "TRADING_SIDECAR__KEY": KEY,
        }
        trading = TradingSection(feed=recording(market_dir, data_dir), profile="heard")
        sections = stage.sections.model_copy(update={"trading": trading})
        async with open_desk(environ, sections, stage.services.journal, stage.services.scanner) as desk:
            late.provide(desk)
            await ended(desk)
            yield stage

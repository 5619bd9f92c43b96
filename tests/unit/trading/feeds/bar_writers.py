"""Bar files for tests, written as people write them."""

import gzip
from collections.abc import Sequence
from pathlib import Path

HEADER = "ts,open,high,low,close,volume"
SWAP_HEADER = "pool,mint,ts,seq,side,sol,tokens,price_sol,venue,trader_id"
START_S = 1_700_000_100  # a multiple of 300


def bar_rows(count: int, *, start_s: int = START_S, step_s: int = 300, price: str = "0.5") -> list[str]:
    return [f"{start_s + number * step_s},{price},{price},{price},{price},10" for number in range(count)]


def swap_row(
    second: int,
    side: str = "buy",
    sol: str = "1.5",
    tokens: str = "3000000",
    *,
    mint: str = "mintA",
    venue: str = "AMM",
) -> str:
    return f"pool,{mint},{START_S + second},0,{side},{sol},{tokens},,{venue},7"


def write_csv(path: Path, rows: Sequence[str], header: str = HEADER) -> Path:
    text = "\n".join([header, *rows]) + "\n"
    if path.name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode(), mtime=0))
    else:
        path.write_text(text, encoding="utf-8")
    return path

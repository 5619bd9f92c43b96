"""A desk with arbitrage on paper between a loopback exchange and loopback pages of Jupiter's API."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from tests.doubles.desk_memory import ListMemory
from tests.doubles.scripted_market import ManualFeed
from tests.support.exchange_desk import ExchangeDesk
from tests.support.jupiter_pages import JupiterPages
from trading.adapters.live_feed_choice import Chosen
from trading.config import Sections
from trading.model.intent import SOL_MINT
from trading.runtime.clock import WallClock
from trading.runtime.paper_desk import PaperDesk
from trading.runtime.paper_run import PaperOptions, paper_desk
from trading.settings import load

USDC = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
PAIR = {
    "name": "usdc",
    "mint": USDC,
    "decimals": 6,
    "market": "SOL/USDC",
    "least_sol": "0.1",
    "most_sol": "2",
    "net_min_sol": "0.001",
    "paper_sol": "10",
    "paper_units": 1_500_000_000,
}


@dataclass
class ArbitrageStage:
    """``price`` is what a SOL costs on Solana in USDC; the exchange buys at 149.90 and sells at 150.10."""

    exchange: ExchangeDesk
    pages: JupiterPages

    def price(self, usdc: int) -> None:
        self.pages.rates = {SOL_MINT: Fraction(usdc, 1_000), USDC: Fraction(1_000, usdc)}

    def environ(self, pair: dict[str, Any] | None = None, **changes: Any) -> dict[str, str]:
        """Return the settings as an operator gives them."""
        given: dict[str, Any] = {
            "EXCHANGE__ID": "binance",
            "EXCHANGE__BASE_URL": self.exchange.url,
            "EXCHANGE__CALLS_PER_SECOND": 1_000,
            "MARKET__JUPITER_URL": self.pages.url,
            "ARBITRAGE__PAIRS": json.dumps([PAIR | (pair or {})]),
            "ARBITRAGE__JUPITER_CALLS_PER_MINUTE": 60_000,
            "ARBITRAGE__EVERY_S": 0.05,
            "ARBITRAGE__PAPER_LATENCY_S": 0,
            "ARBITRAGE__CHAIN_FAILS_BPS": 0,
            "ARBITRAGE__SIZES": 2,
            "RELAY__POLL_S": 0.05,
        }
        return {f"TRADING_{name}": str(value) for name, value in (given | changes).items()}

    def sections(self, pair: dict[str, Any] | None = None, **changes: Any) -> Sections:
        return load(self.environ(pair, **changes))


@asynccontextmanager
async def arbitrage_stage() -> AsyncIterator[ArbitrageStage]:
    clock = WallClock()
    async with (
        ExchangeDesk.serving(lambda: clock.now_ns() // 10**6) as exchange,
        JupiterPages.serving(clock) as pages,  # type: ignore[arg-type]
    ):
        staged = ArbitrageStage(exchange, pages)
        staged.price(150)
        yield staged


@asynccontextmanager
async def desk_of(folder: Path, sections: Sections, memory: ListMemory) -> AsyncIterator[PaperDesk]:
    folder.mkdir(exist_ok=True)
    chosen = Chosen(ManualFeed("sim:BONK", "BONK", "0.001"), "by hand")
    options = PaperOptions(folder, "market", "foundation")
    async with paper_desk(options, sections, memory, chosen) as desk:
        yield desk

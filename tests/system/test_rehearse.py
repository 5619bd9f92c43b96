"""A rehearsal as a person starts it: its printed settings are enough to trade on it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from solders.keypair import Keypair
from tests.doubles.clocks import SystemClock

from trading.adapters.jupiter.build import JupiterBuild
from trading.adapters.jupiter.gateway import JupiterApi
from trading.adapters.second_price_choice import second_price
from trading.adapters.solana.chain import SolanaChain
from trading.model.chain import SwapWanted
from trading.model.intent import SOL_MINT
from trading.settings import load

pytestmark = [pytest.mark.system, pytest.mark.requirement("T10")]
WALLET = Keypair.from_seed(bytes([9]) * 32).pubkey()
COMMAND = [sys.executable, "-m", "trading", "rehearse", "--json", "--slot-ms", "20"]


@contextmanager
def a_rehearsal(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                if line.startswith("}"):
                    break
            yield process, json.loads("".join(lines))
        finally:
            process.kill()


@pytest.mark.anyio
async def test_the_settings_that_a_rehearsal_prints_are_enough_to_trade_on_it() -> None:
    given = ("--port", "0", "--jupiter-port", "0", "--wallet", str(WALLET), "--sol", "3", "--feed", "synthetic:5")
    with a_rehearsal(*given) as (process, told):
        sections, clock = load(told["settings"]), SystemClock()
        async with (
            SolanaChain.connect(sections.chain, clock) as chain,
            JupiterApi.connect(sections.market, sections.router, clock) as api,
            second_price(sections.market, sections.router, chain, clock) as prices,
        ):
            assert await chain.genesis_hash() == told["genesis_hash"]
            held = (await chain.accounts([str(WALLET)]))[str(WALLET)]
            assert held is not None
            assert held.lamports == 3 * 10**9
            assert sections.live.wallet == str(WALLET)
            assert sections.live.mints == {f"sim:{name}": mint for name, mint in told["tokens"].items()}
            for mint in list(told["tokens"].values())[:2]:
                offer = await JupiterBuild(api).offer(SwapWanted(str(WALLET), SOL_MINT, mint, 10**9, 100))
                point = await prices.price(mint)
                assert point is not None
                fair = 10**9 * point.base_units_denominator / point.lamports_numerator
                assert 0.995 < offer.out_units / fair < 1
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""

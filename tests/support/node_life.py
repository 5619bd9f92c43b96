"""Lives of execution nodes as real processes, and the zygote that has them born in milliseconds.

    python -m tests.support.node_life

reads a life a line (JSON) and answers each with the number of its process. A life is forked before any thread or loop
exists. It may be told to stop itself (SIGSTOP) the first time that it is about to write signed bytes down, and to be
deaf: it then sends what it has signed although its journal refused it, which is what no node may ever do.
"""

import importlib
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

import anyio
import anyio.to_thread
from pydantic import SecretStr
from solders.keypair import Keypair

from trading.adapters.jupiter.build import JupiterBuild
from trading.adapters.jupiter.gateway import JupiterApi
from trading.adapters.node_store.journal import LeasedIntents
from trading.adapters.node_store.leases import Beat, Wish
from trading.adapters.second_prices import PoolPrices
from trading.adapters.solana.chain import SolanaChain
from trading.config import ChainSection, MarketSection, NodesSection, RouterSection
from trading.errors import IllegalTransition, JournalUnavailable, LeaseLost
from trading.execution.executor import ExecutorRules, Preparer
from trading.execution.preparing import PreparingParts, PreparingRules, SwapPreparer
from trading.execution.price_check import PriceRules
from trading.model.chain import SignWanted
from trading.model.intent import Attempt, IntentRecord
from trading.model.node import Holder
from trading.runtime.clock import WallClock
from trading.runtime.node_run import opened_door, rules_of, stops_by_signal
from trading.runtime.node_work import Node, NodeParts

PLAIN, STOPS, DEAF = "plain", "stops", "deaf"
"""What a node does wrong: nothing; it stops itself; and it does not listen either."""


class SeedSigner:
    def __init__(self, seeds: Sequence[str]) -> None:
        keys = [Keypair.from_seed(bytes.fromhex(seed)) for seed in seeds]
        self._keys = {str(key.pubkey()): key for key in keys}

    async def wallets(self) -> Sequence[str]:
        return list(self._keys)

    async def sign(self, wanted: SignWanted) -> bytes:
        return bytes(self._keys[wanted.wallet].sign_message(wanted.message))


class Stopping:
    """Stops its process once, when the bytes are signed and not yet written down."""

    def __init__(self, preparer: Preparer) -> None:
        self._preparer = preparer
        self.has_stopped = False

    async def prepare(self, known: IntentRecord) -> Attempt:
        attempt = await self._preparer.prepare(known)
        if not self.has_stopped:
            self.has_stopped = True
            os.kill(os.getpid(), signal.SIGSTOP)
        return attempt


class Deaf(LeasedIntents):
    """Takes a refusal for a yes: the fence is there, and this node does not look at it."""

    def signed(self, attempt: Attempt) -> None:
        with suppress(LeaseLost, IllegalTransition):
            super().signed(attempt)


async def live(life: dict[str, Any]) -> None:
    clock = WallClock()
    section = ChainSection.model_validate(life["chain"])
    market = MarketSection.model_validate({"jupiter_url": life["router"], "jupiter_calls_per_minute": 60_000})
    nodes = NodesSection.model_validate(life["nodes"] | {"url": SecretStr(life["url"])})
    async with (
        SolanaChain.connect(section, clock) as chain,
        JupiterApi.connect(market, RouterSection(), clock) as api,
        opened_door(nodes, waits=True) as door,
    ):
        prices = PoolPrices(chain, {key: tuple(held) for key, held in life["pools"].items()}, 0, clock)
        signer = SeedSigner(life["seeds"])
        preparing = PreparingParts(chain, JupiterBuild(api), prices, signer, lambda _mint: (), clock.now_ns)
        swaps = SwapPreparer(preparing, PreparingRules(prices=PriceRules()))
        stopping = Stopping(swaps)
        preparer: Preparer = swaps if life["kind"] == PLAIN else stopping
        executor = ExecutorRules(section.genesis_hash, poll_s=0.05, resend_s=0.15, backoff_s=0.05, backoff_cap_s=0.5)
        journal_of = Deaf if life["kind"] == DEAF else LeasedIntents
        parts = NodeParts(door, chain, preparer, signer.wallets, executor, clock.now_ns, journal_of=journal_of)
        node = Node(parts, rules_of(nodes, life["name"]))
        beat = node._leases.beat

        def unheard(holder: Holder, wish: Wish) -> Beat:
            """Once it was stopped it hears of its leases by nothing but the refusal of its own write."""
            if stopping.has_stopped:
                msg = "it hears nothing"
                raise JournalUnavailable(msg)
            return beat(holder, wish)

        node._leases.beat = unheard  # type: ignore[method-assign]
        with stops_by_signal(node):
            await node.run()


def _born(life: dict[str, Any]) -> NoReturn:
    try:
        logging.basicConfig(filename=life["log"], level=logging.INFO, format="%(asctime)s %(message)s")
        logging.getLogger("httpx2").setLevel(logging.WARNING)
        anyio.run(live, life)
    except BaseException:
        logging.exception("the node ended")
        os._exit(1)
    os._exit(0)


def main() -> None:
    for name in ("anyio._backends._asyncio", "httpcore2", "psycopg", "sqlalchemy.dialects.postgresql.psycopg"):
        importlib.import_module(name)
    for line in sys.stdin:
        life = json.loads(line)
        child = os.fork()
        if child == 0:
            _born(life)
        os.write(sys.stdout.fileno(), f"{child}\n".encode())
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                continue


if __name__ == "__main__":
    main()

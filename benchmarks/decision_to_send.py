"""How much of the time from a decision to the first send is ours: ``python -m benchmarks.decision_to_send``.

Three processes: the desk (executor, router client, checks, chain client, execution.db with its syncs), a signer behind
its socket, armed, that reads each message against its own view of the chain, and the chain with the Jupiter server. An
order begins when it is handed to the executor and ends when its bytes are handed to the HTTP client. Ours is that span
without the time during which at least one question to chain or router was out, of the desk or of the signer.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import anyio
import httpx2
import orjson
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from tests.support.live_stage import at_work
from tests.support.rehearsal import jupiter_stage
from tests.support.signing import PASSPHRASE, SOL, mandate, mandate_toml

from trading.adapters.execution_journal import SqlExecutionJournal
from trading.adapters.jupiter.build import JupiterBuild
from trading.adapters.jupiter.gateway import JupiterApi
from trading.adapters.second_prices import PoolPrices
from trading.adapters.solana.chain import SolanaChain
from trading.config import ChainSection, MarketSection, RouterSection
from trading.execution.executor import Executor, ExecutorRules, Outlook
from trading.execution.preparing import PreparingParts, PreparingRules, SwapPreparer
from trading.execution.price_check import PriceRules
from trading.model.intent import SOL_MINT, Intent, IntentState
from trading.rehearsal.tokens import NATIVE_MINT
from trading.runtime.clock import WallClock
from trading.signing.chain_view import RpcChainView
from trading.signing.client import SignerSocket, SocketSigner
from trading.signing.core import SignerCore, SignerLimits, SignerParts
from trading.signing.keys import KeyFolder
from trading.signing.messages import SwapMessages
from trading.signing.remote import LateRemoteKey
from trading.signing.secrets import Passphrase, SecretKey
from trading.signing.server import Doors, SignerServer, listening

GOAL_MS = 5.0
SEED = bytes([9]) * 32
SLOT_S = 0.01
LIMITS = SignerLimits(signs_max=10_000)
"""Orders come one behind the other here; no desk trades as often as that."""
LAMPORTS = 1_000_000
SYNCS = 2
"""On the way of an order: the signer's record, and its signed bytes with its intent."""

Spans = list[tuple[int, int]]


@dataclass(slots=True)
class Waits:
    """When a question was out, in nanoseconds of the machine's clock, which all processes share."""

    spans: Spans = field(default_factory=list)
    sent_ns: list[int] = field(default_factory=list)

    def watch(self, transport: httpx2.AsyncBaseTransport) -> None:
        """Note each request of a transport from its handing over until its answer was read."""
        handle = transport.handle_async_request

        async def watched(request: httpx2.Request) -> httpx2.Response:
            began_ns = time.monotonic_ns()
            if b'"sendTransaction"' in request.content:
                self.sent_ns.append(began_ns)
            answer = await handle(request)
            await answer.aread()
            self.spans.append((began_ns, time.monotonic_ns()))
            return answer

        transport.handle_async_request = watched  # type: ignore[method-assign]


def out_ns(spans: Spans, begin_ns: int, end_ns: int) -> int:
    """Return for how long within a stretch at least one span was open."""
    total, at = 0, begin_ns
    for begin, end in sorted(spans):
        begin, end = max(begin, at), min(end, end_ns)
        if end > begin:
            total, at = total + end - begin, end
    return total


def percentile(values: list[float], rank: int) -> float:
    ordered = sorted(values)
    return ordered[-(-len(ordered) * rank // 100) - 1]


# The other processes


async def stage_process() -> None:
    """Run chain and router until nobody listens any more."""
    async with jupiter_stage() as stage:
        stage.cluster.airdrop(Keypair.from_seed(SEED).pubkey(), 100 * SOL)
        told = {
            "urls": [stage.rehearsal.url(name) for name in ("one", "two")],
            "router": stage.server.url,
            "genesis_hash": stage.cluster.genesis_hash,
            "mint": stage.frog,
            "vaults": [str(stage.pool.vault(mint)) for mint in (Pubkey.from_string(stage.frog), NATIVE_MINT)],
            "quoted": stage.pool.quote(stage.cluster, NATIVE_MINT, LAMPORTS),
        }
        print(json.dumps(told), flush=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_until_alone, tasks.cancel_scope)
            while True:
                await anyio.sleep(SLOT_S)
                stage.cluster.tick()


async def signer_process(folder: Path, world: dict[str, Any]) -> None:
    """Run an armed signer until nobody listens any more; print when its questions were out."""
    waits = Waits()

    def view(endpoints: Any) -> RpcChainView:
        transport = httpx2.AsyncHTTPTransport(verify=False)
        waits.watch(transport)
        return RpcChainView(endpoints, transport=transport)

    keys = KeyFolder(folder / "signer", log2_n=10)
    secret = SecretKey(SEED, world["genesis_hash"])
    keys.add_seed(keys.create(Passphrase(PASSPHRASE)), secret)
    core = SignerCore(SignerParts(keys, SwapMessages(), view, LateRemoteKey, time.time_ns, limits=LIMITS))
    wanted = mandate(
        genesis_hash=world["genesis_hash"],
        wallets=(secret.address,),
        endpoints=tuple(world["urls"]),
        mints=(world["mint"],),
        order_lamports_max=SOL,
        day_lamports_max=50 * SOL,
        fee_day_lamports_max=SOL,
        slippage_bps_max=500,
        expires_ns=(time.time_ns() // SOL + 86_400) * SOL,
    )
    path = folder / "mandate.toml"
    path.write_text(mandate_toml(wanted))
    doors = Doors(frozenset({os.geteuid()}), frozenset({os.geteuid()}))
    try:
        await core.unlock(Passphrase(PASSPHRASE))
        await core.arm(Passphrase(PASSPHRASE), path.read_bytes(), path)
        async with listening(folder / "signer.sock", SignerServer(core, doors, time.time_ns), doors):
            print(json.dumps({"is_armed": True}), flush=True)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_until_alone, tasks.cancel_scope)
        print(json.dumps(waits.spans), flush=True)
    finally:
        await core.aclose()


async def _until_alone(scope: anyio.CancelScope) -> None:
    await anyio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
    scope.cancel()


@contextmanager
def process(*arguments: str) -> Iterator[tuple[IO[str], IO[str]]]:
    """Run a role of this module; yield its input, whose end ends it, and its output."""
    command = [sys.executable, "-m", "benchmarks.decision_to_send", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            yield child.stdin, child.stdout
        finally:
            child.stdin.close()
            child.wait(30)


# The desk


@dataclass(slots=True)
class Measured:
    """``spans``: when each order was handed in, and when its bytes were handed out."""

    waits: Waits
    spans: Spans = field(default_factory=list)


async def measured(folder: Path, world: dict[str, Any], orders: int) -> Measured:
    clock, found = WallClock(), Measured(Waits())
    journal = SqlExecutionJournal.at(folder / "execution.db", clock.now_ns)
    try:
        async with _preparer(folder, world, found.waits) as (chain, preparer):
            rules = ExecutorRules(world["genesis_hash"], poll_s=0.05, resend_s=5.0)
            changed = anyio.Event()

            def on_change(_intent_id: str) -> None:
                changed.set()

            executor = Executor(journal, chain, preparer, rules, Outlook(clock.now_ns, on_change=on_change))
            wallet = str(Keypair.from_seed(SEED).pubkey())
            async with at_work(executor, [wallet]):
                for number in range(orders):
                    found.waits.sent_ns.clear()
                    began_ns = time.monotonic_ns()
                    known = await executor.take(_buying(world, wallet, number))
                    with anyio.fail_after(60):
                        while not known.is_final:
                            await changed.wait()
                            changed = anyio.Event()
                            known = journal.record(known.intent.id)
                    if known.state is not IntentState.SETTLED:
                        raise RuntimeError(f"order {number}: {known.state.value}, {known.problem}")
                    found.spans.append((began_ns, found.waits.sent_ns[0]))
    finally:
        journal.close()
    return found


@asynccontextmanager
async def _preparer(
    folder: Path, world: dict[str, Any], waits: Waits
) -> AsyncIterator[tuple[SolanaChain, SwapPreparer]]:
    clock = WallClock()
    section = ChainSection.model_validate(
        {
            "endpoints": [{"url": url, "calls_per_second": 5_000} for url in world["urls"]],
            "genesis_hash": world["genesis_hash"],
        }
    )
    given = {"jupiter_url": world["router"], "jupiter_calls_per_minute": 60_000}
    market = MarketSection.model_validate(given)
    async with (
        SolanaChain.connect(section, clock) as chain,
        JupiterApi.connect(market, RouterSection(), clock) as api,
    ):
        for peer in chain._pool.peers:
            waits.watch(peer.endpoint._http)
        waits.watch(api._http._transport)
        second = PoolPrices(chain, {world["mint"]: tuple(world["vaults"])}, 0, clock)
        signer = SocketSigner(SignerSocket(folder / "signer.sock", os.geteuid()))
        parts = PreparingParts(chain, JupiterBuild(api), second, signer, lambda _mint: (), clock.now_ns)
        yield chain, SwapPreparer(parts, PreparingRules(PriceRules()))


def _buying(world: dict[str, Any], wallet: str, number: int) -> Intent:
    now_ns = time.time_ns()
    return Intent(
        id=f"int_{number}",
        key=f"run/{number}",
        wallet=wallet,
        in_mint=SOL_MINT,
        out_mint=world["mint"],
        amount_in=LAMPORTS,
        min_out=world["quoted"] * 95 // 100,
        slippage_bps_max=300,
        fee_lamports_max=100_000,
        attempts_max=3,
        created_ns=now_ns,
        deadline_ns=now_ns + 60 * SOL,
        is_exit=False,
    )


def floor_ms(folder: Path, count: int = 200) -> tuple[float, float]:
    """Return the median of a synced write of a kilobyte to the same disk, and of a signature."""
    syncs, signs = [], []
    key = Keypair.from_seed(SEED)
    with (folder / "floor").open("ab") as file:
        for _ in range(count):
            began_ns = time.monotonic_ns()
            file.write(bytes(1_024))
            file.flush()
            os.fsync(file.fileno())
            synced_ns = time.monotonic_ns()
            key.sign_message(bytes(600))
            syncs.append((synced_ns - began_ns) / 1e6)
            signs.append((time.monotonic_ns() - synced_ns) / 1e6)
    return percentile(syncs, 50), percentile(signs, 50)


def report(ours_ms: list[float], whole_ms: list[float], sync_ms: float, sign_ms: float) -> int:
    print("| ms | p50 | p95 | p99 |")
    print("| --- | --- | --- | --- |")
    for name, values in (("ours", ours_ms), ("with chain and router", whole_ms)):
        print(f"| {name} | {' | '.join(f'{percentile(values, rank):.2f}' for rank in (50, 95, 99))} |")
    floor = SYNCS * sync_ms + sign_ms
    print(
        f"\n{len(ours_ms)} orders, one after the other, desk, signer and chain as three processes. Ours: from the order"
        "\nin the executor's hand to its bytes in the HTTP client's, without the time in which a question of desk or"
        f"\nsigner was out. The floor of the same run is {floor:.2f} ms: {SYNCS} synced writes of {sync_ms:.2f} ms"
        f"\n(the signer's record; the signed bytes with their intent) and a signature of {sign_ms:.2f} ms."
    )
    p50 = percentile(ours_ms, 50)
    is_met = p50 < GOAL_MS
    print(f"\np50 {p50:.2f} ms of {GOAL_MS:g} ms: {'met' if is_met else 'short of its goal'}.")
    return 0 if is_met else 1


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--orders", type=int, default=200)
    parser.add_argument("--warm-up", type=int, default=10)
    parser.add_argument("--role", choices=("desk", "stage", "signer"), default="desk")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--world", type=orjson.loads)
    arguments = parser.parse_args(argv)
    if arguments.role == "stage":
        anyio.run(stage_process)
        return 0
    if arguments.role == "signer":
        anyio.run(signer_process, arguments.folder, arguments.world)
        return 0
    with tempfile.TemporaryDirectory() as place, process("--role", "stage") as (_, told):
        folder, world = Path(place), told.readline()
        with process("--role", "signer", "--folder", place, "--world", world) as (end, signer):
            signer.readline()
            found = anyio.run(measured, folder, json.loads(world), arguments.warm_up + arguments.orders)
            end.close()
            spans: Spans = found.waits.spans + [(begin, until) for begin, until in json.loads(signer.readline())]
        sync_ms, sign_ms = floor_ms(folder)
    counted = found.spans[arguments.warm_up :]
    whole_ms = [(until - begin) / 1e6 for begin, until in counted]
    ours_ms = [whole - out_ns(spans, *each) / 1e6 for whole, each in zip(whole_ms, counted, strict=True)]
    return report(ours_ms, whole_ms, sync_ms, sign_ms)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

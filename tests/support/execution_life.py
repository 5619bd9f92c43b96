"""One life of a real process that carries an intent out, and the zygote that has it born and dead in milliseconds.

    python -m tests.support.execution_life

reads a life a line (JSON) and answers each with its number and how it ended, whichever ends first. A life is forked
before any thread or loop exists, and kills itself with SIGKILL where it is told to: nothing is flushed, closed or said.
"""

import importlib
import inspect
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import anyio
from solders.keypair import Keypair

from trading.adapters.execution_journal import SqlExecutionJournal
from trading.adapters.jupiter.build import JupiterBuild
from trading.adapters.jupiter.gateway import JupiterApi
from trading.adapters.second_prices import PoolPrices
from trading.adapters.solana.chain import SolanaChain
from trading.config import ChainSection, MarketSection, RouterSection
from trading.execution.executor import Executor, ExecutorRules, Outlook
from trading.execution.preparing import PreparingParts, PreparingRules, SwapPreparer
from trading.execution.price_check import PriceRules
from trading.model.chain import AbsenceProof, HeightSeen, SignWanted
from trading.model.intent import Intent, IntentKind, IntentState
from trading.runtime.clock import WallClock

LIFE_S = 100.0


class Doomed:
    """Passes calls on and dies before or after the first one of a name."""

    def __init__(self, target: Any, where: str) -> None:
        self._target = target
        self._where = where

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not self._where.endswith(f" {name}"):
            return found

        def plain(*args: Any, **kwargs: Any) -> Any:
            self._die_at(f"before {name}")
            answer = found(*args, **kwargs)
            self._die_at(f"after {name}")
            return answer

        async def waiting(*args: Any, **kwargs: Any) -> Any:
            self._die_at(f"before {name}")
            answer = await found(*args, **kwargs)
            self._die_at(f"after {name}")
            return answer

        return waiting if inspect.iscoroutinefunction(found) else plain

    def _die_at(self, here: str) -> None:
        if here == self._where:
            os.kill(os.getpid(), signal.SIGKILL)


class SeedSigner:
    def __init__(self, seed: bytes) -> None:
        self._key = Keypair.from_seed(seed)

    async def wallets(self) -> Sequence[str]:
        return [str(self._key.pubkey())]

    async def sign(self, wanted: SignWanted) -> bytes:
        return bytes(self._key.sign_message(wanted.message))


class Hasty:
    """A chain whose client takes silence for a proof that nothing will come: what a desk must never do."""

    def __init__(self, chain: SolanaChain) -> None:
        self._chain = chain

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)

    async def proof_of_absence(self, signature: str, last_valid_block_height: int) -> AbsenceProof:
        over = HeightSeen("nobody", last_valid_block_height + 1, last_valid_block_height + 1)
        return AbsenceProof(signature, last_valid_block_height, (over,))


async def live(life: dict[str, Any]) -> str:
    """Carry the intent out; return its state."""
    clock, dies = WallClock(), life["dies"]
    section = ChainSection.model_validate(life["chain"])
    market = MarketSection.model_validate({"jupiter_url": life["router"], "jupiter_calls_per_minute": 60_000})
    journal = SqlExecutionJournal.at(Path(life["journal"]), clock.now_ns)
    async with (
        SolanaChain.connect(section, clock) as chain,
        JupiterApi.connect(market, RouterSection(), clock) as api,
    ):
        prices = PoolPrices(chain, {key: tuple(held) for key, held in life["pools"].items()}, 0, clock)
        signer = SeedSigner(bytes.fromhex(life["seed"]))
        parts = PreparingParts(chain, JupiterBuild(api), prices, signer, lambda _mint: (), clock.now_ns)
        preparer = Doomed(SwapPreparer(parts, PreparingRules(prices=PriceRules())), dies)
        rules = ExecutorRules(section.genesis_hash, poll_s=0.03, resend_s=0.06, backoff_s=0.01, backoff_cap_s=0.1)
        told = life["intent"]
        intent = Intent(**told | {"kind": IntentKind(told["kind"]), "accounts": tuple(told["accounts"])})
        changed = anyio.Event()

        def on_change(_intent_id: str) -> None:
            changed.set()

        outlook = Outlook(clock.now_ns, on_change=on_change)
        seen = Hasty(chain) if life["is_hasty"] else chain
        executor = Executor(Doomed(journal, dies), Doomed(seen, dies), preparer, rules, outlook)
        with anyio.fail_after(LIFE_S):
            async with anyio.create_task_group() as tasks:
                await tasks.start(_run, executor, intent.wallet)
                known = await executor.take(intent)
                while not known.is_final and known.state is not IntentState.NEEDS_REVIEW:
                    await changed.wait()
                    changed = anyio.Event()
                    known = journal.record(intent.id)
                tasks.cancel_scope.cancel()
    journal.close()
    return f"{known.state.value} {known.problem}".strip()


async def _run(executor: Executor, wallet: str, *, task_status: anyio.abc.TaskStatus[None]) -> None:
    await executor.run([wallet], task_status=task_status)


def _born(life: dict[str, Any], out: int) -> NoReturn:
    try:
        os.write(out, anyio.run(live, life).encode())
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the zygote must not go on as this child
        os.write(out, f"error {error!r}".encode()[:2_000])
        os._exit(1)


def _minded(line: str) -> NoReturn:
    """Have one life born, wait until it is over, and tell how it ended: others are born meanwhile."""
    life = json.loads(line)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        _born(life, write)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    ended = {"number": life["number"], "killed": os.WIFSIGNALED(status), "said": said}
    os.write(sys.stdout.fileno(), (json.dumps(ended) + "\n").encode())  # one write: lines of others do not mix in
    os._exit(0)


def _warmed() -> None:
    """Import what is otherwise imported when the first call needs it: hundredths of a second in each life."""
    for name in ("anyio._backends._asyncio", "httpcore2", "sqlite3", "sqlalchemy.dialects.sqlite.pysqlite"):
        importlib.import_module(name)


def main() -> None:
    _warmed()
    for line in sys.stdin:
        if os.fork() == 0:
            _minded(line)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                continue


if __name__ == "__main__":
    main()

"""The kill matrix of live execution: real processes, a real virtual machine, every step, every weather, the books."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from solders.pubkey import Pubkey

from tests.support.rehearsal import JupiterStage, jupiter_stage
from trading.adapters.execution_journal import SqlExecutionJournal
from trading.model.intent import SOL_MINT, Intent
from trading.rehearsal.faults import FOREVER, Fault, Kind
from trading.rehearsal.server import Rehearsal
from trading.rehearsal.tokens import NATIVE_MINT
from trading.runtime.clock import WallClock

SOL = 10**9
SLOT_S = 0.008
LIVES_MAX = 4


def _all(*faults: Fault) -> Callable[[Rehearsal], None]:
    def put(rehearsal: Rehearsal) -> None:
        for endpoint in rehearsal.endpoints.values():
            endpoint.faults.add(*(Fault(**asdict(each)) for each in faults))

    return put


def _lag(rehearsal: Rehearsal) -> None:
    rehearsal.endpoints["two"].node.lag_slots = 60


def _lie(rehearsal: Rehearsal) -> None:
    rehearsal.endpoints["two"].faults.add(
        Fault(Kind.DENY, calls=FOREVER), Fault(Kind.AHEAD, ("getBlockHeight",), calls=FOREVER, slots=5_000)
    )


WEATHER: dict[str, Callable[[Rehearsal], None]] = {
    "healthy": _all(),
    "delayed": _all(Fault(Kind.DELAY, calls=FOREVER, slots=8)),
    "first sends dropped": _all(Fault(Kind.DROP, calls=3)),
    "landed late": _all(Fault(Kind.DELAY, calls=FOREVER, slots=120)),
    "answer lost": _all(Fault(Kind.LOST, ("sendTransaction",), calls=3)),
    "429 storm": _all(
        Fault(Kind.TOO_MANY, ("sendTransaction",), calls=3, retry_after_s=0.02),
        Fault(Kind.TOO_MANY, ("getSignatureStatuses", "getTransaction", "getEpochInfo"), calls=9, retry_after_s=0.02),
    ),
    "one lags": _lag,
    "one lies": _lie,
    "all dropped, then expired": _all(Fault(Kind.DROP, calls=40)),
}
STEPS = ("open", "prepare", "signed", "send", "status", "landed", "transaction", "settled")
PLACES = tuple(f"{when} {step}" for step in STEPS for when in ("before", "after"))


@dataclass(frozen=True, slots=True)
class Case:
    weather: str
    dies: str

    @property
    def name(self) -> str:
        return f"{self.dies}, {self.weather}"


def matrix() -> list[Case]:
    """Return every case: all steps in all weathers, and the steps that only an expiry has."""
    cases = [Case(weather, place) for place in PLACES for weather in WEATHER]
    return cases + [Case("all dropped, then expired", f"{when} expired") for when in ("before", "after")]


def chosen(count: int) -> list[Case]:
    """Return so many cases that cover each step and each weather as evenly as they can."""
    names, places = list(WEATHER), list(enumerate(PLACES))
    cases = [Case(names[(at + turn) % len(names)], place) for turn in range(len(names)) for at, place in places]
    expired = [Case("all dropped, then expired", f"{when} expired") for when in ("before", "after")]
    return [*expired, *dict.fromkeys(cases)][:count]


class Zygote:
    """The process that lives are forked from."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.support.execution_life"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def live(self, life: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(life) + "\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


@contextmanager
def a_zygote() -> Iterator[Zygote]:
    zygote = Zygote()
    try:
        yield zygote
    finally:
        zygote.close()


async def run_cases(cases: list[Case], folder: Path, told: Callable[[Case, str], None]) -> int:
    """Run the cases one after the other; ``told`` hears what is wrong with each, "" where nothing is. Return how many
    processes were killed."""
    killed = 0
    with a_zygote() as zygote:
        for number, case in enumerate(cases):
            async with jupiter_stage() as stage, _running(stage):
                deaths, problem = await _run(stage, zygote, case, folder / f"case_{number}.db")
            killed += deaths
            told(case, problem)
    return killed


async def _run(stage: JupiterStage, zygote: Zygote, case: Case, path: Path) -> tuple[int, str]:
    wallet = stage.wallet()
    address = str(wallet.pubkey())
    life = _life(stage, address, path)
    WEATHER[case.weather](stage.rehearsal)
    before = stage.lamports(wallet)
    deaths = 0
    for number in range(LIVES_MAX):
        doomed = life | {"dies": case.dies if number == 0 else ""}
        ended = await anyio.to_thread.run_sync(zygote.live, doomed)
        if not ended["killed"]:
            break
        deaths += 1
    else:
        return deaths, "it never came to an end"
    if ended["said"].startswith("error"):
        return deaths, ended["said"]
    if not deaths:
        return deaths, f"it was not killed, {case.dies} never happened: {ended['said']}"
    stage.cluster.tick(200)
    return deaths, _wrong(stage, address, before - stage.lamports(wallet), stage.units(wallet, stage.frog), path)


def _wrong(stage: JupiterStage, wallet: str, spent: int, units: int, path: Path) -> str:
    journal = SqlExecutionJournal.at(path, WallClock().now_ns)
    try:
        [known] = [each for each in [journal.by_key("run/one")] if each is not None]
        swaps = [each for each in stage.cluster.history(wallet) if stage.cluster.executed[each].error is None]
        if known.state.value == "settled":
            settled = known.settlement
            assert settled is not None
            booked = settled.in_units + settled.fee_lamports + settled.tip_lamports + settled.rent_lamports
            if (len(swaps), booked, settled.out_units) != (1, spent, units):
                moved = f"{len(swaps)} swaps, {spent} lamports and {units} units moved"
                return f"{moved}; booked {booked} and {settled.out_units}"
        elif known.is_final:
            if swaps or units:
                return f"{known.state.value}, and yet {len(swaps)} swaps"
        else:
            return f"it ended as {known.state.value}: {known.problem}"
        left = journal.reserved(wallet) or journal.halted() or [each.intent.id for each in journal.unfinished()]
        return f"something is left: {left}" if left else ""
    finally:
        journal.close()


def _life(stage: JupiterStage, wallet: str, path: Path) -> dict[str, Any]:
    quoted = stage.pool.quote(stage.cluster, NATIVE_MINT, SOL)
    now_ns = WallClock().now_ns()
    intent = Intent(
        id="int_one",
        key="run/one",
        wallet=wallet,
        in_mint=SOL_MINT,
        out_mint=stage.frog,
        amount_in=SOL,
        min_out=quoted * 97 // 100,
        slippage_bps_max=300,
        fee_lamports_max=100_000,
        attempts_max=30,  # a blockhash lives a second here: on a busy machine several may run out
        created_ns=now_ns,
        deadline_ns=now_ns + 120 * SOL,
        is_exit=False,
    )
    mints = (Pubkey.from_string(stage.frog), NATIVE_MINT)
    urls = [stage.rehearsal.url(name) for name in ("one", "two")]
    return {
        "journal": str(path),
        "chain": {
            "endpoints": [{"url": url, "calls_per_second": 5_000} for url in urls],
            "genesis_hash": stage.cluster.genesis_hash,
            "lag_slots_max": 100,
            "backoff_base_s": 0.02,
            "backoff_cap_s": 0.1,
        },
        "router": stage.server.url,
        "pools": {stage.frog: [str(stage.pool.vault(mint)) for mint in mints]},
        "seed": stage.wallets.to_bytes(32, "big").hex(),
        "intent": asdict(intent),
        "dies": "",
    }


class _running:  # noqa: N801 - read as a verb
    """Let time move while the block runs, faster than a user's."""

    def __init__(self, stage: JupiterStage) -> None:
        self._stage = stage
        self._tasks = anyio.create_task_group()

    async def __aenter__(self) -> None:
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._tick)

    async def __aexit__(self, *error: Any) -> bool | None:
        self._tasks.cancel_scope.cancel()
        return await self._tasks.__aexit__(*error)

    async def _tick(self) -> None:
        while True:
            await anyio.sleep(SLOT_S)
            self._stage.cluster.tick()

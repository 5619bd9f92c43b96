"""The kill matrix of live execution: real processes, a real virtual machine, every step, every weather, the books."""

import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from tests.support.rehearsal import JupiterStage, jupiter_stage
from trading.adapters.execution_journal import SqlExecutionJournal
from trading.model.intent import SOL_MINT, Intent
from trading.model.units import NS_PER_S
from trading.rehearsal.faults import FOREVER, Fault, Kind
from trading.rehearsal.rpc import Node
from trading.rehearsal.server import Endpoint
from trading.rehearsal.tokens import NATIVE_MINT
from trading.runtime.clock import WallClock

LAMPORTS = 10**8
SLOT_S = 0.008
LIVES_MAX = 4
LIFE_WAIT_S = 130.0
LANES = 8
"""How many cases live beside each other: most of a life is waiting for blocks."""
BATCH = 30
"""Cases on one chain."""

Weather = Callable[[Sequence[Endpoint]], None]
"""Does to the two endpoints of a case what is wrong with them."""


def _all(*faults: Fault) -> Weather:
    def put(endpoints: Sequence[Endpoint]) -> None:
        for endpoint in endpoints:
            endpoint.faults.add(*(replace(each) for each in faults))

    return put


def _lag(endpoints: Sequence[Endpoint]) -> None:
    endpoints[1].node.lag_slots = 60


def _lie(endpoints: Sequence[Endpoint]) -> None:
    endpoints[1].faults.add(
        Fault(Kind.DENY, calls=FOREVER), Fault(Kind.AHEAD, ("getBlockHeight",), calls=FOREVER, slots=5_000)
    )


WEATHER: dict[str, Weather] = {
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
    is_hasty: bool = False
    """It signs anew without proof that the last attempt is dead: a control, which must be caught."""

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
    """The process that lives are forked from, several at a time."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.support.execution_life"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._asked = itertools.count(1)
        self._ends: dict[int, dict[str, Any]] = {}
        self._ended = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def live(self, life: dict[str, Any]) -> dict[str, Any]:
        """Have one life lived, and return how it ended: ``killed`` and what it ``said``."""
        assert self._process.stdin is not None
        with self._ended:
            number = next(self._asked)
            self._process.stdin.write(json.dumps(life | {"number": number}) + "\n")
            self._process.stdin.flush()
            if not self._ended.wait_for(lambda: number in self._ends, LIFE_WAIT_S):
                return {"killed": False, "said": "error: nothing was heard of it"}
            return self._ends.pop(number)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._reader.join()
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            ended = json.loads(line)
            with self._ended:
                self._ends[ended.pop("number")] = ended
                self._ended.notify_all()


@contextmanager
def a_zygote() -> Iterator[Zygote]:
    zygote = Zygote()
    try:
        yield zygote
    finally:
        zygote.close()


@dataclass(frozen=True, slots=True)
class _Run:
    """A case with a wallet, a journal and two endpoints of its own: its weather is nobody else's."""

    case: Case
    wallet: Keypair
    path: Path
    endpoints: tuple[Endpoint, Endpoint]
    lamports: int

    @property
    def address(self) -> str:
        return str(self.wallet.pubkey())


async def run_cases(cases: list[Case], folder: Path, told: Callable[[Case, str], None]) -> int:
    """Run the cases, so many beside each other on one chain; ``told`` hears what is wrong with each, "" where nothing
    is. Return how many processes were killed."""
    killed = 0
    with a_zygote() as zygote:
        for start in range(0, len(cases), BATCH):
            batch = cases[start : start + BATCH]
            async with jupiter_stage() as stage:
                runs = [_run_of(stage, case, start + number, folder) for number, case in enumerate(batch)]
                async with _running(stage):
                    ends = await _lived(stage, zygote, runs)
                # Whatever is still under way anywhere lands now, or its blockhash has run out.
                stage.cluster.tick(200)
                for run, (deaths, problem) in zip(runs, ends, strict=True):
                    killed += deaths
                    told(run.case, problem or _wrong(stage, run))
    return killed


def _run_of(stage: JupiterStage, case: Case, number: int, folder: Path) -> _Run:
    wallet = stage.wallet()
    own = [Endpoint(f"{number}_{name}", Node(stage.cluster)) for name in ("one", "two")]
    stage.rehearsal.endpoints |= {each.name: each for each in own}
    WEATHER[case.weather](own)
    return _Run(case, wallet, folder / f"case_{number}.db", (own[0], own[1]), stage.lamports(wallet))


async def _lived(stage: JupiterStage, zygote: Zygote, runs: Sequence[_Run]) -> list[tuple[int, str]]:
    """Live all runs; return of each how often it was killed, and what is wrong already."""
    ends: dict[str, tuple[int, str]] = {}
    lanes = anyio.CapacityLimiter(LANES)

    async def run_one(run: _Run) -> None:
        async with lanes:
            ends[run.address] = await _live(stage, zygote, run)

    async with anyio.create_task_group() as tasks:
        for run in runs:
            tasks.start_soon(run_one, run)
    return [ends[run.address] for run in runs]


async def _live(stage: JupiterStage, zygote: Zygote, run: _Run) -> tuple[int, str]:
    life = _life(stage, run)
    deaths = 0
    for number in range(LIVES_MAX):
        doomed = life | {"dies": run.case.dies if number == 0 else ""}
        ended = await anyio.to_thread.run_sync(zygote.live, doomed)
        if not ended["killed"]:
            break
        deaths += 1
    else:
        return deaths, "it never came to an end"
    if ended["said"].startswith("error"):
        return deaths, ended["said"]
    if not deaths:
        return deaths, f"it was not killed, {run.case.dies} never happened: {ended['said']}"
    return deaths, ""


def _wrong(stage: JupiterStage, run: _Run) -> str:
    """Hold the chain against the books of a run; return what differs, "" where nothing does."""
    wallet = run.address
    spent, units = run.lamports - stage.lamports(run.wallet), stage.units(run.wallet, stage.frog)
    journal = SqlExecutionJournal.at(run.path, WallClock().now_ns)
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


def _life(stage: JupiterStage, run: _Run) -> dict[str, Any]:
    quoted = stage.pool.quote(stage.cluster, NATIVE_MINT, LAMPORTS)
    now_ns = WallClock().now_ns()
    intent = Intent(
        id="int_one",
        key="run/one",
        wallet=run.address,
        in_mint=SOL_MINT,
        out_mint=stage.frog,
        amount_in=LAMPORTS,
        min_out=quoted * 95 // 100,  # others swap meanwhile
        slippage_bps_max=300,
        fee_lamports_max=100_000,
        attempts_max=3 if run.case.is_hasty else 30,  # a second each, and machines are busy
        created_ns=now_ns,
        deadline_ns=now_ns + 120 * NS_PER_S,
        is_exit=False,
    )
    mints = (Pubkey.from_string(stage.frog), NATIVE_MINT)
    urls = [stage.rehearsal.url(each.name) for each in run.endpoints]
    return {
        "journal": str(run.path),
        "chain": {
            "endpoints": [{"url": url, "calls_per_second": 5_000} for url in urls],
            "genesis_hash": stage.cluster.genesis_hash,
            "lag_slots_max": 100,
            "backoff_base_s": 0.02,
            "backoff_cap_s": 0.1,
        },
        "router": stage.server.url,
        "pools": {stage.frog: [str(stage.pool.vault(mint)) for mint in mints]},
        "seed": bytes(run.wallet)[:32].hex(),
        "intent": asdict(intent),
        "dies": "",
        "is_hasty": run.case.is_hasty,
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

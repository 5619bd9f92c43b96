"""Small real swaps by the desk's own executor, signer and router, then the wallet held against the journal.

``python -m scripts.live_smoke --live --swaps 100``: buys and sells of one token in turn, each sale of what the buy
before it gave. On a terminal only, after a typed confirmation. The mandate must be armed: the signer signs nothing that
it does not allow. Never is more than ``--spend-max`` gone from the wallet. Killed anywhere it goes on where it was,
when it is started again with the same state; nothing is swapped twice.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

import anyio
from scripts.live_ledger import HISTORY_MAX, Held, Reconciled, held_now, line_of, reconciled, table

from trading.cli.client import data_dir_of
from trading.cli.files import write_whole
from trading.cli.options import lamports_of
from trading.config import Sections
from trading.errors import InvalidInput, NotArmed, TradingError, Unavailable, WrongChain
from trading.execution.executor import Executor, ExecutorRules, Outlook
from trading.feeds.instruments import KNOWN_MINTS
from trading.model.chain import SwapWanted
from trading.model.intent import SOL_MINT, Intent, IntentRecord, IntentState
from trading.model.mandate import network_of
from trading.model.network import TOKEN_ACCOUNT_RENT_LAMPORTS
from trading.model.rug_rules import RugRules
from trading.model.units import BPS_ONE, NS_PER_S
from trading.runtime.clock import WallClock
from trading.runtime.live_run import LiveParts, live_parts
from trading.signing.terminal import ask_typed, require_terminal

COUNT_MAX = 200
SPEND_LAMPORTS_MAX = 10**9
FAILURES_MAX = 5
QUOTE_TRIES = 5
HISTORY_TRIES = 10
DEADLINE_S = 300
LOOK_S = 0.1
PLAN_NAME = "plan.json"
FEE_UNITS = 150_000
"""What a swap is taken to need for the estimate, in compute units."""


@dataclass(frozen=True)
class Wish:
    """What the operator asks for. ``fee_max``: lamports of one attempt. ``spend_max``: lamports that may be gone."""

    mint: str
    count: int
    lamports: int
    spend_max: int
    fee_max: int
    slippage_bps: int
    pause_s: float


@dataclass(frozen=True)
class SwapPlan:
    """What was begun: written down before the first swap, and gone on from. ``cursor``: the newest signature of the
    wallet's history then."""

    run: str
    wallet: str
    genesis_hash: str
    program: str
    wish: Wish
    before: Held
    cursor: str | None

    @classmethod
    def read(cls, path: Path) -> "SwapPlan | None":
        """Raises: InvalidInput for a file that is no plan."""
        if not path.exists():
            return None
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{**body, "wish": Wish(**body["wish"]), "before": Held(**body["before"])})
        except (ValueError, TypeError, KeyError) as error:
            msg = f"{path} is no plan of swaps: {error}"
            raise InvalidInput(msg, field="state") from error

    def key(self, number: int) -> str:
        return f"smoke/{self.run}/{number}"


class SwapRun:
    """One start of a plan. ``stopped`` says why it ended before all was swapped."""

    def __init__(self, plan: SwapPlan, parts: LiveParts, attempts_max: int) -> None:
        self._plan = plan
        self._parts = parts
        self._attempts_max = attempts_max
        self._failures = 0
        self.stopped = ""

    def records(self) -> list[IntentRecord]:
        """Return what is known of the plan's swaps, in their order."""
        found: list[IntentRecord] = []
        while (known := self._parts.journal.by_key(self._plan.key(len(found)))) is not None:
            found.append(known)
        return found

    async def swap(self, executor: Executor) -> None:
        """Swap until the plan is fulfilled, or something is in the way."""
        try:
            await self._swap(executor)
        except TradingError as error:
            self.stopped = f"{error.code}: {error.message}"

    async def _swap(self, executor: Executor) -> None:
        while not self.stopped:
            records = self.records()
            unfinished = next((known for known in records if not known.is_final), None)
            if unfinished is not None:
                await self._finish(executor, unfinished.intent)
                continue
            done = [known for known in records if known.state is IntentState.SETTLED]
            if len(done) >= self._plan.wish.count:
                return
            intent = await self._next(records, done)
            if intent is not None:
                await executor.take(intent)
                await self._finish(executor, intent)
                await anyio.sleep(self._plan.wish.pause_s)

    async def _next(self, records: Sequence[IntentRecord], done: Sequence[IntentRecord]) -> Intent | None:
        wish, held = self._plan.wish, sum(line_of(known).units for known in records)
        if held > 0:
            return await self._intent(len(records), wish.mint, SOL_MINT, held)
        gone = -sum(line_of(known).lamports for known in records)
        deposit = 0 if done else TOKEN_ACCOUNT_RENT_LAMPORTS
        worst = gone + wish.lamports + 2 * wish.fee_max + deposit
        if worst > wish.spend_max:
            self.stopped = f"{gone} lamports are gone; with one more buy it could be {worst}, above {wish.spend_max}"
            return None
        return await self._intent(len(records), SOL_MINT, wish.mint, wish.lamports)

    async def _intent(self, number: int, in_mint: str, out_mint: str, amount: int) -> Intent:
        plan, now_ns = self._plan, WallClock().now_ns()
        quoted = await quoted_out(
            self._parts, SwapWanted(plan.wallet, in_mint, out_mint, amount, plan.wish.slippage_bps)
        )
        return Intent(
            id=f"smoke_{plan.run}_{number}",
            key=plan.key(number),
            wallet=plan.wallet,
            in_mint=in_mint,
            out_mint=out_mint,
            amount_in=amount,
            min_out=quoted * (BPS_ONE - plan.wish.slippage_bps) // BPS_ONE,
            slippage_bps_max=plan.wish.slippage_bps,
            fee_lamports_max=plan.wish.fee_max,
            attempts_max=self._attempts_max,
            created_ns=now_ns,
            deadline_ns=now_ns + DEADLINE_S * NS_PER_S,
            is_exit=out_mint == SOL_MINT,
            reason="live smoke",
        )

    async def _finish(self, executor: Executor, intent: Intent) -> None:
        """Wait until an intent is decided, and say how."""
        await executor.take(intent)
        while True:
            known = self._parts.journal.record(intent.id)
            if known.is_final:
                break
            halted = self._parts.journal.halted().get(intent.wallet)
            if halted is not None or known.state is IntentState.NEEDS_REVIEW:
                self.stopped = f"the wallet is halted: {halted or known.problem}"
                return
            await anyio.sleep(LOOK_S)
        line = line_of(known)
        done = sum(each.state is IntentState.SETTLED for each in self.records())
        print(f"{done} of {self._plan.wish.count}: {line.state} {line.signature} {line.problem}".rstrip(), flush=True)
        if known.state is not IntentState.SETTLED:
            self._failures += 1
            if self._failures >= FAILURES_MAX:
                self.stopped = f"{self._failures} swaps came to nothing; the last one: {known.problem}"


async def quoted_out(parts: LiveParts, wanted: SwapWanted) -> int:
    """Return what the router offers now, in base units. Raises: RouteRefused; RouterUnavailable after some tries."""
    for _ in range(QUOTE_TRIES - 1):
        try:
            return (await parts.router.offer(wanted)).out_units
        except Unavailable:
            await anyio.sleep(1)
    return (await parts.router.offer(wanted)).out_units


async def permission_problems(parts: LiveParts, wish: Wish) -> list[str]:
    """Return why the signer would not sign this, as far as it says. Raises: NotArmed; SignerUnavailable."""
    status = await parts.signer.status()
    armed = status["armed"]
    if armed is None:
        raise NotArmed(f"nothing is armed: {status['why_not']}", hint="memmcp-trade live arm")
    needed, fees = wish.count // 2 * wish.lamports, wish.count * wish.fee_max
    left = armed["day_lamports_max"] - status["day"]["spent_lamports"]
    fees_left = armed["fee_day_lamports_max"] - status["day"]["fee_lamports"]
    is_ramp = status["ramp_left"] > 0 and wish.lamports > armed["ramp_lamports_max"]
    wrong = {
        f"the mandate does not name the wallet {parts.wallet}": parts.wallet not in armed["wallets"],
        f"the mandate does not name the token {wish.mint}": wish.mint not in armed["mints"],
        f"an order may be of {armed['order_lamports_max']} lamports": wish.lamports > armed["order_lamports_max"],
        "such an order waits for an approval": wish.lamports > armed["approval_above_lamports"],
        f"the first orders may be of {armed['ramp_lamports_max']} lamports": is_ramp,
        f"{left} lamports of the day's size are left, {needed} are needed": needed > left,
        f"an attempt may cost {armed['fee_lamports_max']} lamports": wish.fee_max > armed["fee_lamports_max"],
        f"{fees_left} lamports of the day's fees are left, {fees} may be needed": fees > fees_left,
    }
    return [problem for problem, is_so in wrong.items() if is_so]


async def require_chain(parts: LiveParts) -> None:
    """Raises: WrongChain unless the chain is the one that the mandate and the wallet's key are for; Unavailable."""
    status = await parts.signer.status()
    keys = {each["address"]: each["genesis_hash"] for each in status["wallets"]}
    found = await parts.chain.genesis_hash()
    if keys.get(parts.wallet) != found:
        wanted = keys.get(parts.wallet, "none that the signer knows")
        raise WrongChain(f"the wallet's key and its mandate are for the chain {wanted}, this is {found}")


async def begun(parts: LiveParts, wish: Wish) -> SwapPlan:
    """Return a new plan with what the wallet has now. Raises: InvalidInput for a mint that is none; Unavailable."""
    account = (await parts.chain.accounts([wish.mint]))[wish.mint]
    if account is None:
        raise InvalidInput(f"there is no token {wish.mint} on this chain", field="token")
    newest = await parts.chain.signatures(parts.wallet, until=None, limit=1)
    before = await held_now(parts.chain, parts.wallet, wish.mint, account.owner)
    cursor = newest[0].signature if newest else None
    return SwapPlan(uuid4().hex[:12], parts.wallet, parts.genesis_hash, account.owner, wish, before, cursor)


async def estimate(parts: LiveParts, plan: SwapPlan) -> list[str]:
    """Return what it will cost as far as that can be said before. Raises: RouteRefused; Unavailable."""
    wish = plan.wish
    bought = await quoted_out(parts, SwapWanted(plan.wallet, SOL_MINT, wish.mint, wish.lamports, wish.slippage_bps))
    back = await quoted_out(parts, SwapWanted(plan.wallet, wish.mint, SOL_MINT, bought, wish.slippage_bps))
    price = await parts.chain.priority_fee([wish.mint])
    fee = min(wish.fee_max, 5_000 + price * FEE_UNITS // 1_000_000)
    pairs = wish.count // 2
    total = pairs * (wish.lamports - back) + wish.count * fee + TOKEN_ACCOUNT_RENT_LAMPORTS
    return [
        f"wallet      {plan.wallet} with {plan.before.sol} lamports",
        f"chain       {network_of(plan.genesis_hash).value} money, {plan.genesis_hash}",
        f"swaps       {wish.count}: {pairs} buys of {wish.lamports} lamports of {wish.mint}, each sold again",
        f"price       a buy and its sale lose about {wish.lamports - back} lamports now",
        f"fees        about {fee} lamports a swap, at most {wish.fee_max}; a deposit of {TOKEN_ACCOUNT_RENT_LAMPORTS}",
        f"estimate    {total} lamports; never are more than {wish.spend_max} gone",
    ]


async def reconcile(parts: LiveParts, plan: SwapPlan, records: Sequence[IntentRecord]) -> Reconciled:
    """Hold the wallet against the journal, once the chain tells its history so far. Raises: Unavailable; DataError."""
    booked = {known.settlement.signature for known in records if known.settlement}
    for _ in range(HISTORY_TRIES):
        seen = await parts.chain.signatures(plan.wallet, until=plan.cursor, limit=HISTORY_MAX)
        if booked <= {each.signature for each in seen}:
            break
        await anyio.sleep(1)  # an endpoint tells a transaction before it lists it
    after = await held_now(parts.chain, plan.wallet, plan.wish.mint, plan.program)
    return reconciled(plan.before, after, records, {each.signature: each.error for each in seen})


async def carried_out(state: Path, sections: Sections, wish: Wish, confirm: Callable[[str], str] = ask_typed) -> int:
    """Begin or go on with a plan in a folder that is there, swap, reconcile.

    Return 0 where all was swapped and nothing differs, 1 where not, 2 where ``confirm``, given a question, did not
    answer with the words that it asks for. Raises: TradingError.
    """
    with _alone():
        async with live_parts(state, sections) as parts:
            return await _carried_out(state / PLAN_NAME, sections, wish, confirm, parts)


async def _carried_out(
    path: Path, sections: Sections, wish: Wish, confirm: Callable[[str], str], parts: LiveParts
) -> int:
    banned = {sections.live.mints.get(each, each) for each in sections.live.banned}
    parts.mints.rules = RugRules(banned=tuple(banned))  # no profile speaks here, so nothing is allowed beyond these
    await require_chain(parts)
    plan = SwapPlan.read(path)
    is_new = plan is None
    if plan is None:
        problems = await permission_problems(parts, wish)
        if problems:
            raise InvalidInput("; ".join(problems), field="mandate")
        plan = await begun(parts, wish)
    elif (plan.wallet, plan.genesis_hash) != (parts.wallet, parts.genesis_hash):
        msg = f"{path} was begun with the wallet {plan.wallet} on the chain {plan.genesis_hash}"
        raise InvalidInput(msg, field="state")
    run = SwapRun(plan, parts, sections.live.attempts_max)
    done = sum(known.state is IntentState.SETTLED for known in run.records())
    print("\n".join(await estimate(parts, plan)))
    if not is_new:
        print(f"begun       {done} of {plan.wish.count} are done; what was asked for then holds")
    words = f"{network_of(plan.genesis_hash).value} {plan.wish.count}"
    if await anyio.to_thread.run_sync(confirm, f'to swap, type "{words}": ') != words:
        print("nothing was swapped")
        return 2
    if is_new:
        write_whole(path, json.dumps(asdict(plan), indent=1), "state")
    await _swapped(run, parts, sections)
    records = run.records()
    return _ended(path, run, plan, await reconcile(parts, plan, records))


def _ended(path: Path, run: SwapRun, plan: SwapPlan, result: Reconciled) -> int:
    """Write the report, say it, and put a plan that is fulfilled aside; return the exit code."""
    settled = sum(line.state == IntentState.SETTLED.value for line in result.lines)
    body = {"plan": asdict(plan), "settled": settled, "stopped": run.stopped, **result.body()}
    write_whole(path.parent / f"report-{plan.run}.json", json.dumps(body, indent=1), "state")
    print(f"\n{table(result)}\n\n{settled} of {plan.wish.count} swapped" + (f"; {run.stopped}" if run.stopped else ""))
    if settled >= plan.wish.count:
        path.rename(path.parent / f"plan-{plan.run}.json")
    return int(bool(result.differences) or settled < plan.wish.count)


async def _swapped(run: SwapRun, parts: LiveParts, sections: Sections) -> None:
    live = sections.live
    rules = ExecutorRules(genesis_hash=parts.genesis_hash, poll_s=live.poll_s, resend_s=live.resend_s)
    executor = Executor(parts.journal, parts.chain, parts.preparer, rules, Outlook(WallClock().now_ns))

    async def work(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        await executor.run([parts.wallet], task_status=task_status)

    async with anyio.create_task_group() as tasks:
        await tasks.start(work)
        await run.swap(executor)
        tasks.cancel_scope.cancel()


@contextmanager
def _alone() -> Iterator[None]:
    """Let an error of ours out of the groups of tasks that it went through."""
    try:
        yield
    except BaseExceptionGroup as group:
        found: BaseException = group
        while isinstance(found, BaseExceptionGroup) and len(found.exceptions) == 1:
            found = found.exceptions[0]
        if isinstance(found, TradingError):
            raise found from group
        raise


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only swaps need."""
    group = parser.add_argument_group("real swaps, on a terminal")
    group.add_argument("--swaps", type=int, default=0, help=f"how many real swaps, even, at most {COUNT_MAX}")
    group.add_argument("--sol", default="0.002", help="SOL of one buy")
    group.add_argument("--spend-max", default="0.05", help="SOL that may be gone at most, at any time; at most 1")
    group.add_argument("--fee-max", type=int, default=50_000, help="lamports that an attempt may cost at most")
    group.add_argument("--slippage-bps", type=int, default=100, help="how far below its quote a swap may end")
    group.add_argument("--token", default="BONK", help="a known symbol, a name of TRADING_LIVE__MINTS, or a mint")
    group.add_argument("--pause", type=float, default=2.0, help="seconds between two swaps")
    group.add_argument("--state", type=Path, help="folder of this run (default: live-smoke in the data directory)")


def wish_of(arguments: argparse.Namespace, sections: Sections) -> Wish:
    """Return what is asked for. Raises: InvalidInput naming the option."""
    wish = Wish(
        mint=_mint(arguments.token, sections),
        count=arguments.swaps,
        lamports=lamports_of("sol", arguments.sol),
        spend_max=lamports_of("spend_max", arguments.spend_max),
        fee_max=arguments.fee_max,
        slippage_bps=arguments.slippage_bps,
        pause_s=arguments.pause,
    )
    bounds = {
        "swaps": (wish.count % 2 == 0 and 2 <= wish.count <= COUNT_MAX, f"an even number up to {COUNT_MAX}"),
        "spend_max": (wish.spend_max <= SPEND_LAMPORTS_MAX, "at most 1 SOL"),
        "fee_max": (5_000 <= wish.fee_max <= 5_000_000, "5000 to 5000000 lamports"),
        "slippage_bps": (1 <= wish.slippage_bps <= sections.live.slippage_bps_max, "1 to live.slippage_bps_max"),
        "pause": (0 <= wish.pause_s <= 600, "0 to 600 seconds"),
    }
    for name, (holds, allowed) in bounds.items():
        if not holds:
            raise InvalidInput(f"{name} is not {allowed}", field=name)
    if wish.lamports + 2 * wish.fee_max + TOKEN_ACCOUNT_RENT_LAMPORTS > wish.spend_max:
        raise InvalidInput("a single buy with its fees and deposit is more than spend_max", field="spend_max")
    return wish


def _mint(name: str, sections: Sections) -> str:
    known = {symbol: mint for symbol, (mint, _) in KNOWN_MINTS.items()} | sections.live.mints
    found = known.get(name, name)
    if not 32 <= len(found) <= 44:
        raise InvalidInput(f"{name!r} is no token that is known, and no mint", field="token")
    return found


def main(arguments: argparse.Namespace, sections: Sections) -> int:
    """Return the exit code; whatever is in the way is said."""
    try:
        require_terminal()
        state = (arguments.state or data_dir_of(None) / "live-smoke").expanduser().absolute()
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        return anyio.run(carried_out, state, sections, wish_of(arguments, sections))
    except TradingError as error:
        print(f"{error.code}: {error.message}" + (f"; {error.hint}" if error.hint else ""), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; started again with the same state it goes on", file=sys.stderr)
        return 1

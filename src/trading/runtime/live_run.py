"""What a desk needs beside its loop when the money is real: chain, router, signer, executor, and who carries orders.

Opened in that order and closed in reverse. Everything that is said about money waits for the chain: until it has been
reached, pinned and reconciled, orders wait.
"""

import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread

from trading.adapters.execution_journal import SqlExecutionJournal
from trading.adapters.instance import InstanceFile
from trading.adapters.jupiter.build import JupiterBuild
from trading.adapters.jupiter.gateway import JupiterApi
from trading.adapters.second_price_choice import second_price
from trading.adapters.solana.chain import SolanaChain
from trading.config import LiveSection, Sections
from trading.errors import ChainUnavailable, InvalidInput
from trading.execution.executor import Executor, ExecutorRules, Outlook
from trading.execution.preparing import PreparingParts, PreparingRules, SwapPreparer
from trading.execution.price_check import PriceRules
from trading.execution.round_trip import RoundTripPreparer
from trading.execution.upkeep import EitherPreparer, UpkeepPreparer
from trading.execution.upkeep import UpkeepParts as PreparerParts
from trading.model.intent import IntentRecord
from trading.model.order import Denied
from trading.model.units import sol_to_lamports
from trading.model.wallet import MAIN, WalletTerms
from trading.portfolio.chain_flows import FlowRules, Foreign
from trading.ports import Counted, SwapRouter
from trading.signing.approving import ApprovingSigner
from trading.signing.client import SignerSocket, SocketSigner
from trading.signing.frames import uid_of

from .arming import ArmingWatch
from .clock import WallClock
from .courier import Courier, CourierRules
from .flow_watch import FlowWatch
from .holding import HoldingWatch
from .live_metering import LiveMeters
from .mailbox import Mailbox
from .mint_policy import MintPolicy
from .reconciler_notes import Standing
from .reviewing import LiveReview
from .stage import Published
from .transactions import Executing
from .upkeep import Upkeep, UpkeepParts, UpkeepRules
from .waiting import WaitingOrders

if TYPE_CHECKING:
    from .desk_share import DeskShare

EXECUTION_NAME: Final = "execution.db"
UPKEEP_NAME: Final = "upkeep.json"
SIGNER_SOCKET: Final = Path("signer") / "signer.sock"
BALANCE_TRIES: Final = 5
RETRY_S: Final = 1.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LiveParts:
    """What was opened. ``wallet`` is the address of ``main``, ``wallets`` those of all by name; ``lamports`` is what
    ``main`` held when it was, ``terms`` how each is used, empty where there is one."""

    wallet: str
    wallets: Mapping[str, str]
    terms: tuple[WalletTerms, ...]
    genesis_hash: str
    chain: SolanaChain
    journal: SqlExecutionJournal
    signer: SocketSigner
    asking: ApprovingSigner
    preparer: EitherPreparer
    mints: MintPolicy
    lamports: int
    data_dir: Path
    router: SwapRouter
    jupiter: Counted | None = None
    share: "DeskShare | None" = None
    """Reserves the desk's swaps among those of the execution nodes, where there are any."""

    def desk(self, live: LiveSection, mailbox: Mailbox, on_change: Callable[[], None]) -> "LiveDesk":
        """Return the parts at work beside a desk's mailbox; ``on_change`` hears that an order went a step further."""
        return LiveDesk.of(self, live, mailbox, on_change)

    def executing(self, live: LiveSection) -> Executing:
        """Return what is shown of how orders are carried."""
        names = {mint: name for name, mint in live.mints.items()}
        return Executing(self.journal, self.wallets, names, self.journal.epoch)


@asynccontextmanager
async def live_parts(data_dir: Path, sections: Sections) -> AsyncIterator[LiveParts]:
    """Open what real money needs.

    Raises: InvalidInput naming the setting; WrongChain; ChainUnavailable where the wallet's balance cannot be read;
    JournalUnavailable.
    """
    live = sections.live
    if not live.wallet:
        msg = "real money needs the wallet that it is in"
        raise InvalidInput(msg, field="live.wallet", hint="`memmcp-trade signer status` shows the signer's wallets")
    clock = WallClock()
    async with AsyncExitStack() as stack:
        place = data_dir / EXECUTION_NAME
        journal = await anyio.to_thread.run_sync(
            lambda: SqlExecutionJournal.at(place, clock.now_ns, InstanceFile(data_dir))
        )
        stack.callback(journal.close)
        chain = await stack.enter_async_context(SolanaChain.connect(sections.chain, clock))
        await chain.genesis_hash()
        api = await stack.enter_async_context(JupiterApi.connect(sections.market, sections.router, clock))
        price = await stack.enter_async_context(second_price(sections.market, sections.router, chain, clock))
        signer = SocketSigner(signer_at(data_dir.parent, live))  # beside the desk's own directory
        asking = ApprovingSigner(signer, clock.now_ns, live.approval_wait_s)
        mints = MintPolicy()
        router = JupiterBuild(api)
        parts = PreparingParts(chain, router, price, asking, mints.problems, clock.now_ns)
        upkeep = UpkeepPreparer(PreparerParts(chain, signer, clock.now_ns))
        rules = preparing_rules(live)
        preparer = EitherPreparer(SwapPreparer(parts, rules), upkeep, RoundTripPreparer(parts, rules))
        lamports = await _balance(chain, live.wallet)
        yield LiveParts(
            wallet=live.wallet,
            wallets={MAIN: live.wallet} | {each.name: each.address for each in live.wallets},
            terms=await _terms(chain, live),
            genesis_hash=sections.chain.genesis_hash,
            chain=chain,
            journal=journal,
            signer=signer,
            asking=asking,
            preparer=preparer,
            mints=mints,
            lamports=lamports,
            data_dir=data_dir,
            router=router,
            jupiter=api,
            share=_share(sections, journal, clock),
        )


@dataclass(slots=True)
class LiveDesk:
    """The parts at work beside a loop. ``wake`` after each commit of the loop."""

    parts: LiveParts
    executor: Executor
    courier: Courier
    arming: ArmingWatch
    waiting: WaitingOrders
    upkeep: Mapping[str, Upkeep]
    """By the name of the wallet that each keeps up."""
    holding: HoldingWatch
    meters: LiveMeters
    _stopped: Mapping[str, Denied] = field(default_factory=dict)

    @classmethod
    def of(cls, parts: LiveParts, live: LiveSection, mailbox: Mailbox, on_change: Callable[[], None]) -> "LiveDesk":
        clock = WallClock()
        rules = ExecutorRules(genesis_hash=parts.genesis_hash, poll_s=live.poll_s, resend_s=live.resend_s)
        outlook = Outlook(clock.now_ns, operator=parts.asking)
        preparer = parts.preparer if parts.share is None else parts.share.guarding(parts.preparer)
        executor = Executor(parts.journal, parts.chain, preparer, rules, outlook)
        arming = ArmingWatch(parts.signer, mailbox, live.arming_poll_s)
        carried = CourierRules(
            live.slippage_bps_max,
            live.attempts_max,
            live.entry_wait_s,
            live.exit_wait_s,
            live.mints,
            live.exit_fee_times,
            lambda: arming.fee_lamports_max,
        )
        courier = Courier(mailbox, executor, parts.wallets, carried, clock.now_ns)
        names = {mint: name for name, mint in live.mints.items()}
        waiting = WaitingOrders(parts.journal, names)
        kept_up = UpkeepParts(mailbox, executor, parts.chain, parts.journal, arming, clock.now_ns)
        kept = _upkeep_rules(live, names)
        upkeep = {MAIN: Upkeep(kept_up, parts.wallet, kept, parts.data_dir / UPKEEP_NAME)}
        # Profit is the desk's, not a wallet's: it leaves from one.
        kept = replace(kept, above_lamports=0)
        for name in parts.wallets.keys() - {MAIN}:
            upkeep[name] = Upkeep(kept_up, parts.wallets[name], kept, name=name)

        def changed(intent_id: str) -> None:
            courier.wake()
            for each in upkeep.values():
                each.changed(intent_id)
            waiting.changed()
            on_change()

        outlook.on_change = changed
        outlook.on_flow = FlowWatch(mailbox, parts.journal, parts.wallets, _flow_rules(live), names).take
        holding = HoldingWatch(parts.journal, mailbox, parts.wallets, live.arming_poll_s)
        meters = LiveMeters(parts.journal, lambda: not arming.problem, lambda: executor.is_reconciled)
        desk = cls(parts, executor, courier, arming, waiting, upkeep, holding, meters)
        outlook.may_go_on = desk._may_go_on
        return desk

    def seen(self, state: Published) -> None:
        """Follow the desk's newest committed state: its profile, what it would let through, what it decided."""
        self._stopped = state.stopped
        self.parts.mints.rules = state.rugs
        self.courier.wake()

    def _may_go_on(self, known: IntentRecord) -> str:
        denied = self._stopped.get(known.intent.key.partition("/")[2])
        return "" if denied is None else f"{denied.reason}: {denied.message}"

    @property
    def review(self) -> LiveReview:
        """What waits for a person; a wallet that is released goes on at once."""
        return LiveReview(self.parts.journal, self.parts.chain, self._released)

    async def _released(self, wallet: str) -> None:
        await self.holding.look()
        await self.executor.take_up(wallet)
        self.courier.wake()

    async def run(self) -> None:
        """Reconcile, then carry orders, until cancelled. Raises: WrongChain, JournalUnavailable."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.arming.run)
            tasks.start_soon(self.holding.run)
            tasks.start_soon(self.meters.run)
            if self.parts.share is not None:
                tasks.start_soon(self.parts.share.run)
            await tasks.start(self._execute)
            tasks.start_soon(self.courier.run)
            for each in self.upkeep.values():
                tasks.start_soon(each.run)

    async def _execute(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        await self.executor.run(list(self.parts.wallets.values()), task_status=task_status)

    def standing(self) -> Standing:
        """Return how the books stand beside the chain, as the disk has it. Raises: JournalUnavailable."""
        journal, wallets = self.parts.journal, tuple(self.parts.wallets.values())
        return Standing(self.executor.is_reconciled, wallets, dict(journal.halted()), len(journal.unfinished()))

    def health(self) -> Mapping[str, Any]:
        """Return how the chain's endpoints, the signer and the wallet stand."""
        return {
            "wallet": self.parts.wallet,
            "wallets": dict(self.parts.wallets),
            "genesis_hash": self.parts.genesis_hash,
            "is_reconciled": self.executor.is_reconciled,
            "not_armed": self.arming.problem,
            "halted": dict(self.parts.journal.halted()),
            "unfinished": len(self.parts.journal.unfinished()),
            "upkeep": {name: dict(each.seen) for name, each in self.upkeep.items()},
            **self.parts.chain.health(),
        }


def _share(sections: Sections, journal: SqlExecutionJournal, clock: WallClock) -> "DeskShare | None":
    if sections.nodes.url is None:
        return None
    # Only who shares with execution nodes pays for loading what it takes.
    from .desk_share import DeskShare

    name, arbitrage = f"desk/{sections.live.wallet}", sections.arbitrage.wallet
    return DeskShare(name, sections.nodes, journal, clock.now_ns, arbitrage)


def _upkeep_rules(live: LiveSection, names: Mapping[str, str]) -> UpkeepRules:
    return UpkeepRules(
        close_after_s=live.close_after_s if live.close_accounts else None,
        above_lamports=int(sol_to_lamports(live.sweep_above_sol)),
        keep_lamports=int(sol_to_lamports(live.sweep_keep_sol)),
        reserve_lamports=live.reserve_lamports,
        fee_lamports_max=live.upkeep_fee_lamports,
        poll_s=live.upkeep_poll_s,
        names=names,
    )


def _flow_rules(live: LiveSection) -> FlowRules:
    return FlowRules(foreign=Foreign(live.foreign), banned=frozenset(live.banned))


def signer_at(base: Path, live: LiveSection) -> SignerSocket:
    """Return where the signer answers; ``base`` is the daemon's data directory."""
    path = live.signer_socket or base / SIGNER_SOCKET
    return SignerSocket(path, os.geteuid() if live.signer_user is None else uid_of(live.signer_user))


def preparing_rules(live: LiveSection) -> PreparingRules:
    """Return what every order is held against before it is signed."""
    prices = PriceRules(live.oracle_deviation_bps_max, live.exit_deviation_bps_max)
    return PreparingRules(prices=prices, reserve_lamports=lambda _wallet: live.reserve_lamports)


async def _terms(chain: SolanaChain, live: LiveSection) -> tuple[WalletTerms, ...]:
    """Return how each wallet is used, with what those beside ``main`` hold now; nothing where there is one."""
    if not live.wallets:
        return ()
    found = [WalletTerms(MAIN, reserve_lamports=live.reserve_lamports)]
    for each in live.wallets:
        lamports = await _balance(chain, each.address)
        found.append(WalletTerms(each.name, lamports, each.buckets, each.role == "exit", live.reserve_lamports))
    return tuple(found)


async def _balance(chain: SolanaChain, wallet: str) -> int:
    for _ in range(BALANCE_TRIES - 1):
        try:
            return await _lamports(chain, wallet)
        except ChainUnavailable as error:
            logger.warning("the wallet's balance cannot be read: %s; tried again", error)
            await anyio.sleep(RETRY_S)
    return await _lamports(chain, wallet)


async def _lamports(chain: SolanaChain, wallet: str) -> int:
    found = (await chain.accounts([wallet]))[wallet]
    return 0 if found is None else found.lamports

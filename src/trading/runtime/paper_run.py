"""Puts a desk together and keeps it running: feed, session, loop, relay; ends them in reverse order."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.abc
import anyio.to_thread

from trading.adapters.bar_thinning import BarThinning
from trading.adapters.live_feed_choice import Chosen, choose_feed
from trading.adapters.mark_buckets import MarkBuckets
from trading.adapters.sql_journal import JournalStore
from trading.config import Sections
from trading.engine.kernel import Kernel
from trading.errors import TradingError, Unavailable
from trading.execution.conditions import conditions_of
from trading.model.profile import Profile
from trading.model.units import sol_to_lamports
from trading.model.wallet import MAIN, WalletTerms
from trading.ports import Counted, Feed, LiveFeed, Memory

from .advising import Advising
from .arbitrage_checks import check as check_arbitrage
from .assembly import RunPlan, chosen_profile
from .assessing import Assessing
from .bans import with_bans
from .clock import WallClock
from .desk_health import DeskHealth
from .folding import keep_folding, keep_thinning
from .mailbox import Mailbox
from .metering import DeskMeters
from .paper import PaperLoop
from .paper_desk import PaperDesk
from .previews import Previews
from .proposals import Proposals
from .reconciler_notes import ReconcilerNotes
from .recorded_runs import JOURNAL_NAME
from .relay import MemoryRelay, RelayStats
from .running_costs import RunningCosts, counted
from .session import Opener, Session
from .sidecar import Sidecar, opened_sidecar
from .sources import LiveSource, PacedSource, Source
from .stage import REAL, Published, Stage
from .unwrapping import unwrapped

if TYPE_CHECKING:
    from .live_run import LiveDesk, LiveParts

FLUSH_TIMEOUT_S = 3.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PaperOptions:
    """``feed``: auto, market, synthetic[:SEED] or replay:PATH[,PATH...]; ``recorded``: what auto falls back to;
    ``profiles_dir``: where the operator's own profiles lie; ``is_real``: real money; ``candidates_dir``: where the
    candidates and the trials lie that promotions go by."""

    data_dir: Path
    feed: str
    profile: str
    recorded: tuple[Path, ...] = ()
    profiles_dir: Path | None = None
    is_real: bool = False
    candidates_dir: Path | None = None


@asynccontextmanager
async def paper_desk(
    options: PaperOptions, sections: Sections, memory: Memory, chosen: Chosen | None = None
) -> AsyncIterator[PaperDesk]:
    """Open the desk's own database, go on with its run, and trade until the block is left.

    ``chosen`` is a feed that the caller has opened; without it ``options.feed`` says which.

    Raises: InvalidInput (feed, profile), DataError (recorded data), JournalUnavailable; of real money also
    ChainUnavailable and WrongChain.
    """
    with unwrapped():
        async with _opened(options, sections, memory, chosen) as desk:
            yield desk


@asynccontextmanager
async def _opened(
    options: PaperOptions, sections: Sections, memory: Memory, chosen: Chosen | None
) -> AsyncIterator[PaperDesk]:
    check_arbitrage(sections, is_real=options.is_real)
    profile = with_bans(chosen_profile(options.profile, folder=options.profiles_dir), sections.live)
    async with AsyncExitStack() as stack:
        store = await anyio.to_thread.run_sync(JournalStore.at, options.data_dir / JOURNAL_NAME)
        stack.callback(store.close)
        # Before anything is opened that asks somebody for something.
        counting = counted(options.data_dir, sections.costs, WallClock().now_ns, has_model=sections.sidecar.is_on)
        costs = await stack.enter_async_context(counting)
        if chosen is None:
            chosen = await choose_feed(
                options.feed, sections.market, WallClock(), recorded=options.recorded, chain=sections.chain
            )
        live = await _opened_live(options, sections, stack) if options.is_real else None
        opener = Opener(store, _plan(chosen, profile, sections, live), _recorded(chosen.feed))
        session = await anyio.to_thread.run_sync(opener)
        if not isinstance(chosen.feed, Feed):
            chosen.feed.hold(session.kernel.state.ledger.held_mints())
            await stack.enter_async_context(chosen.feed.running())
        sidecar = await stack.enter_async_context(opened_sidecar(sections.sidecar, options.data_dir))
        parts = _Parts(store, chosen, sections, memory, options, live, sidecar, costs)
        yield await stack.enter_async_context(_running(opener, session, parts))


@dataclass(frozen=True, slots=True)
class _Parts:
    store: JournalStore
    chosen: Chosen
    sections: Sections
    memory: Memory
    options: PaperOptions
    live: "LiveParts | None"
    sidecar: Sidecar | None
    costs: RunningCosts


@asynccontextmanager
async def _running(opener: Opener, session: Session, parts: _Parts) -> AsyncIterator[PaperDesk]:
    sections = parts.sections
    relay = MemoryRelay(parts.store, session.journal, session.run_id, parts.memory, sections.relay)

    def stats() -> RelayStats:
        return relay.stats()

    def published(state: Published) -> None:
        relay.wake()
        if live is not None:
            live.seen(state)
        if advising is not None:
            advising.seen(state)
        if not isinstance(parts.chosen.feed, Feed):
            parts.chosen.feed.hold(state.held)

    source = _source(parts.chosen.feed, sections, session.kernel)
    stage = Stage(source, parts.chosen.said, sections, stats, published)
    mailbox = Mailbox(sections.paper.commands_len_max, sections.paper.command_timeout_s, lambda: loop.wake())
    stage.waiting_commands = lambda: len(mailbox)
    stage.running_costs = parts.costs.document
    loop = PaperLoop(opener, source, mailbox, stage)
    meters = DeskMeters(stage, lambda: stage.current.journal, _apis(parts))
    meters.sidecar = parts.sidecar
    loop.on_worked = meters.worked
    advising = _advising(parts, session, mailbox, stage)
    live = None if parts.live is None else parts.live.desk(sections.live, mailbox, stage.ring)
    if live is not None:
        stage.money = REAL
        stage.waiting_orders = live.waiting.documents
        meters.live = live.meters.documents
    health = DeskHealth(stage, session.journal, live)
    stage.surroundings = health.document
    await anyio.to_thread.run_sync(lambda: stage.show(session, is_last=False))
    await anyio.to_thread.run_sync(session.commit)
    stage.published()
    previews = Previews(sections.preview, anyio.current_time)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(loop.run, session)
        tasks.start_soon(relay.run)
        tasks.start_soon(health.run)
        tasks.start_soon(meters.run)
        tasks.start_soon(keep_folding, MarkBuckets(parts.store, session.run.number))
        tasks.start_soon(keep_thinning, BarThinning(parts.store, session.run.number, sections.bars))
        if advising is not None:
            tasks.start_soon(advising.run)
        if live is not None:
            tasks.start_soon(_live, live, loop, mailbox, stage)
            tasks.start_soon(ReconcilerNotes(live.standing, parts.memory, WallClock().now_ns).run)
        try:
            review = None if live is None else live.review
            profiles = parts.options.profiles_dir
            desk = PaperDesk(stage, mailbox, parts.store, previews, sections, profiles, review)
            _equip(desk, stage, parts, tasks, meters, health)
            yield desk
        finally:
            mailbox.close(Unavailable("the desk is stopping", hint="repeat with the same key when it is back"))
            tasks.cancel_scope.cancel()
    with anyio.move_on_after(FLUSH_TIMEOUT_S, shield=True), suppress(TradingError, TimeoutError):
        # What was decided last is on disk; bring it to memory now if memory takes it, else at the next start.
        while await relay.carry():
            pass


def _equip(
    desk: PaperDesk,
    stage: Stage,
    parts: _Parts,
    tasks: anyio.abc.TaskGroup,
    meters: DeskMeters,
    health: DeskHealth,
) -> None:
    """Give a desk what it works with beside its loop, and start what runs for that."""
    sections, options = parts.sections, parts.options
    if options.candidates_dir is not None:
        desk.use_candidates(options.candidates_dir)
        tasks.start_soon(desk.promoter.keep_copying)
        tasks.start_soon(Proposals(options.candidates_dir, parts.memory).keep_telling)
    if sections.arbitrage.is_on:
        # Only who wishes for arbitrage pays for loading it.
        from .arbitrage_run import arbitraging_of

        works = arbitraging_of(sections, options.data_dir, parts.memory, stage, health.live)
        desk.arbitraging, meters.arbitrage = works, works.figures
        tasks.start_soon(works.run)
    if sections.nodes.url is not None:
        from .nodes_watch import NodesWatch

        watch = NodesWatch(sections.nodes)
        desk.telling.others, meters.nodes, health.nodes = watch.documents, watch.figures, watch.health
        tasks.start_soon(watch.run)
    desk.running_costs = parts.costs
    desk.telling.live = None if parts.live is None else parts.live.executing(sections.live)
    desk.figures = meters.document
    desk.assessing = None if parts.sidecar is None else Assessing(parts.sidecar, parts.memory)


def _apis(parts: _Parts) -> dict[str, Counted]:
    """Return who counts its calls to the outside."""
    found: dict[str, object] = {"market": parts.chosen.feed}
    if parts.live is not None:
        found |= {"router": parts.live.jupiter, "rpc": parts.live.chain}
    return {api: each for api, each in found.items() if isinstance(each, Counted)}


def _advising(parts: _Parts, session: Session, mailbox: Mailbox, stage: Stage) -> Advising | None:
    """Return who asks the sidecar beside the loop, None where there is none."""
    if parts.sidecar is None:
        return None
    advising = Advising(session.journal, parts.sidecar, mailbox, parts.sections.sidecar)
    stage.sidecar = advising.status
    return advising


async def _opened_live(options: PaperOptions, sections: Sections, stack: AsyncExitStack) -> "LiveParts":
    # Only real money pays for loading what it takes.
    from .live_run import live_parts

    return await stack.enter_async_context(live_parts(options.data_dir, sections))


async def _live(live: "LiveDesk", loop: PaperLoop, mailbox: Mailbox, stage: Stage) -> None:
    """Carry orders to the chain; what cannot be gone on with stops the desk and is shown."""
    try:
        await live.run()
    except* TradingError as errors:
        logger.exception("real money stopped")
        first = errors.exceptions[0]
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        stopped = Unavailable(f"the desk stopped: {first}", hint="see the log; restart the daemon")
        mailbox.close(stopped)
        stage.troubled(stopped)
        stage.published()


def _plan(chosen: Chosen, profile: Profile, sections: Sections, live: "LiveParts | None") -> RunPlan:
    if live is not None:
        return RunPlan(
            mode="live",
            feed=chosen.feed.description,
            profile=profile,
            equity_lamports=live.lamports,
            target_lamports=int(sol_to_lamports(sections.account.target_sol)),
            wallet=f"{live.genesis_hash}/{live.wallet}",
            zone=sections.account.zone,
            wallets=live.terms,
        )
    return RunPlan(
        mode="paper",
        feed=chosen.feed.description,
        profile=profile,
        equity_lamports=int(sol_to_lamports(sections.account.equity_sol)),
        target_lamports=int(sol_to_lamports(sections.account.target_sol)),
        seed=sections.paper.seed,
        conditions=conditions_of(sections.paper.conditions),
        zone=sections.account.zone,
        wallets=_paper_wallets(sections),
    )


def _paper_wallets(sections: Sections) -> tuple[WalletTerms, ...]:
    more = [
        WalletTerms(each.name, int(sol_to_lamports(each.equity_sol)), each.buckets, each.role == "exit")
        for each in sections.account.wallets
    ]
    return (WalletTerms(MAIN), *more) if more else ()


def _recorded(feed: Feed | LiveFeed) -> Feed | None:
    return feed if isinstance(feed, Feed) else None


def _source(feed: Feed | LiveFeed, sections: Sections, kernel: Kernel) -> Source:
    if not isinstance(feed, Feed):
        return LiveSource(feed)
    speed = sections.paper.speed
    if speed == "max":
        return PacedSource(feed, None)
    pace = float(feed.description.interval_s) if speed is None else float(speed)
    return PacedSource(feed, pace, unpaced_cycles=kernel.warmup_bars)

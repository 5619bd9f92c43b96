"""Sections -> Services: everything that runs behind the doors, opened in order and closed in reverse, within bounds."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from .adapters.back_ups import DeskFiles
from .adapters.garbage import uncollected
from .adapters.golden_file import GoldenFile
from .adapters.index.options import WorkerOptions
from .adapters.index.sink import QdrantSink, points_of
from .adapters.index.worker_index import WorkerIndex
from .adapters.late_desk import LateDesk
from .adapters.secrets import RuleScanner
from .adapters.signer_approvals import SignerApprovals
from .adapters.sql_journal import open_journal
from .adapters.sql_journal.engines import place_of
from .adapters.write_spool import SPOOL_NAME, open_spool
from .config import Sections, TasksSection, TradingSection
from .domain.drafts import DraftLimits
from .domain.times import NS_PER_S, from_ns
from .errors import JournalUnavailable, MemoryServerError
from .observing import observing, sink_specs, watching_sinks
from .ports import Clock, Journal, RemoteSink, SecretScanner, TradingDesk, VectorIndex
from .services.background import beside
from .services.clients import ClientRegistry
from .services.confirmations import Confirmations
from .services.container import Services
from .services.copies import Copies
from .services.episodes import Episodes
from .services.erasure import Erasure
from .services.evaluation import Evaluation
from .services.forgetting import Forgetting
from .services.guarded_desk import GuardedDesk
from .services.health import Health
from .services.index_health import IndexHealth
from .services.index_keeper import IndexKeeper
from .services.logins import Logins
from .services.loss_reviews import LossReviews
from .services.memories import Memories
from .services.merging import Merging
from .services.meters import Meters
from .services.migration import Migration
from .services.news import News
from .services.policies import Policies
from .services.queues import Queues
from .services.quotas import Quotas
from .services.relay import Relay
from .services.retention import Retention
from .services.spooling import Spooling
from .services.summaries import Summaries
from .services.task_adviser import TaskAdviser
from .services.tasks import Tasks
from .services.telemetry import Telemetry
from .services.thinning import Thinning
from .services.trajectories import Trajectories
from .services.turns import Turns

DESK_BACKOFF_BASE_S = 1.0
DESK_BACKOFF_CAP_S = 60.0
PART_END_TIMEOUT_S = 8.0

Run = Callable[[], Coroutine[Any, Any, None]]
OpenDesk = Callable[[Mapping[str, str], Sections, Journal, SecretScanner], AbstractAsyncContextManager[TradingDesk]]
OpenJournal = Callable[[Sections], AbstractAsyncContextManager[Journal]]

logger = logging.getLogger(__name__)


class SystemClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_s(self) -> float:
        return time.monotonic()


def open_sql_journal(sections: Sections) -> AbstractAsyncContextManager[Journal]:
    """Open the journal that the sections name. Raises: InvalidInput, DataDirectoryError, JournalBusy, StorageFull."""
    return open_journal(sections.journal, sections.data_dir, SystemClock(), sinks=sink_specs(sections), retire=True)


@asynccontextmanager
async def open_services(
    sections: Sections, environ: Mapping[str, str], journal_opener: OpenJournal = open_sql_journal
) -> AsyncIterator[Services]:
    """Open the journal, and start everything else behind it: index, relay and trading come up in the background.

    ``environ`` is handed to the desk, which reads TRADING_ variables. Raises: what opening the journal raises.
    """
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        journal = await stack.enter_async_context(journal_opener(sections))
        index = WorkerIndex(WorkerOptions(sections.data_dir, sections.qdrant, sections.embedding), clock)
        scanner = RuleScanner()
        relay = await stack.enter_async_context(_relaying(journal, index, sections, clock, scanner))
        late, desk = _desks(sections, scanner)
        clients, policies, meters = ClientRegistry(clock), Policies(journal, clock), Meters.of(sections)
        limits = DraftLimits(sections.journal.content_bytes_max, sections.journal.metadata_bytes_max)
        spooling = await stack.enter_async_context(_spooling(journal, sections, clock, policies))
        memories_of = partial(_memories, journal, clock, policies, scanner, limits, meters, spooling)
        evaluation = Evaluation(index, memories_of, GoldenFile(sections.data_dir), clock, scanner)
        keeper = _keeper(journal, index, evaluation, clock)
        health = Health(journal, index, clock, clients, desk, keeper, queues=Queues(journal, spooling))
        # Ended in reverse: the desk first, so that its last copies still reach the journal, the index before the relay.
        await stack.enter_async_context(_running("health", health.run))
        await stack.enter_async_context(_running("relay", relay.run))
        await stack.enter_async_context(beside("index-keeper", _keeping_index(journal, keeper, sections)))
        news = await stack.enter_async_context(_following(News(journal, policies, clock, sections.news), spooling))
        erasing = _forgetting(journal, index, policies, clock, sections.data_dir, spooling)
        copies, erasure, forgetting = await stack.enter_async_context(erasing)
        await stack.enter_async_context(_tidying(journal, index, clock, policies, sections))
        await stack.enter_async_context(_running("index", index.run, index.close))
        await stack.enter_async_context(_running("secret rules", partial(asyncio.to_thread, scanner.load)))
        keeping = partial(_keep_desk, late, sections, environ, journal, scanner, clock)
        await stack.enter_async_context(_running("trading", keeping))
        memories = memories_of(index)
        await stack.enter_async_context(_carrying(spooling, memories))
        tasks = Tasks(journal, policies, scanner, clock, limits)
        await stack.enter_async_context(_keeping_tasks(tasks, news, desk, clock, sections.tasks))
        services = Services(
            clock=clock,
            journal=journal,
            index=index,
            memories=memories,
            trajectories=Trajectories(journal, policies),
            episodes=Episodes(journal, memories, policies, scanner, clock, limits),
            summaries=Summaries(journal, policies, clock),
            telemetry=Telemetry(journal, scanner),
            relay=relay,
            health=health,
            desk=desk,
            started_at_ns=clock.now_ns(),
            clients=clients,
            policies=policies,
            scanner=scanner,
            copies=copies,
            erasure=erasure,
            forgetting=forgetting,
            news=news,
            keeper=keeper,
            evaluation=evaluation,
            tasks=tasks,
            quotas=Quotas(sections.quotas, clock, meters),
            logins=Logins(clock),
            meters=meters,
            spooling=spooling,
            limits=limits,
            confirmations=Confirmations(sections.orders),
            approvals=SignerApprovals(environ, sections.data_dir) if sections.trading.enabled else None,
        )
        yield await stack.enter_async_context(observing(services, sections, environ))


@asynccontextmanager
async def _relaying(
    journal: Journal, index: VectorIndex, sections: Sections, clock: Clock, scanner: SecretScanner
) -> AsyncIterator[Relay]:
    """Make the relay, which is run by whoever made it, and let go of its sinks' connections at the end."""
    sinks = watching_sinks(sections, journal, clock, scanner)
    async with AsyncExitStack() as stack:
        for sink in sinks:
            if isinstance(sink, RemoteSink):
                stack.push_async_callback(sink.close)
        own = [spec.name for spec in sink_specs(sections) if spec.is_own]
        yield Relay(journal, [QdrantSink(journal, index), *sinks], clock, sections.relay, own)


def _memories(
    journal: Journal,
    clock: Clock,
    policies: Policies,
    scanner: SecretScanner,
    limits: DraftLimits,
    meters: Meters,
    spooling: Spooling | None,
    generation: VectorIndex,
) -> Memories:
    return Memories(journal, generation, clock, policies, scanner, limits, meters=meters, spooling=spooling)


@asynccontextmanager
async def _spooling(
    journal: Journal, sections: Sections, clock: Clock, policies: Policies
) -> AsyncIterator[Spooling | None]:
    """Open what keeps writes while the journal's server is away; None where the journal is a file.

    A file too is given what was kept for it: by a back-up of a server's journal that was restored to a file.
    """
    section = sections.journal
    is_file = place_of(section, sections.data_dir).path is not None
    if is_file and not (sections.data_dir / SPOOL_NAME).is_file():
        yield None
        return
    async with open_spool(sections.data_dir, section.spool_rows_max, section.spool_bytes_max) as spool:
        if is_file and not await spool.entries(dead=None, limit=1):
            yield None
            return
        spooling = Spooling(spool, journal, clock, section.spool_after_s)
        policies.recall(await spooling.open())
        yield spooling


@asynccontextmanager
async def _carrying(spooling: Spooling | None, memories: Memories) -> AsyncIterator[None]:
    if spooling is None:
        yield
        return
    async with beside("write spool", partial(spooling.run, memories.commit_each)):
        yield


def _desks(sections: Sections, scanner: SecretScanner) -> tuple[LateDesk | None, GuardedDesk | None]:
    """Return the desk that is there at once, and the one that doors speak to; neither where trading is off."""
    if not sections.trading.enabled:
        return None, None
    late = LateDesk()
    return late, GuardedDesk(late, scanner)


def _keeper(journal: Journal, index: VectorIndex, evaluation: Evaluation, clock: Clock) -> IndexKeeper:
    health = IndexHealth(journal, index, partial(points_of, journal), clock)
    return IndexKeeper(journal, index, health, Migration(journal, health, evaluation, clock), clock)


def _keeping_index(journal: Journal, keeper: IndexKeeper, sections: Sections) -> Run:
    """Return what keeps the index in order: here that inside of the daemon, in one daemon at a time a shared one."""
    return keeper.run if sections.qdrant.url is None else Turns(journal).alone("index", keeper.run)


@asynccontextmanager
async def _forgetting(
    journal: Journal, index: VectorIndex, policies: Policies, clock: Clock, data_dir: Path, spooling: Spooling | None
) -> AsyncIterator[tuple[Copies, Erasure, Forgetting]]:
    """Finish what forgettings have left to do, those of before this start too, and obey the policies' retention."""
    copies = Copies(journal, DeskFiles(data_dir))
    erasure = Erasure(journal, index, copies)
    forgetting = Forgetting(journal, policies, clock, erasure, spooling)
    retention = Turns(journal).alone("retention", Retention(journal, policies, forgetting, clock).run)
    async with beside("erasure", erasure.run), beside("retention", retention):
        yield copies, erasure, forgetting


@asynccontextmanager
async def _tidying(
    journal: Journal, index: VectorIndex, clock: Clock, policies: Policies, sections: Sections
) -> AsyncIterator[None]:
    """Merge what says the same, and thin out old snapshots."""
    turns = Turns(journal)
    merging = turns.alone("merging", Merging(journal, index, clock, policies).run)
    thinning = turns.alone("thinning", Thinning(journal, clock, sections.history).run)
    async with _running("merging", merging), beside("thinning", thinning):
        yield


@asynccontextmanager
async def _following(news: News, spooling: Spooling | None) -> AsyncIterator[News]:
    # A server may be away now: news begin where the journal ends when it is back.
    with contextlib.suppress(*() if spooling is None else (JournalUnavailable,)):
        await news.open()
    async with beside("news", news.run):
        yield news


@asynccontextmanager
async def _keeping_tasks(
    tasks: Tasks, news: News, desk: TradingDesk | None, clock: Clock, section: TasksSection
) -> AsyncIterator[None]:
    """Let leases and tasks run out in time, and have losses of the desk looked at, by the sidecar where nobody does."""
    reviews = LossReviews(news, tasks, clock, section)
    async with beside("tasks", tasks.run), beside("loss reviews", reviews.run):
        if desk is None:
            yield
            return
        async with beside("task adviser", TaskAdviser(tasks, desk, clock).run):
            yield


@asynccontextmanager
async def _running(name: str, run: Run, close: Run | None = None) -> AsyncIterator[None]:
    """Run a part beside the block. A part that fails is logged and leaves the others alone."""
    task = asyncio.create_task(run(), name=name)
    task.add_done_callback(_report)
    try:
        yield
    finally:
        if close is not None:
            await close()
        else:
            task.cancel()
        _, late = await asyncio.wait({task}, timeout=PART_END_TIMEOUT_S)
        if late:
            logger.error("%s did not end within %g s", name, PART_END_TIMEOUT_S)
            task.cancel()


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.critical("%s ended", task.get_name(), exc_info=error)


def _import_desk() -> OpenDesk:
    with uncollected():
        from .adapters.trading_desk import open_desk

    return open_desk


async def _keep_desk(
    late: LateDesk | None,
    sections: Sections,
    environ: Mapping[str, str],
    journal: Journal,
    scanner: SecretScanner,
    clock: Clock,
) -> None:
    if late is None:
        return
    # In a thread: the desk's libraries take a second to import, and agents are being served already.
    open_desk = await asyncio.to_thread(_import_desk)
    opened = partial(open_desk, environ, sections, journal, scanner)
    await keep_desk(late, partial(_kept_desk, opened, journal, sections.trading), clock)


@asynccontextmanager
async def _kept_desk(
    open_desk: Callable[[], AbstractAsyncContextManager[TradingDesk]], journal: Journal, section: TradingSection
) -> AsyncIterator[TradingDesk]:
    """Open the desk where this daemon is the one to keep it. Raises: Refused (another is), JournalUnavailable."""
    await Turns(journal).keep("trading desk", take_over=section.take_over)
    async with open_desk() as desk:
        yield desk


async def keep_desk(
    late: LateDesk, open_desk: Callable[[], AbstractAsyncContextManager[TradingDesk]], clock: Clock
) -> None:
    """Open the desk and keep it open; one that cannot be opened now is tried again, a misconfigured one is not."""
    delay_s, tries, since_ns = DESK_BACKOFF_BASE_S, 0, 0
    while True:
        try:
            async with open_desk() as desk:
                late.provide(desk)
                delay_s, tries = DESK_BACKOFF_BASE_S, 0
                await anyio.sleep_forever()
        except MemoryServerError as error:
            logger.error("trading is down: %s", error.message)
            if not error.retryable:
                late.withdraw(f"the trading desk did not start: {error.message}", error.hint or "see `memmcp logs`")
                return
            now_ns = clock.now_ns()
            since_ns = since_ns if tries else now_ns
            tries += 1
            again = _utc(now_ns + int(delay_s * NS_PER_S))
            said = f"since {_utc(since_ns)}, {tries} {'try' if tries == 1 else 'tries'}, the next at {again}"
            hint = f"it comes by itself; memory works meanwhile{f'. {error.hint}' if error.hint else ''}"
            late.withdraw(f"the trading desk waits: {error.message} ({said})", hint)
        finally:
            late.withdraw_if_held("the trading desk has ended", "see `memmcp logs`")
        await anyio.sleep(delay_s)
        delay_s = min(2 * delay_s, DESK_BACKOFF_CAP_S)


def _utc(ts_ns: int) -> str:
    return from_ns(ts_ns).strftime("%Y-%m-%d %H:%M:%S UTC")

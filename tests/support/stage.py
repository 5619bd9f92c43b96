"""The doors of the daemon over a real journal, an index and a desk in memory: everything but the process."""

import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from memmcp_server.adapters.back_ups import DeskFiles
from memmcp_server.adapters.golden_file import GoldenFile
from memmcp_server.adapters.index.sink import QdrantSink, points_of
from memmcp_server.adapters.secrets import RuleScanner
from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.adapters.token_file import TokenFile
from memmcp_server.config import HttpSection, JournalSection, MetricsSection, NewsSection, QuotasSection, Sections
from memmcp_server.domain.tracing.calls import SpanRecorder
from memmcp_server.ports import Approvals, Journal, TradingDesk, VectorIndex, WriteSpool
from memmcp_server.services.alerting.alerts import Alerts
from memmcp_server.services.background import beside
from memmcp_server.services.clients import ClientRegistry
from memmcp_server.services.container import Services
from memmcp_server.services.copies import Copies
from memmcp_server.services.episodes import Episodes
from memmcp_server.services.erasure import Erasure
from memmcp_server.services.evaluation import Evaluation
from memmcp_server.services.forgetting import Forgetting
from memmcp_server.services.guarded_desk import GuardedDesk
from memmcp_server.services.health import Health
from memmcp_server.services.index_health import IndexHealth
from memmcp_server.services.index_keeper import IndexKeeper
from memmcp_server.services.logins import Logins
from memmcp_server.services.memories import Memories
from memmcp_server.services.meters import Meters
from memmcp_server.services.migration import Migration
from memmcp_server.services.news import News
from memmcp_server.services.policies import Policies
from memmcp_server.services.queues import Queues
from memmcp_server.services.quotas import Quotas
from memmcp_server.services.relay import Relay
from memmcp_server.services.spooling import Spooling
from memmcp_server.services.summaries import Summaries
from memmcp_server.services.tasks import Tasks
from memmcp_server.services.telemetry import Telemetry
from memmcp_server.services.trajectories import Trajectories
from memmcp_server.tools.server import MemoryServer, build_server
from memmcp_server.web.admin import Admin
from memmcp_server.web.app import McpDoor, create_app
from memmcp_server.web.guard import TokenVerifier
from tests.doubles.clocks import SystemClock
from tests.doubles.memory_index import MemoryIndex
from tests.doubles.trading_desk import InMemoryDesk
from tests.support.loopback_server import LoopbackServer
from tests.support.migrated import migrated
from tests.support.signatures import keep_signatures

keep_signatures()

OPERATOR_TOKEN = "operator-token-of-the-stage"
HOST = "127.0.0.1:8765"
START_TIMEOUT_S = 30
NO_QUOTAS = QuotasSection(reads_per_minute_max=0, writes_per_minute_max=0, orders_per_minute_max=0)
NEWS_WITHIN_S = 30
EAGER = MetricsSection(fresh_s=0, part_timeout_s=1)
PROOF_WAIT_S = 0.6
"""Nobody delivers to the index here, so that part of a proof stays pending."""


@dataclass(frozen=True)
class Stage:
    """``desk`` None: a daemon without trading. ``http`` speaks to ``app`` in the process, without a socket."""

    services: Services
    sections: Sections
    index: MemoryIndex
    mcp: MemoryServer
    app: Starlette
    http: httpx2.AsyncClient
    desk: InMemoryDesk | None

    @property
    def trading(self) -> InMemoryDesk:
        assert self.desk is not None
        return self.desk

    async def told_all(self) -> None:
        """Wait until the news have everything that is in the journal by now."""
        horizon = await self.services.journal.horizon()
        with anyio.fail_after(NEWS_WITHIN_S):
            while (self.services.news.headlines.upto or 0) < horizon:
                await anyio.lowlevel.checkpoint()


@contextlib.asynccontextmanager
async def staged(
    data_dir: Path,
    *,
    http: HttpSection | None = None,
    desk: InMemoryDesk | None = None,
    real_desk: TradingDesk | None = None,
    desk_over: Callable[[Journal], contextlib.AbstractAsyncContextManager[TradingDesk]] | None = None,
    without_desk: bool = False,
    approvals: Approvals | None = None,
    quotas: QuotasSection | None = None,
    verifier: TokenVerifier | None = None,
    calls: SpanRecorder | None = None,
    spool: WriteSpool | None = None,
    as_door: Callable[[MemoryServer], McpDoor] = lambda server: server,
) -> AsyncIterator[Stage]:
    """Open a stage on a fresh journal in ``data_dir``; the application's lifespan runs for as long as the block.
    ``real_desk`` stands in the place of the desk in memory, and so does what ``desk_over`` opens over the journal.

    ``as_door`` may add to the MCP server before it is served, and says what stands in its place in the application.

    ``spool``: the journal is treated as one on a server, and nobody carries to it what the spool holds.

    Nobody runs the relay, so what is written stays un-indexed, as in the first instant after a write.
    """
    clock = SystemClock()
    # Patient: what a slow machine would leave out of an answer is what tests look for.
    sections = Sections(data_dir=data_dir, http=http or HttpSection(), news=NewsSection(block_wait_s=5), metrics=EAGER)
    played = None if without_desk or desk_over is not None else desk or InMemoryDesk()
    shown: TradingDesk | None = real_desk or played
    async with (
        open_journal(JournalSection(), migrated(data_dir), clock) as journal,
        contextlib.AsyncExitStack() as stack,
    ):
        if desk_over is not None:
            shown = await stack.enter_async_context(desk_over(journal))
        index = MemoryIndex(clock)
        clients = ClientRegistry(clock)
        policies = Policies(journal, clock)
        scanner = RuleScanner()
        meters = Meters(data_dir, sections.metrics)
        spooling = None if spool is None else Spooling(spool, journal, clock, sections.journal.spool_after_s)

        def memories_of(generation: VectorIndex) -> Memories:
            return Memories(journal, generation, clock, policies, scanner, meters=meters, spooling=spooling)

        evaluation = Evaluation(index, memories_of, GoldenFile(data_dir), clock, scanner)
        index_health = IndexHealth(journal, index, partial(points_of, journal), clock)
        migration = Migration(journal, index_health, evaluation, clock)
        keeper = IndexKeeper(journal, index, index_health, migration, clock)
        memories = memories_of(index)
        copies = Copies(journal, DeskFiles(data_dir))
        erasure = Erasure(journal, index, copies, answer_wait_s=PROOF_WAIT_S)
        services = Services(
            clock=clock,
            journal=journal,
            index=index,
            memories=memories,
            trajectories=Trajectories(journal, policies),
            episodes=Episodes(journal, memories, policies, scanner, clock),
            summaries=Summaries(journal, policies, clock),
            telemetry=Telemetry(journal, scanner),
            relay=Relay(journal, [QdrantSink(journal, index)], clock, sections.relay),
            health=Health(journal, index, clock, clients, shown, keeper, queues=Queues(journal, spooling)),
            desk=None if shown is None else GuardedDesk(shown, scanner),
            started_at_ns=clock.now_ns(),
            clients=clients,
            policies=policies,
            scanner=scanner,
            copies=copies,
            erasure=erasure,
            forgetting=Forgetting(journal, policies, clock, erasure, spooling),
            news=News(journal, policies, clock, sections.news),
            keeper=keeper,
            evaluation=evaluation,
            tasks=Tasks(journal, policies, scanner, clock),
            quotas=Quotas(quotas or NO_QUOTAS, clock, meters),
            logins=Logins(clock),
            meters=meters,
            approvals=approvals,
            alerts=Alerts(journal, clock, sections.alerts.in_force()),
            calls=calls,
            spooling=spooling,
        )
        await services.news.open()
        mcp = build_server(services)
        admin = Admin(services, sections, f"http://{HOST}", lambda: None)
        app = create_app(
            services,
            sections,
            as_door(mcp),
            operator_token=OPERATOR_TOKEN,
            admin=admin.routes(),
            tokens=TokenFile(data_dir, clock.now_ns),
            verifier=verifier,
        )
        async with (
            beside("news", services.news.run),
            mcp.following(),
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=f"http://{HOST}") as client,
        ):
            yield Stage(services, sections, index, mcp, app, client, played)


@contextlib.asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    """Serve an application whose lifespan is running already on a free loopback port; yields its URL."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)) as sock:
        sock.bind(("127.0.0.1", 0))
        server = LoopbackServer(uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=2))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [sock])
            with anyio.fail_after(START_TIMEOUT_S):
                while not server.started:
                    await anyio.lowlevel.checkpoint()
            try:
                yield f"http://127.0.0.1:{sock.getsockname()[1]}"
            finally:
                server.should_exit = True


def error_of(response: httpx2.Response) -> dict[str, Any]:
    """Return the error of a response and check that it has the one shape."""
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) <= {"code", "message", "field", "hint"}
    assert body["error"]["code"]
    assert body["error"]["message"]
    error: dict[str, Any] = body["error"]
    return error


@dataclass
class Event:
    """One server-sent event."""

    kind: str = "message"
    data: Any = None
    id: str | None = None


async def events_of(response: httpx2.Response) -> AsyncIterator[Event]:
    """Yield the events of an open stream; comments are skipped."""
    event, text = Event(), ""
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        match name:
            case "event":
                event.kind = value
            case "data":
                text += value
            case "id":
                event.id = value
            case "" if text:
                yield replace(event, data=json.loads(text))
                event, text = Event(), ""

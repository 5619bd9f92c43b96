"""The daemon's life: services, one HTTP application, the bridges' door, and an orderly end within a bound."""

import faulthandler
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import anyio
import uvicorn
from starlette.types import ASGIApp

from memmcp_server import __version__
from memmcp_server.adapters.garbage import uncollected
from memmcp_server.adapters.secrets import RuleScanner
from memmcp_server.adapters.token_file import TokenFile
from memmcp_server.bootstrap import open_services, open_sql_journal
from memmcp_server.config import HttpSection, Sections
from memmcp_server.errors import DataDirectoryError
from memmcp_server.services.clients import ClientRegistry
from memmcp_server.services.container import Services
from memmcp_server.settings import secrets_of
from memmcp_server.tools.server import MemoryServer, build_server
from memmcp_server.web.admin import Admin
from memmcp_server.web.app import create_app
from memmcp_server.web.guard import TokenVerifier

from . import logs
from .allocator import hold_little
from .connections import BridgeDoor
from .descriptors import allow_descriptors
from .doors import Doors
from .idle import CountRequests, wait_until_idle
from .lease import Lease
from .places import Places
from .start import Launch
from .turns import take_short_turns

LAST_RESORT_S = 5.0
"""Beyond the time that an orderly end may take: what hangs then is left to the kernel."""

logger = logging.getLogger(__name__)


class Ending:
    """The wish to end, with its reason; the first one counts."""

    def __init__(self) -> None:
        self._event = anyio.Event()
        self.reason = ""

    def request(self, reason: str) -> None:
        if not self._event.is_set():
            self.reason = reason
            self._event.set()

    async def wait(self) -> None:
        await self._event.wait()


def _greet(data_dir: Path, http_url: str) -> None:
    """Tell the person at the terminal where everything is; the log has the rest."""
    sys.stdout.write(
        f"memMCP {__version__} is up. Ctrl-C ends it.\n"
        f"  page    {http_url}/\n"
        f"  agents  memmcp stdio, or {http_url}/mcp    (`memmcp connect CLIENT` writes it into a client)\n"
        f"  data    {data_dir}\n"
        f"  log     {Places(data_dir).log}\n"
    )
    sys.stdout.flush()


class HttpServer(uvicorn.Server):
    """uvicorn without its own signal handlers: the process ends in one order, decided by the host."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(sections: Sections, environ: Mapping[str, str], lease: Lease, doors: Doors, launch: Launch) -> int:
    """Serve until a signal, `memmcp stop` or idleness ends it. Raises: what opening the services raises."""
    hold_little(environ)
    take_short_turns()
    _open_log(sections, lease, also_stderr=not launch.by_bridge)
    allow_descriptors(sections.http.streams_max)
    with _single_error():
        anyio.run(Host(sections, environ, lease, doors, launch).main)
    return 0


class Host:
    """One daemon's run; see ``run``."""

    def __init__(
        self, sections: Sections, environ: Mapping[str, str], lease: Lease, doors: Doors, launch: Launch
    ) -> None:
        self._sections = sections
        self._environ = environ
        self._lease = lease
        self._doors = doors
        # A daemon that a person started stays, unless the time was set on purpose.
        self._is_watched = not launch.by_bridge
        self._ends_when_idle = launch.by_bridge or "idle_exit_s" in sections.daemon.model_fields_set
        self._open_journal = launch.open_journal

    async def main(self) -> None:
        with ExitStack() as start:
            start.enter_context(uncollected())
            await self._serve(start.close)

    async def _serve(self, started: Callable[[], None]) -> None:
        ending = Ending()
        async with anyio.create_task_group() as signals:
            signals.start_soon(_watch_signals, ending)
            async with open_services(self._sections, self._environ, self._open_journal or open_sql_journal) as services:
                mcp = build_server(services)
                app = self._app(services, mcp, ending)
                async with mcp.following(), self._serving(mcp, services.clients, app):
                    logger.info("memMCP %s serves %s at %s", __version__, self._sections.data_dir, self._doors.http_url)
                    if self._is_watched:
                        _greet(self._sections.data_dir, self._doors.http_url)
                    started()
                    await self._until_the_end(services, app, ending)
                    self._lease.mark_stopped()
                    _arm_last_resort(self._sections.daemon.shutdown_timeout_s + LAST_RESORT_S)
            logger.info("memMCP has ended: %s", ending.reason)
            signals.cancel_scope.cancel()

    def _app(self, services: Services, mcp: MemoryServer, ending: Ending) -> CountRequests:
        admin = Admin(services, self._sections, self._doors.http_url, partial(ending.request, "memmcp stop"))
        app = create_app(
            services,
            self._sections,
            mcp,
            operator_token=self._lease.token,
            admin=admin.routes(),
            tokens=TokenFile(self._sections.data_dir, services.clock.now_ns),
            verifier=_verifier(self._sections.http),
        )
        return CountRequests(app, services.clients, end_streams=app.state.live.close)

    async def _until_the_end(self, services: Services, app: CountRequests, ending: Ending) -> None:
        async with anyio.create_task_group() as tasks:
            if self._ends_when_idle and services.desk is None:
                tasks.start_soon(self._end_when_idle, services, app, ending)
            await ending.wait()
            tasks.cancel_scope.cancel()
        logger.info("ending: %s", ending.reason)

    async def _end_when_idle(self, services: Services, app: CountRequests, ending: Ending) -> None:
        idle_exit_s = self._sections.daemon.idle_exit_s
        await wait_until_idle(services.clients, lambda: app.running, idle_exit_s)
        ending.request(f"nobody was here for {idle_exit_s:g} s")

    @asynccontextmanager
    async def _serving(self, mcp: MemoryServer, clients: ClientRegistry, app: CountRequests) -> AsyncIterator[None]:
        """Serve both doors while the block runs; then let what is running finish, within the bound."""
        door = BridgeDoor(mcp, clients, self._doors.secret)
        http = HttpServer(self._http_config(app))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(door.serve, self._doors.bridges)
            http_done = anyio.Event()

            async def serve_http() -> None:
                try:
                    await http.serve(sockets=[self._doors.http])
                finally:
                    http_done.set()

            tasks.start_soon(serve_http)
            try:
                yield
            finally:
                app.end_streams()
                http.handle_exit(signal.SIGTERM, None)
                with anyio.move_on_after(self._sections.daemon.shutdown_timeout_s, shield=True):
                    await door.finish()
                    await http_done.wait()
                tasks.cancel_scope.cancel()

    def _http_config(self, app: ASGIApp) -> uvicorn.Config:
        return uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=128,
            timeout_graceful_shutdown=max(1, int(self._sections.daemon.shutdown_timeout_s)),
        )


def _open_log(sections: Sections, lease: Lease, *, also_stderr: bool) -> None:
    secrets = [lease.token, *secrets_of(sections)]
    try:
        logs.configure(
            lease.places.log,
            sections.daemon.log_bytes_max,
            secrets,
            RuleScanner(),
            also_stderr=also_stderr,
            section=sections.logs,
        )
    except OSError as error:
        msg = f"the log {lease.places.log} cannot be written: {error.strerror or error}"
        raise DataDirectoryError(msg, field="data_dir", hint="make it writable for this user") from error
    faulthandler.enable()


async def _watch_signals(ending: Ending) -> None:
    """Turn SIGTERM and SIGINT into the wish to end; a second one ends at once."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
        async for number in received:
            if ending.reason:
                os._exit(1)
            ending.request(signal.Signals(number).name)


def _arm_last_resort(timeout_s: float) -> None:
    """A part that does not end in time must not keep the data directory: the lock goes with the process."""

    def end() -> None:
        logger.critical("not ended after %.0f s: giving up on an orderly end", timeout_s)
        logging.shutdown()
        os._exit(1)

    timer = threading.Timer(timeout_s, end)
    timer.daemon = True
    timer.start()


def _verifier(section: HttpSection) -> TokenVerifier | None:
    """Return who reads access tokens, None where none are taken. Raises: InvalidInput."""
    if section.public_url is None or not section.authorization_servers:
        return None
    from memmcp_server.adapters.jwt_grants import JwtGrants  # few daemons are reached from elsewhere

    return JwtGrants(section.authorization_servers, section.public_url)


@contextmanager
def _single_error() -> Iterator[None]:
    """Raise the one cause inside nested groups, so that a person reads a sentence and not a tree."""
    try:
        yield
    except BaseExceptionGroup as group:
        causes = _leaves(group)
        if len(causes) == 1:
            raise causes[0] from None
        raise


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]

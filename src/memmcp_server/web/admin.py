"""What the operator's command line asks of a running daemon. Every path needs the operator's token (see ``guard``)."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute

from memmcp_server import __version__
from memmcp_server.config import Sections
from memmcp_server.domain.identifiers import SEQ_MAX
from memmcp_server.domain.outbox import SINK_QDRANT
from memmcp_server.domain.policy import PolicyBook
from memmcp_server.domain.tracing.calls import SpansWaiting
from memmcp_server.errors import InvalidInput, NotFound, TradingUnavailable, Unavailable
from memmcp_server.services.container import Services
from memmcp_server.wire.alerts import ChannelAnswer, ChannelTest
from memmcp_server.wire.archive import LINES_MAX, PARTS, ArchivePart, ImportRequest
from memmcp_server.wire.base import Request as WireRequest
from memmcp_server.wire.base import Wire
from memmcp_server.wire.status import SpansView, StatusAnswer, queue_stats

from .archive import Archive
from .guard import OPERATOR_SCOPE
from .index_admin import IndexAdmin
from .requests import NoQuery, answer, body_as, caller_of, query_as
from .routing import ApiRoute, starlette_routes
from .session_routes import CodeAnswer, CodeRequest, EndedAnswer, note_login

SHOWN: Final = (
    *("money", "feed", "state", "state_reason", "entries_allowed", "profile", "tier", "cycle", "run_id"),
    *("drawdown_bps", "running_costs"),
)
EntryId = Annotated[int, Field(ge=1, le=SEQ_MAX)]


class ExportQuery(WireRequest):
    """``file``: where the lines go; with the first part it is noted, so that a forgetting can name the copy."""

    part: ArchivePart
    file: str | None = Field(default=None, max_length=4_096, pattern=r"^/[^\x00]*$|^[A-Za-z]:[^\x00]*$")
    cursor: str | None = Field(default=None, max_length=256)
    limit: int = Field(default=LINES_MAX, ge=1, le=LINES_MAX)


class BackupRequest(WireRequest):
    directory: str = Field(min_length=1, max_length=4_096, pattern=r"^[^\x00]+$")


class BackupAnswer(Wire):
    """``path`` is the memory's copy; ``manifest`` names all ``files`` of the back-up, which lie beside it."""

    path: str
    manifest: str
    files: list[str]


class OutboxQuery(WireRequest):
    sink: str | None = Field(default=None, max_length=64)
    dead: bool | None = None
    limit: int = Field(default=100, ge=1, le=1_000)


class RetryRequest(WireRequest):
    """``ids`` None: all dead entries."""

    ids: list[EntryId] | None = Field(default=None, max_length=1_000)


class DropRequest(WireRequest):
    id: EntryId


class RefillRequest(WireRequest):
    sink: str = Field(min_length=1, max_length=32)


class CountAnswer(Wire):
    count: int


class OutboxAnswer(Wire):
    entries: list[dict[str, Any]]


class PolicyRequest(WireRequest):
    """``policy`` None takes back what was set for the namespace (or the subtree, ending in '/')."""

    namespace: str = Field(min_length=1, max_length=129)
    policy: dict[str, Any] | None


class PoliciesAnswer(Wire):
    """What was set, and what holds in a namespace where one was asked for."""

    policies: dict[str, dict[str, Any]]
    effective: dict[str, Any] | None = None


class NamespaceQuery(WireRequest):
    namespace: str | None = Field(default=None, max_length=128)


class StopAnswer(Wire):
    ending: bool
    pid: int


class Admin:
    def __init__(self, services: Services, sections: Sections, http_url: str, stop: Callable[[], None]) -> None:
        """``stop`` asks the process to end; it returns at once."""
        self._services = services
        self._sections = sections
        self._http_url = http_url
        self._stop = stop
        self._archive = Archive(services)

    async def status(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        now_ns = self._services.clock.now_ns()
        queues = await self._services.health.queues.read()
        url = self._sections.journal.url
        status = StatusAnswer(
            pid=os.getpid(),
            version=__version__,
            data_dir=str(self._sections.data_dir),
            http=self._http_url,
            uptime_s=round(self._services.health.uptime_s(), 3),
            journal={
                "seq": queues.seq,
                "path": str(self._sections.data_dir / "journal.db") if url is None else "postgresql",
                "problem": self._services.health.queues.problem,
            },
            outbox=queue_stats(queues.stats, now_ns, {**self._services.relay.stats(), **queues.relays}),
            index=await self._services.health.index_document(),
            trading=await self._trading(),
            clients=self._services.clients.count,
            heartbeat=None if self._services.heartbeat is None else self._services.heartbeat.beats.document(),
            phone=None if self._services.phone is None else self._services.phone.reading(),
            alerts=self._open_alerts(),
            spans=await self._spans(now_ns),
        )
        return answer(status)

    def _open_alerts(self) -> dict[str, int] | None:
        if self._services.alerts is None:
            return None
        return dict(Counter(each.severity.value for each in self._services.alerts.current() if each.is_active))

    async def _spans(self, now_ns: int) -> dict[str, SpansView] | None:
        if self._services.calls is None:
            return None
        try:
            waiting = await self._services.calls.waiting()
        except Unavailable as error:
            waiting = {"spool": SpansWaiting(0, None, 0, 0, error.message)}
        return {name: SpansView.of(told, now_ns) for name, told in waiting.items()}

    async def _trading(self) -> dict[str, Any]:
        desk = self._services.desk
        if desk is None:
            return {"state": "off"}
        try:
            snapshot = await desk.snapshot()
        except TradingUnavailable as error:
            return {"state": "unavailable", "reason": error.message}
        equity, positions = snapshot.get("equity"), snapshot.get("positions")
        return {
            **{name: snapshot.get(name) for name in SHOWN},
            "positions": len(positions) if isinstance(positions, list) else 0,
            "equity_lamports": equity.get("lamports") if isinstance(equity, dict) else None,
        }

    async def stop(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        self._stop()
        return answer(StopAnswer(ending=True, pid=os.getpid()), 202)

    async def export(self, request: Request) -> JSONResponse:
        wish = query_as(request, ExportQuery)
        if wish.file is not None and wish.cursor is None and wish.part == PARTS[0]:
            await self._services.copies.note_export(
                Path(wish.file), caller_of(request, "GET /admin/export", role="operator")
            )
        return answer(await self._archive.page(wish.part, wish.cursor, wish.limit))

    async def import_(self, request: Request) -> JSONResponse:
        wish = await body_as(request, ImportRequest)
        return answer(await self._archive.take_in(wish.lines))

    async def backup(self, request: Request) -> JSONResponse:
        wish = await body_as(request, BackupRequest)
        directory = Path(wish.directory)
        if not directory.is_absolute():
            msg = f"directory is {wish.directory}; an absolute path is needed, since the daemon has its own folder"
            raise InvalidInput(msg, field="directory")
        caller = caller_of(request, "POST /admin/backup", role="operator")
        path, manifest_path, manifest = await self._services.copies.back_up(directory, caller)
        names = [each.name for each in manifest.files]
        return answer(BackupAnswer(path=str(path), manifest=str(manifest_path), files=names))

    async def test_channel(self, request: Request) -> JSONResponse:
        wish = await body_as(request, ChannelTest)
        alerts = self._services.alerts
        if alerts is None:
            msg = "alerts are switched off in this daemon"
            raise InvalidInput(msg, field="alerts.enabled")
        caller = caller_of(request, "POST /admin/alerts/test", role="operator")
        delivered, detail, took_ms = await alerts.test(wish.channel, caller)
        return answer(ChannelAnswer(channel=wish.channel, delivered=delivered, detail=detail, took_ms=took_ms))

    async def namespaces(self, request: Request) -> JSONResponse:
        wish = query_as(request, NamespaceQuery)
        book = await self._services.policies.book()
        effective = None if wish.namespace is None else book.of(wish.namespace).document()
        return answer(_policies(book, effective))

    async def set_namespace(self, request: Request) -> JSONResponse:
        wish = await body_as(request, PolicyRequest)
        caller = caller_of(request, "POST /admin/namespaces", role="operator")
        book = await self._services.policies.set(wish.namespace, wish.policy, caller)
        return answer(_policies(book, book.of(wish.namespace.removesuffix("/")).document()))

    async def outbox(self, request: Request) -> JSONResponse:
        wish = query_as(request, OutboxQuery)
        entries = await self._services.outbox.entries(wish.sink, dead=wish.dead, limit=wish.limit)
        return answer(OutboxAnswer(entries=entries))

    async def retry(self, request: Request) -> JSONResponse:
        wish = await body_as(request, RetryRequest)
        return answer(CountAnswer(count=await self._services.outbox.retry(wish.ids)))

    async def drop(self, request: Request) -> JSONResponse:
        wish = await body_as(request, DropRequest)
        if not await self._services.outbox.drop(wish.id):
            msg = f"there is no outbox entry {wish.id}"
            raise NotFound(msg, field="id", hint="memmcp outbox list shows them")
        return answer(CountAnswer(count=1))

    async def refill(self, request: Request) -> JSONResponse:
        """History for a receiver that came later. The index is made anew by its own command, beside the old one."""
        wish = await body_as(request, RefillRequest)
        if wish.sink == SINK_QDRANT:
            msg = f"sink is {wish.sink}, which is not refilled but rebuilt"
            raise InvalidInput(msg, field="sink", hint="memmcp rebuild-index")
        count = await self._services.journal.outbox_refill(wish.sink)
        self._services.relay.wake(wish.sink)
        return answer(CountAnswer(count=count))

    async def login_code(self, request: Request) -> JSONResponse:
        wish = await body_as(request, CodeRequest)
        role, code, expires_s = self._services.logins.new_code(
            wish.role, is_steward=bool(request.scope.get(OPERATOR_SCOPE))
        )
        url = f"{self._http_url}/#login={code}"
        return answer(CodeAnswer(code=code, url=url, role=role, expires_s=expires_s))

    async def end_logins(self, request: Request) -> JSONResponse:
        await body_as(request, WireRequest)
        ended = self._services.logins.end_all()
        await note_login(self._services, None, "operator")
        return answer(EndedAnswer(ended=ended))

    def routes(self) -> list[BaseRoute]:
        return [*starlette_routes(self.table())]

    def table(self) -> list[ApiRoute]:
        rows: list[tuple[str, str, Any, str]] = [
            ("GET", "/admin/status", self.status, "Process, journal, queues and trading in one document."),
            ("POST", "/admin/stop", self.stop, "End the daemon in order."),
            ("GET", "/admin/export", self.export, "A page of an export."),
            ("POST", "/admin/import", self.import_, "Take lines of an export; repeats change nothing."),
            ("POST", "/admin/backup", self.backup, "A consistent copy of both journals, made while running."),
            *IndexAdmin(self._services).rows(),
            ("POST", "/admin/alerts/test", self.test_channel, "Send a test message to a channel."),
            ("GET", "/admin/namespaces", self.namespaces, "Policies of namespaces, and what holds in one."),
            ("POST", "/admin/namespaces", self.set_namespace, "Set the policy of a namespace or a subtree."),
            ("POST", "/admin/logins/code", self.login_code, "A code that logs in on the page, once."),
            ("POST", "/admin/logins/end", self.end_logins, "Log everybody out of the page."),
            ("GET", "/admin/outbox", self.outbox, "Entries of the outbox."),
            ("POST", "/admin/outbox/retry", self.retry, "Make dead entries live again."),
            ("POST", "/admin/outbox/drop", self.drop, "Give up one entry."),
            ("POST", "/admin/outbox/refill", self.refill, "Queue every memory for a receiver once more."),
        ]
        return [ApiRoute(method, path, endpoint, text, operator=True) for method, path, endpoint, text in rows]


def _policies(book: PolicyBook, effective: dict[str, Any] | None) -> PoliciesAnswer:
    return PoliciesAnswer(
        policies={name: policy.document() for name, policy in book.set_by_operator.items()}, effective=effective
    )

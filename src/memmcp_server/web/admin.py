"""What the operator's command line asks of a running daemon. Every path needs the operator's token (see ``guard``)."""

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute

from memmcp_server import __version__
from memmcp_server.adapters.index.sink import rebuild
from memmcp_server.config import Sections
from memmcp_server.domain.identifiers import SEQ_MAX, MemoryId, Seq, TrajectoryId
from memmcp_server.domain.memory import MemoryFilter
from memmcp_server.domain.policy import PolicyBook
from memmcp_server.domain.trajectory import Trajectory
from memmcp_server.errors import InvalidInput, NotFound, TradingUnavailable
from memmcp_server.services.container import Services
from memmcp_server.wire.archive import (
    LINES_MAX,
    ArchivePage,
    ArchivePart,
    ImportAnswer,
    ImportRequest,
    MemoryLine,
    OutcomeLine,
    TrajectoryLine,
)
from memmcp_server.wire.base import Request as WireRequest
from memmcp_server.wire.base import Wire
from memmcp_server.wire.status import StatusAnswer, queue_stats

from .requests import NoQuery, answer, body_as, caller_of, query_as
from .routing import ApiRoute, starlette_routes

TRAJECTORY_MEMORY_KIND = "trajectory"
EXPORT_BYTES_MAX = 4 * 1024 * 1024

EntryId = Annotated[int, Field(ge=1, le=SEQ_MAX)]


class ExportQuery(WireRequest):
    part: ArchivePart
    cursor: str | None = Field(default=None, max_length=256)
    limit: int = Field(default=LINES_MAX, ge=1, le=LINES_MAX)


class BackupRequest(WireRequest):
    directory: str = Field(min_length=1, max_length=4_096, pattern=r"^[^\x00]+$")


class BackupAnswer(Wire):
    path: str


class OutboxQuery(WireRequest):
    sink: str | None = Field(default=None, max_length=64)
    dead: bool | None = None
    limit: int = Field(default=100, ge=1, le=1_000)


class RetryRequest(WireRequest):
    """``ids`` None: all dead entries."""

    ids: list[EntryId] | None = Field(default=None, max_length=1_000)


class DropRequest(WireRequest):
    id: EntryId


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

    async def status(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        now_ns = self._services.clock.now_ns()
        journal = self._services.journal
        url = self._sections.journal.url
        status = StatusAnswer(
            pid=os.getpid(),
            version=__version__,
            data_dir=str(self._sections.data_dir),
            http=self._http_url,
            uptime_s=round(self._services.health.uptime_s(), 3),
            journal={
                "seq": await journal.horizon(),
                "path": str(self._sections.data_dir / "journal.db") if url is None else "postgresql",
            },
            outbox=queue_stats(await journal.outbox_stats(), now_ns, self._services.relay.stats()),
            trading=await self._trading(),
            clients=self._services.clients.count,
        )
        return answer(status)

    async def _trading(self) -> dict[str, Any]:
        desk = self._services.desk
        if desk is None:
            return {"state": "off"}
        try:
            snapshot = await desk.snapshot()
        except TradingUnavailable as error:
            return {"state": "unavailable", "reason": error.message}
        equity = snapshot.get("equity")
        return {
            **{name: snapshot.get(name) for name in ("money", "feed", "state", "profile", "tier", "cycle", "run_id")},
            "equity_lamports": equity.get("lamports") if isinstance(equity, dict) else None,
        }

    async def stop(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        self._stop()
        return answer(StopAnswer(ending=True, pid=os.getpid()), 202)

    async def export(self, request: Request) -> JSONResponse:
        wish = query_as(request, ExportQuery)
        if wish.part == "memories":
            return answer(await self._memory_lines(wish))
        return answer(await self._trajectory_lines(wish))

    async def _memory_lines(self, wish: ExportQuery) -> ArchivePage:
        after = None if wish.cursor is None else Seq(_number(wish.cursor))
        page = await self._services.journal.page(MemoryFilter(), after=after, limit=wish.limit, newest_first=False)
        lines: list[TrajectoryLine | MemoryLine | OutcomeLine] = []
        size = 0
        last = None
        for memory in page:
            if size > EXPORT_BYTES_MAX:
                break
            last = memory.seq
            if memory.kind != TRAJECTORY_MEMORY_KIND or await self._trajectory(memory.id) is None:
                lines.append(MemoryLine.of(memory))
                size += len(memory.content)
        is_complete = last is None or (len(page) < wish.limit and last == page[-1].seq)
        return ArchivePage(lines=lines, next_cursor=None if is_complete else str(last))

    async def _trajectory(self, memory_id: str) -> Trajectory | None:
        return await self._services.journal.trajectory(TrajectoryId(memory_id))

    async def _trajectory_lines(self, wish: ExportQuery) -> ArchivePage:
        before_ns, before_id = _trajectory_cursor(wish.cursor)
        found = await self._services.journal.trajectories(
            namespace=None,
            kind=None,
            is_open=None if wish.part == "trajectories" else False,
            before_ns=before_ns,
            before_id=before_id,
            limit=wish.limit,
        )
        lines: list[TrajectoryLine | MemoryLine | OutcomeLine] = []
        for trajectory in found:
            versions = await self._services.journal.versions(MemoryId(trajectory.id))
            if wish.part == "trajectories":
                lines.append(TrajectoryLine.of(trajectory, versions[0].content))
            else:
                lines.append(OutcomeLine.of(trajectory, versions[-1].content))
        last = found[-1] if len(found) == wish.limit else None
        return ArchivePage(lines=lines, next_cursor=f"{last.opened_at_ns}:{last.id}" if last else None)

    async def import_(self, request: Request) -> JSONResponse:
        wish = await body_as(request, ImportRequest)
        now_ns = self._services.clock.now_ns()
        commands = [line.to_command(self._services.limits, now_ns) for line in wish.lines]
        # The operator restores what was exported, the runtime's own namespaces included.
        acknowledgements = await self._services.journal.commit(commands)
        duplicates = sum(acknowledgement.duplicate for acknowledgement in acknowledgements)
        return answer(ImportAnswer(taken=len(commands) - duplicates, duplicates=duplicates))

    async def backup(self, request: Request) -> JSONResponse:
        wish = await body_as(request, BackupRequest)
        directory = Path(wish.directory)
        if not directory.is_absolute():
            msg = f"directory is {wish.directory}; an absolute path is needed, since the daemon has its own folder"
            raise InvalidInput(msg, field="directory")
        return answer(BackupAnswer(path=str(await self._services.journal.backup(directory))))

    async def rebuild_index(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        count = await rebuild(self._services.journal, self._services.index)
        self._services.relay.wake()
        return answer(CountAnswer(count=count))

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
        entries = await self._services.journal.outbox_entries(wish.sink, dead=wish.dead, limit=wish.limit)
        return answer(OutboxAnswer(entries=[asdict(entry) for entry in entries]))

    async def retry(self, request: Request) -> JSONResponse:
        wish = await body_as(request, RetryRequest)
        count = await self._services.journal.outbox_retry(wish.ids)
        self._services.relay.wake()
        return answer(CountAnswer(count=count))

    async def drop(self, request: Request) -> JSONResponse:
        wish = await body_as(request, DropRequest)
        if not await self._services.journal.outbox_drop(wish.id):
            msg = f"there is no outbox entry {wish.id}"
            raise NotFound(msg, field="id", hint="memmcp outbox list shows them")
        return answer(CountAnswer(count=1))

    def routes(self) -> list[BaseRoute]:
        return [*starlette_routes(self.table())]

    def table(self) -> list[ApiRoute]:
        rows: list[tuple[str, str, Any, str]] = [
            ("GET", "/admin/status", self.status, "Process, journal, queues and trading in one document."),
            ("POST", "/admin/stop", self.stop, "End the daemon in order."),
            ("GET", "/admin/export", self.export, "A page of an export."),
            ("POST", "/admin/import", self.import_, "Take lines of an export; repeats change nothing."),
            ("POST", "/admin/backup", self.backup, "A consistent copy of the memory journal, made while running."),
            ("POST", "/admin/rebuild-index", self.rebuild_index, "Make the index anew from the journal."),
            ("GET", "/admin/namespaces", self.namespaces, "Policies of namespaces, and what holds in one."),
            ("POST", "/admin/namespaces", self.set_namespace, "Set the policy of a namespace or a subtree."),
            ("GET", "/admin/outbox", self.outbox, "Entries of the outbox."),
            ("POST", "/admin/outbox/retry", self.retry, "Make dead entries live again."),
            ("POST", "/admin/outbox/drop", self.drop, "Give up one entry."),
        ]
        return [ApiRoute(method, path, endpoint, text, operator=True) for method, path, endpoint, text in rows]


def _policies(book: PolicyBook, effective: dict[str, Any] | None) -> PoliciesAnswer:
    return PoliciesAnswer(
        policies={name: policy.document() for name, policy in book.set_by_operator.items()}, effective=effective
    )


def _number(cursor: str) -> int:
    if not cursor.isdecimal() or len(cursor) > 18:
        msg = f"cursor is {cursor[:40]!r}; pass the next_cursor of the last answer"
        raise InvalidInput(msg, field="cursor")
    return int(cursor)


def _trajectory_cursor(cursor: str | None) -> tuple[int | None, TrajectoryId | None]:
    if cursor is None:
        return None, None
    opened, _, trajectory_id = cursor.partition(":")
    return _number(opened), TrajectoryId(trajectory_id)

"""Trajectories over HTTP: read by pages or in a few lines, opened, added to and closed."""

from typing import Annotated, Final

from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import JSONResponse

from memmcp_server.domain.identifiers import SEQ_MAX, Seq
from memmcp_server.services.container import Services
from memmcp_server.wire.base import Kind
from memmcp_server.wire.base import Request as WireRequest
from memmcp_server.wire.memory import TrajectoryPage
from memmcp_server.wire.trajectories import (
    Detail,
    TrajectoryAnswer,
    TrajectoryCloseRequest,
    TrajectoryOpenRequest,
    TrajectoryReport,
    TrajectoryStepRequest,
)

from .requests import answer, body_as, idempotency_key, query_as, steward_of
from .routing import ApiRoute

SubtreeStr = Annotated[str, StringConstraints(max_length=129)]
LIMIT_MAX: Final = 200


class TrajectoryQuery(WireRequest):
    cursor: int | None = Field(default=None, ge=0, le=SEQ_MAX, description="next_cursor of the last answer.")
    limit: int = Field(default=LIMIT_MAX, ge=1, le=LIMIT_MAX)
    detail: Detail = Field(default="steps", description="summary: an extract in the place of the steps.")


class TrajectoriesQuery(WireRequest):
    namespace: SubtreeStr | None = Field(default=None, description="Exact, or a subtree when it ends in '/'.")
    kind: Kind | None = None
    open: bool | None = Field(default=None, description="true: only open ones, false: only closed ones.")
    cursor: str | None = Field(default=None, max_length=256)
    limit: int = Field(default=50, ge=1, le=LIMIT_MAX)


class TrajectoryRoutes:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def read(self, request: Request) -> JSONResponse:
        wish = query_as(request, TrajectoryQuery)
        caller = steward_of(request, "GET /trajectories")
        trajectories, trajectory_id = self._services.trajectories, request.path_params["id"]
        if wish.detail == "summary":
            return answer(TrajectoryReport.retold(*await trajectories.recap(trajectory_id, caller)))
        after = None if wish.cursor is None else Seq(wish.cursor)
        return answer(TrajectoryReport.of(await trajectories.get(trajectory_id, after, wish.limit, caller)))

    async def page(self, request: Request) -> JSONResponse:
        wish = query_as(request, TrajectoriesQuery)
        page = await self._services.trajectories.page(
            namespace=wish.namespace,
            kind=wish.kind,
            is_open=wish.open,
            cursor=wish.cursor,
            limit=wish.limit,
            caller=steward_of(request, "GET /trajectories"),
        )
        return answer(TrajectoryPage.of(page))

    async def open(self, request: Request) -> JSONResponse:
        wish = await body_as(request, TrajectoryOpenRequest)
        key = wish.idempotency_key or idempotency_key(request.headers)
        wish = wish.model_copy(update={"idempotency_key": key})
        caller = steward_of(request, "POST /trajectories", agent=wish.agent)
        opened = await self._services.episodes.open(wish.to_fields(), caller, session=wish.session or "")
        acknowledgement = opened.acknowledgement
        told = TrajectoryAnswer.of(opened.id, opened.namespace, acknowledgement, outcome=opened.outcome)
        return answer(told, 200 if acknowledgement.duplicate else 201)

    async def step(self, request: Request) -> JSONResponse:
        wish = await body_as(request, TrajectoryStepRequest)
        key = wish.idempotency_key or idempotency_key(request.headers)
        wish = wish.model_copy(update={"idempotency_key": key})
        caller = steward_of(request, "POST /trajectories/steps", agent=wish.agent)
        trajectory_id = request.path_params["id"]
        session = wish.session or ""
        stepped = await self._services.episodes.step(trajectory_id, wish.to_fields(), caller, session=session)
        told = TrajectoryAnswer.of(trajectory_id, stepped.namespace, stepped.acknowledgement)
        status = 200 if told.duplicate else 202 if told.durable == "local" else 201
        return answer(told, status)

    async def close(self, request: Request) -> JSONResponse:
        wish = await body_as(request, TrajectoryCloseRequest)
        caller = steward_of(request, "POST /trajectories/close", agent=wish.agent)
        trajectory_id = request.path_params["id"]
        session = wish.session or ""
        closed = await self._services.episodes.close(trajectory_id, wish.to_fields(), caller, session=session)
        told = TrajectoryAnswer.of(
            trajectory_id,
            closed.trajectory.namespace,
            closed.acknowledgement,
            outcome=closed.outcome,
            lesson=closed.lesson,
        )
        return answer(told)

    def routes(self) -> list[ApiRoute]:
        return [
            ApiRoute(
                "GET",
                "/trajectories",
                self.page,
                "Trajectories, newest first, without their steps.",
                query=TrajectoriesQuery,
                answer=TrajectoryPage,
            ),
            ApiRoute(
                "POST",
                "/trajectories",
                self.open,
                "Open a trajectory. A repeat answers 200 with duplicate=true.",
                body=TrajectoryOpenRequest,
                answer=TrajectoryAnswer,
                status=201,
            ),
            ApiRoute(
                "GET",
                "/trajectories/{id}",
                self.read,
                "One trajectory with its steps in order, or in a few lines (detail=summary).",
                query=TrajectoryQuery,
                answer=TrajectoryReport,
            ),
            ApiRoute(
                "POST",
                "/trajectories/{id}/steps",
                self.step,
                "Add a step to an open trajectory.",
                body=TrajectoryStepRequest,
                answer=TrajectoryAnswer,
                status=201,
            ),
            ApiRoute(
                "POST",
                "/trajectories/{id}/close",
                self.close,
                "Close a trajectory with its outcome; a lesson becomes a memory, what was cited gains or loses credit.",
                body=TrajectoryCloseRequest,
                answer=TrajectoryAnswer,
            ),
        ]

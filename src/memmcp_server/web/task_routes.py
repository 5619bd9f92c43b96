"""Tasks over HTTP: filed by the operator on the page or a program, looked at, claimed and answered by agents."""

from typing import Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse

from memmcp_server.domain.identifiers import SEQ_MAX, Seq
from memmcp_server.domain.task import TaskDone, TaskState
from memmcp_server.services.container import Services
from memmcp_server.wire.base import Kind
from memmcp_server.wire.base import Request as WireRequest
from memmcp_server.wire.tasks import (
    TaskAnswer,
    TaskAnswerRequest,
    TaskCancelRequest,
    TaskClaimRequest,
    TaskFileRequest,
    TaskList,
    TaskReport,
    TaskStateStr,
)

from .requests import NoQuery, answer, body_as, idempotency_key, query_as, steward_of
from .routing import ApiRoute

LIMIT_MAX: Final = 100


class TasksQuery(WireRequest):
    state: TaskStateStr | None = Field(default=None, description="Only those; default all, newest change first.")
    kind: Kind | None = None
    cursor: int | None = Field(default=None, ge=0, le=SEQ_MAX, description="next_cursor of the last answer.")
    limit: int = Field(default=50, ge=1, le=LIMIT_MAX)


class TaskRoutes:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def page(self, request: Request) -> JSONResponse:
        wish = query_as(request, TasksQuery)
        found, more = await self._services.tasks.page(
            state=None if wish.state is None else TaskState(wish.state),
            kind=wish.kind,
            cursor=None if wish.cursor is None else Seq(wish.cursor),
            limit=wish.limit,
        )
        return answer(TaskList.of(found, more, self._services.clock.now_ns()))

    async def read(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        view = await self._services.tasks.get(request.path_params["id"], steward_of(request, "GET /tasks"))
        return answer(TaskReport.of_view(view))

    async def file(self, request: Request) -> JSONResponse:
        wish = await body_as(request, TaskFileRequest)
        caller = steward_of(request, "POST /tasks")
        done = await self._services.tasks.file(wish.to_fields(idempotency_key(request.headers)), caller)
        return self._told(done, 200 if done.duplicate else 201)

    async def claim(self, request: Request) -> JSONResponse:
        wish = await body_as(request, TaskClaimRequest)
        caller = steward_of(request, "POST /tasks/claim", agent=wish.agent)
        return self._told(await self._services.tasks.claim(request.path_params["id"], caller, wish.lease_s))

    async def complete(self, request: Request) -> JSONResponse:
        return await self._ended(request, "POST /tasks/complete", is_done=True)

    async def fail(self, request: Request) -> JSONResponse:
        return await self._ended(request, "POST /tasks/fail", is_done=False)

    async def cancel(self, request: Request) -> JSONResponse:
        wish = await body_as(request, TaskCancelRequest)
        caller = steward_of(request, "POST /tasks/cancel")
        return self._told(await self._services.tasks.cancel(request.path_params["id"], wish.reason, caller))

    async def _ended(self, request: Request, tool: str, *, is_done: bool) -> JSONResponse:
        wish = await body_as(request, TaskAnswerRequest)
        caller = steward_of(request, tool, agent=wish.agent)
        task_id = request.path_params["id"]
        return self._told(
            await self._services.tasks.answer(task_id, wish.text, caller, is_done=is_done, cites=wish.cites)
        )

    def _told(self, done: TaskDone, status: int = 200) -> JSONResponse:
        return answer(TaskAnswer.of(done), status)

    def routes(self) -> list[ApiRoute]:
        one, told = "/tasks/{id}", TaskAnswer
        claim, ending, back = TaskClaimRequest, TaskAnswerRequest, TaskCancelRequest
        return [
            ApiRoute("GET", "/tasks", self.page, "Tasks for agents.", query=TasksQuery, answer=TaskList),
            ApiRoute(
                "POST",
                "/tasks",
                self.file,
                "File a task with the memories it is about. A repeat answers 200 with duplicate=true.",
                body=TaskFileRequest,
                answer=told,
                status=201,
            ),
            ApiRoute(
                "GET", one, self.read, "One task with its context and its answer.", query=NoQuery, answer=TaskReport
            ),
            ApiRoute("POST", f"{one}/claim", self.claim, "Take a task under a lease.", body=claim, answer=told),
            ApiRoute("POST", f"{one}/complete", self.complete, "Answer a task.", body=ending, answer=told),
            ApiRoute("POST", f"{one}/fail", self.fail, "Say why a task cannot be done.", body=ending, answer=told),
            ApiRoute("POST", f"{one}/cancel", self.cancel, "Take a task back.", body=back, answer=told),
        ]

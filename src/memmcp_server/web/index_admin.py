"""The index for operators: how it is, checking and repairing it, making it anew, and the golden queries."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from memmcp_server.services.container import Services
from memmcp_server.wire.evaluation import (
    EvalAnswer,
    EvalRequest,
    GoldenAnswer,
    GoldenRequest,
    OutcomeView,
    cases_of,
)
from memmcp_server.wire.index import CheckRequest, ComparingView, DriftView, IndexAnswer, RebuildAnswer, SwitchRequest

from .requests import NoQuery, answer, body_as, query_as

Row = tuple[str, str, Any, str]


class IndexAdmin:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._keeper = services.keeper
        self._evaluation = services.evaluation

    async def index(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        return answer(await self._view())

    async def check(self, request: Request) -> JSONResponse:
        wish = await body_as(request, CheckRequest)
        return answer(DriftView.of(await self._keeper.check(repair=wish.repair)))

    async def repair(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        return answer(DriftView.of(await self._keeper.check(repair=True)))

    async def rebuild(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        await self._keeper.rebuild()
        status = await self._services.index.status()
        generation = status.generation if status.next is None else status.next.generation
        return answer(RebuildAnswer(count=await self._services.journal.horizon(), generation=generation))

    async def switch(self, request: Request) -> JSONResponse:
        wish = await body_as(request, SwitchRequest)
        await self._keeper.migration.switch(force=wish.force)
        return answer(await self._view())

    async def abandon(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        await self._keeper.migration.abandon()
        return answer(await self._view())

    async def evaluate(self, request: Request) -> JSONResponse:
        wish = await body_as(request, EvalRequest)
        outcomes = await self._evaluation.run(cases_of(wish.cases), limit=wish.limit)
        status = await self._services.health.index_status()
        views = [OutcomeView.of(each) for each in outcomes]
        return answer(EvalAnswer(outcomes=views, index_state=status.state, index_detail=status.detail))

    async def golden(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        return answer(GoldenAnswer.of(await self._evaluation.kept()))

    async def keep_golden(self, request: Request) -> JSONResponse:
        wish = await body_as(request, GoldenRequest)
        return answer(GoldenAnswer.of(await self._evaluation.keep(cases_of(wish.cases))))

    async def _view(self) -> IndexAnswer:
        report, compared = self._keeper.report, self._keeper.compared
        return IndexAnswer(
            index=await self._services.health.index_document(),
            report=None if report is None else DriftView.of(report),
            comparing=None if compared is None else ComparingView(done=compared[0], total=compared[1]),
        )

    def rows(self) -> list[Row]:
        return [
            ("GET", "/admin/index", self.index, "The index, its generations and the last comparison with the journal."),
            ("POST", "/admin/index/check", self.check, "Compare the whole journal with the index."),
            ("POST", "/admin/index/repair", self.repair, "Compare, queue what differs again, remove what is too much."),
            ("POST", "/admin/index/rebuild", self.rebuild, "Make the index anew beside the present one."),
            ("POST", "/admin/index/switch", self.switch, "Search the next generation from now on."),
            ("POST", "/admin/index/abandon", self.abandon, "Give the next generation up."),
            ("POST", "/admin/rebuild-index", self.rebuild, "As /admin/index/rebuild."),
            ("POST", "/admin/eval", self.evaluate, "Ask golden queries."),
            ("GET", "/admin/golden", self.golden, "The golden queries that are kept, with their baseline."),
            ("POST", "/admin/golden", self.keep_golden, "Keep golden queries and what they come to now."),
        ]

"""POST /memory/forget and GET /memory/audit."""

from starlette.requests import Request
from starlette.responses import JSONResponse

from memmcp_server.domain.identifiers import MemoryId, Seq
from memmcp_server.services.container import Services
from memmcp_server.wire.lifecycle import (
    AuditAnswer,
    AuditDocument,
    AuditQuery,
    ForgetAnswer,
    ForgetRequest,
)

from .requests import answer, body_as, query_as, steward_of
from .routing import ApiRoute


class LifecycleRoutes:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def forget(self, request: Request) -> JSONResponse:
        wish = await body_as(request, ForgetRequest)
        caller = steward_of(request, "POST /memory/forget", agent=wish.agent)
        return answer(ForgetAnswer.of(await self._services.forgetting.carry_out(wish.to_order(), caller)))

    async def audit(self, request: Request) -> JSONResponse:
        wish = query_as(request, AuditQuery)
        before = None if wish.cursor is None else Seq(wish.cursor)
        memory_id = None if wish.id is None else MemoryId(wish.id)
        journal, limit = self._services.journal, wish.limit
        entries = await journal.audit(action=wish.action, memory_id=memory_id, before=before, limit=limit)
        next_cursor = entries[-1].seq if len(entries) == limit else None
        if memory_id is not None:
            purges = [each for entry in entries for each in await self._services.erasure.covering(entry)]
            entries = sorted({each.seq: each for each in (*entries, *purges)}.values(), key=lambda each: -each.seq)
        documents = [AuditDocument.of(entry) for entry in entries]
        return answer(AuditAnswer(entries=documents, next_cursor=next_cursor))

    def routes(self) -> list[ApiRoute]:
        return [
            ApiRoute(
                "POST",
                "/memory/forget",
                self.forget,
                "Forget memories by id, or by a filter after a preview; answers with the proof.",
                body=ForgetRequest,
                answer=ForgetAnswer,
            ),
            ApiRoute(
                "GET",
                "/memory/audit",
                self.audit,
                "What was done to memories, newest first, without content.",
                query=AuditQuery,
                answer=AuditAnswer,
                operator=True,
            ),
        ]

"""Memories over HTTP."""

from typing import Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse

from memmcp_server.services.container import Services
from memmcp_server.wire.base import Request as WireRequest
from memmcp_server.wire.budget import search_answer
from memmcp_server.wire.memory import (
    MemoryDocument,
    MemoryHistory,
    MemorySearchAnswer,
    MemorySearchRequest,
    MemoryUpdateRequest,
    MemoryWriteAnswer,
    MemoryWriteRequest,
    ReasonRequest,
)

from .requests import NoQuery, answer, body_as, caller_of, idempotency_key, query_as, steward_of
from .routing import ApiRoute

VERSION_MAX: Final = 2**31 - 1


class MemoryQuery(WireRequest):
    version: int | None = Field(
        default=None, ge=1, le=VERSION_MAX, description="An earlier version; default the current one."
    )


class MemoryRoutes:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def write(self, request: Request) -> JSONResponse:
        wish = await body_as(request, MemoryWriteRequest)
        key = wish.idempotency_key or idempotency_key(request.headers)
        wish = wish.model_copy(update={"idempotency_key": key})
        caller = caller_of(request, "POST /memory/write", agent=wish.agent)
        self._services.quotas.take(steward_of(request, caller.tool, agent=wish.agent), "writes")
        memories = self._services.memories
        draft = wish.to_draft(caller, self._services.limits, self._services.clock.now_ns())
        acknowledgement = await memories.write(draft, caller)
        status = 200 if acknowledgement.duplicate else 202 if acknowledgement.is_local else 201
        return answer(MemoryWriteAnswer.of(acknowledgement, draft.namespace), status)

    async def search(self, request: Request) -> JSONResponse:
        wish = query_as(request, MemorySearchRequest)
        query = wish.to_query()
        caller = steward_of(request, "GET /memory/search")
        self._services.quotas.take(caller, "reads")
        result = await self._services.memories.search(query, caller)
        full = wish.detail == "full"
        found = search_answer(result, query, full=full, tokens_max=wish.max_tokens)
        return answer(found, is_lean=wish.max_tokens is not None)

    async def read(self, request: Request) -> JSONResponse:
        wish = query_as(request, MemoryQuery)
        caller = steward_of(request, "GET /memory")
        details = await self._services.memories.details(request.path_params["id"], wish.version, caller)
        return answer(MemoryDocument.detailed(details))

    async def history(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        caller = steward_of(request, "GET /memory/history")
        versions = await self._services.memories.history(request.path_params["id"], caller)
        return answer(MemoryHistory(versions=[MemoryDocument.of(version) for version in versions]))

    async def update(self, request: Request) -> JSONResponse:
        wish = await body_as(request, MemoryUpdateRequest)
        caller = steward_of(request, "POST /memory/update", agent=wish.agent)
        memories, memory_id = self._services.memories, request.path_params["id"]
        if not wish.only_confirms:
            acknowledgement = await memories.update(wish.to_fields(memory_id, idempotency_key(request.headers)), caller)
        if wish.confirm:
            acknowledgement = await memories.confirm(memory_id, caller)
        memory = await memories.get(memory_id)
        return answer(MemoryWriteAnswer.of(acknowledgement, memory.namespace))

    async def restore(self, request: Request) -> JSONResponse:
        wish = await body_as(request, ReasonRequest)
        caller = steward_of(request, "POST /memory/restore", agent=wish.agent)
        acknowledgement = await self._services.memories.restore(request.path_params["id"], wish.reason, caller)
        memory = await self._services.memories.get(request.path_params["id"])
        return answer(MemoryWriteAnswer.of(acknowledgement, memory.namespace))

    def routes(self) -> list[ApiRoute]:
        return [
            ApiRoute(
                "POST",
                "/memory/write",
                self.write,
                "Store one memory; durable when it answers. A repeat answers 200 with duplicate=true.",
                body=MemoryWriteRequest,
                answer=MemoryWriteAnswer,
                status=201,
                also={202: "Durable on this machine alone while the journal's server is away: durable=local, no seq."},
            ),
            ApiRoute(
                "GET",
                "/memory/search",
                self.search,
                "Find memories by meaning and by words, best first.",
                query=MemorySearchRequest,
                answer=MemorySearchAnswer,
            ),
            ApiRoute(
                "GET",
                "/memory/{id}",
                self.read,
                "One memory with its links, its standing, and whether what it rests on still stands.",
                query=MemoryQuery,
                answer=MemoryDocument,
            ),
            ApiRoute(
                "GET",
                "/memory/{id}/history",
                self.history,
                "Every version of a memory, oldest first.",
                query=NoQuery,
                answer=MemoryHistory,
            ),
            ApiRoute(
                "POST",
                "/memory/{id}/update",
                self.update,
                "Append the next version of a memory, or confirm that it still holds.",
                body=MemoryUpdateRequest,
                answer=MemoryWriteAnswer,
            ),
            ApiRoute(
                "POST",
                "/memory/{id}/restore",
                self.restore,
                "Make a superseded or merged memory current again.",
                body=ReasonRequest,
                answer=MemoryWriteAnswer,
            ),
        ]

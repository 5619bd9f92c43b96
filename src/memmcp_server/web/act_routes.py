"""What the page's action pad needs beside the controls: rebalancing, candidates, arming, and the answer of a key."""

from typing import Final
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.errors import MemoryServerError, TradingUnavailable
from memmcp_server.ports import Approvals
from memmcp_server.services import acts
from memmcp_server.services.container import Services
from memmcp_server.wire.acts import AnswerQuery, CandidateList, CandidatesQuery, KeyAnswer, RebalanceAct
from memmcp_server.wire.live import DisarmRequest, LiveView
from memmcp_server.wire.orders import RebalanceAnswer

from .requests import NoQuery, answer, body_as, caller_of, idempotency_key, query_as
from .routing import ApiRoute
from .trading_routes import desk_of

OFF: Final = "trading is switched off in this daemon; memory works on"
ON_HINT: Final = "start it with: memmcp serve (without --no-trading)"


class ActRoutes:
    def __init__(self, services: Services) -> None:
        self._services = services

    def _approvals(self) -> Approvals:
        if self._services.approvals is None:
            raise TradingUnavailable(OFF, hint=ON_HINT)
        return self._services.approvals

    async def rebalance(self, request: Request) -> JSONResponse:
        wish = await body_as(request, RebalanceAct)
        key = wish.idempotency_key or idempotency_key(request.headers) or uuid4().hex
        caller = caller_of(request, "POST /rebalance", role="operator")
        asked: JsonObject = wish.model_dump(
            mode="json", exclude={"idempotency_key", "expected_state"}, exclude_none=True
        )
        actor = f"operator:{caller.agent}"
        await acts.require_state(desk_of(self._services), wish.expected_state, actor=actor, key=key)
        body = await self._noted(caller, asked, actor, key)
        return answer(RebalanceAnswer.model_validate(body))

    async def _noted(self, caller: Caller, asked: JsonObject, actor: str, key: str) -> JsonObject:
        journal = self._services.journal
        try:
            body = await desk_of(self._services).rebalance(asked, agent=actor, key=key)
        except MemoryServerError as error:
            await acts.note_refused(journal, caller, error)
            raise
        await acts.note_done(journal, caller, asked, body)
        return body

    async def answered(self, request: Request) -> JSONResponse:
        wish = query_as(request, AnswerQuery)
        caller = caller_of(request, "GET /actions/answer", role="operator")
        found = await desk_of(self._services).answered(agent=f"operator:{caller.agent}", key=wish.key)
        if found is None:
            return answer(KeyAnswer(is_known=False))
        told = {name: found[name] for name in KeyAnswer.model_fields if found.get(name) is not None}
        return answer(KeyAnswer.model_validate({"message": found.get("effect", ""), **told, "is_known": True}))

    async def candidates(self, request: Request) -> JSONResponse:
        wish = query_as(request, CandidatesQuery)
        return answer(CandidateList.model_validate(await desk_of(self._services).candidates(limit=wish.limit)))

    async def live(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        return answer(LiveView.model_validate(await self._approvals().arming()))

    async def disarm(self, request: Request) -> JSONResponse:
        wish = await body_as(request, DisarmRequest)
        caller = caller_of(request, "POST /live/disarm", role="operator")
        try:
            body = await self._approvals().disarm(f"operator:{caller.agent}: {wish.reason}"[:200])
        except MemoryServerError as error:
            await acts.note_refused(self._services.journal, caller, error)
            raise
        await acts.note_done(self._services.journal, caller, {"action": "disarm"}, {"status": "done"})
        return answer(LiveView.model_validate(body))

    def routes(self) -> list[ApiRoute]:
        return [
            ApiRoute(
                "POST",
                "/rebalance",
                self.rebalance,
                "Move cash between buckets, or tokens to weights: first a preview with the legs, their costs and what "
                "the gate says to each, then, with its preview_id, the same once per key.",
                body=RebalanceAct,
                answer=RebalanceAnswer,
                operator=True,
            ),
            ApiRoute(
                "GET",
                "/actions/answer",
                self.answered,
                "What was done under an idempotency key of yours, as it stands now. Does nothing.",
                query=AnswerQuery,
                answer=KeyAnswer,
                operator=True,
            ),
            ApiRoute(
                "GET",
                "/candidates",
                self.candidates,
                "Parameters proposed for promotion, the newest first, with the gates as they were read last.",
                query=CandidatesQuery,
                answer=CandidateList,
            ),
            ApiRoute(
                "GET",
                "/live",
                self.live,
                "Whether real money is armed, the mandate's bounds, and the command that arms it on a terminal.",
                query=NoQuery,
                answer=LiveView,
            ),
            ApiRoute(
                "POST",
                "/live/disarm",
                self.disarm,
                "Disarm at once: nothing is bought any more; what is held may still be sold. No route arms.",
                body=DisarmRequest,
                answer=LiveView,
                operator=True,
            ),
        ]

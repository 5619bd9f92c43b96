"""Approvals over HTTP: what waits for the operator, and a passkey's answer on its way to the signer.

No token makes an answer good: the signer checks it against the credential that it pinned.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse

from memmcp_server.errors import NotFound, TradingUnavailable
from memmcp_server.ports import Approvals
from memmcp_server.services.container import Services
from memmcp_server.wire.approvals import (
    AnswerRequest,
    ApprovalList,
    ApprovalView,
    CodeRequest,
    NoBody,
    Options,
    PasskeyRequest,
    PasskeyView,
)

from .requests import NoQuery, answer, body_as, query_as
from .routing import ApiRoute

ID_LEN: Final = 64


class ApprovalRoutes:
    def __init__(self, services: Services) -> None:
        self._services = services

    def _approvals(self) -> Approvals:
        if self._services.approvals is None:
            msg = "trading is switched off in this daemon, and approvals with it"
            raise TradingUnavailable(msg, hint="start it with: memmcp serve (without --no-trading)")
        return self._services.approvals

    async def overview(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        try:
            return answer(ApprovalList.model_validate(await self._approvals().overview()))
        except TradingUnavailable as error:
            # A desk without a signer is the ordinary case, and a page that asks is not told of an error each time.
            none = ApprovalList(
                is_available=False, approvals=[], passkeys=[], origins=[], is_armed=False, why_not=error.message
            )
            return answer(none)

    async def challenge(self, request: Request) -> JSONResponse:
        await body_as(request, NoBody)
        return answer(Options.model_validate(await self._approvals().challenge(_id(request))))

    async def approve(self, request: Request) -> JSONResponse:
        wish = await body_as(request, AnswerRequest)
        return answer(ApprovalView.model_validate(await self._approvals().approve(_id(request), wish.credential)))

    async def refuse(self, request: Request) -> JSONResponse:
        await body_as(request, NoBody)
        return answer(ApprovalView.model_validate(await self._approvals().refuse(_id(request))))

    async def passkey_options(self, request: Request) -> JSONResponse:
        wish = await body_as(request, CodeRequest)
        return answer(Options.model_validate(await self._approvals().passkey_options(wish.code)))

    async def register_passkey(self, request: Request) -> JSONResponse:
        wish = await body_as(request, PasskeyRequest)
        found = await self._approvals().register_passkey(wish.code, wish.credential, wish.label)
        return answer(PasskeyView.model_validate(found), 201)

    def routes(self) -> list[ApiRoute]:
        return [
            ApiRoute(
                "GET",
                "/approvals",
                self.overview,
                "Orders that wait or waited for the operator's passkey.",
                query=NoQuery,
                answer=ApprovalList,
            ),
            ApiRoute(
                "POST",
                "/approvals/{id}/challenge",
                self.challenge,
                "A challenge for a passkey, good once and for this order alone.",
                body=NoBody,
                answer=Options,
            ),
            ApiRoute(
                "POST",
                "/approvals/{id}/approve",
                self.approve,
                "Hand a passkey's answer to the signer, which checks it.",
                body=AnswerRequest,
                answer=ApprovalView,
            ),
            ApiRoute(
                "POST", "/approvals/{id}/refuse", self.refuse, "Refuse an order.", body=NoBody, answer=ApprovalView
            ),
            ApiRoute(
                "POST",
                "/passkeys/options",
                self.passkey_options,
                "Begin to register a passkey, with the code that the signer's terminal shows.",
                body=CodeRequest,
                answer=Options,
            ),
            ApiRoute(
                "POST",
                "/passkeys",
                self.register_passkey,
                "Hand a new passkey to the signer, where the operator has to confirm it.",
                body=PasskeyRequest,
                answer=PasskeyView,
                status=201,
            ),
        ]


def _id(request: Request) -> str:
    """Raises: NotFound for what can be no approval's id."""
    found: str = request.path_params["id"]
    if len(found) != ID_LEN or not set(found) <= set("0123456789abcdef"):
        msg = "there is no such approval"
        raise NotFound(msg, field="id")
    return found

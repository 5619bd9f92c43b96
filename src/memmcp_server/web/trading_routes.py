"""The desk over HTTP: what it is doing, its history, and the operator's controls."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final
from uuid import uuid4

from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import JSONResponse

from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.domain.telemetry import LOCAL_DESK, RecordSnapshot
from memmcp_server.domain.times import instant_ns, to_ns
from memmcp_server.errors import MemoryServerError, NotFound, Refused, TradingUnavailable
from memmcp_server.ports import TradingDesk
from memmcp_server.services import acts
from memmcp_server.services.container import Services
from memmcp_server.wire.base import IdempotencyKey, Moment, SolAmount, TradingState
from memmcp_server.wire.base import Request as WireRequest
from memmcp_server.wire.desks import DeskList
from memmcp_server.wire.money import CostsAnswer
from memmcp_server.wire.night import NightReport, ReviewAnswer, ReviewRequest
from memmcp_server.wire.orders import CONTROL_FIELDS, LEVEL_ACTIONS, ControlAnswer, ControlRequest, ProfileName
from memmcp_server.wire.promotion import PromotionAnswer, PromotionRequest
from memmcp_server.wire.telemetry import (
    ForeignTelemetry,
    RiskView,
    SnapshotSeries,
    SnapshotView,
    TelemetryReceipt,
    WindowName,
)
from memmcp_server.wire.trading import (
    EquitySeries,
    StrategyDigest,
    StrategyList,
    TradingSnapshot,
    WhyAnswer,
)

from .requests import NoQuery, answer, body_as, caller_of, idempotency_key, query_as, validated
from .routing import ApiRoute

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=128)]

ACTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "stop-entries": "Open nothing new; positions and their exits go on.",
        "reduce-only": "Only sell: no entry, no addition.",
        "flatten-and-halt": "Sell every position that can be sold, then halt.",
        "resume": "Allow entries again.",
        "close": "Sell a share of one position.",
        "deposit": "Book a paper deposit; returns are not counted up by it.",
        "withdraw": "Book a paper withdrawal; returns are not counted down by it.",
        "target": "Set the compounding target.",
        "profile": "Trade under another profile: a shipped one, or a file of the folder profiles.",
    }
)


class HistoryQuery(WireRequest):
    since: Moment | None = Field(default=None, description="ISO 8601 with zone, inclusive.")
    until: Moment | None = Field(default=None, description="ISO 8601 with zone, exclusive.")
    resolution: int | None = Field(default=None, ge=1, le=31 * 86_400, description="Seconds a point; the last of each.")


class SnapshotsQuery(WireRequest):
    desk_id: str = Field(default=LOCAL_DESK, min_length=1, max_length=64, description="Ours unless one is named.")
    since: Moment | None = Field(default=None, description="ISO 8601 with zone, inclusive.")
    until: Moment | None = Field(default=None, description="ISO 8601 with zone, exclusive.")
    resolution: int | None = Field(default=None, ge=1, le=31 * 86_400, description="Seconds; the last of each.")
    limit: int = Field(default=50, ge=1, le=500)


class DigestQuery(WireRequest):
    strategy: str | None = Field(default=None, max_length=64)
    window: WindowName = "all"
    since: Moment | None = Field(default=None, description="In place of a window: closed at or after.")
    until: Moment | None = Field(default=None, description="In place of a window: closed before.")


class WhyQuery(WireRequest):
    order_id: Identifier | None = None
    trajectory_id: Identifier | None = None
    mint: str | None = Field(default=None, min_length=2, max_length=64)
    since: Moment | None = None
    until: Moment | None = None


class CostsQuery(WireRequest):
    days: int = Field(default=31, ge=1, le=400, description="So many of the newest days.")


class NightQuery(WireRequest):
    since: Moment | None = Field(default=None, description="ISO 8601 with zone; the last 12 hours where left out.")


class ActionRequest(WireRequest):
    """The body of POST /actions/{name}; which fields an action takes is in its description. ``expected_state``: the
    state that was looked at when it was decided on; in any other nothing is done."""

    reason: str = Field(min_length=3, max_length=1_000, description="Why; kept in the journal.")
    mint: str | None = Field(default=None, min_length=2, max_length=64)
    percent: int | None = Field(default=None, ge=1, le=100)
    amount_sol: SolAmount | None = None
    profile: ProfileName | None = None
    level: str | None = Field(default=None, max_length=100, description="Only there: bucket:NAME, strategy:NAME.")
    expected_state: TradingState | None = Field(default=None, description="Done only while the desk is in it.")
    idempotency_key: IdempotencyKey | None = Field(default=None, description="Or the Idempotency-Key header.")


def desk_of(services: Services) -> TradingDesk:
    """Return the desk. Raises: TradingUnavailable where there is none."""
    if services.desk is None:
        msg = "trading is switched off in this daemon; memory works on"
        raise TradingUnavailable(msg, hint="start it with: memmcp serve (without --no-trading)")
    return services.desk


class TradingRoutes:
    def __init__(self, services: Services) -> None:
        self._services = services

    def _desk(self) -> TradingDesk:
        return desk_of(self._services)

    async def _snapshot(self) -> TradingSnapshot:
        return TradingSnapshot.model_validate(await self._desk().snapshot())

    async def latest(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        return answer(await self._snapshot())

    async def desks(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        now_ns = self._services.clock.now_ns()
        return answer(DeskList.of(await self._services.telemetry.desks(), now_ns))

    async def report(self, request: Request) -> JSONResponse:
        wish = await body_as(request, ForeignTelemetry)
        if wish.desk_id == LOCAL_DESK:
            msg = f"desk_id {LOCAL_DESK} is this daemon's own; an outside engine reports under its own id"
            raise Refused(msg, field="desk_id")
        ts_ns = instant_ns("ts", wish.ts)
        command = RecordSnapshot(wish.desk_id, wish.key, ts_ns or to_ns(wish.ts), wish.model_dump(mode="json"))
        acknowledgement = await self._services.telemetry.record(command)
        receipt = TelemetryReceipt(desk_id=wish.desk_id, seq=acknowledgement.seq, duplicate=acknowledgement.duplicate)
        return answer(receipt, 200 if acknowledgement.duplicate else 201)

    async def history(self, request: Request) -> JSONResponse:
        wish = query_as(request, HistoryQuery)
        body = await self._desk().equity(
            since_ns=instant_ns("since", wish.since),
            until_ns=instant_ns("until", wish.until),
            resolution_s=wish.resolution,
        )
        return answer(EquitySeries.model_validate(body))

    async def snapshots(self, request: Request) -> JSONResponse:
        wish = query_as(request, SnapshotsQuery)
        found = await self._services.telemetry.history(
            wish.desk_id,
            since_ns=instant_ns("since", wish.since),
            until_ns=instant_ns("until", wish.until),
            resolution_s=wish.resolution,
            limit=wish.limit,
        )
        views = [SnapshotView.of(each) for each in found]
        return answer(SnapshotSeries(desk_id=wish.desk_id, snapshots=views, resolution_s=wish.resolution))

    async def costs(self, request: Request) -> JSONResponse:
        wish = query_as(request, CostsQuery)
        return answer(CostsAnswer.model_validate(await self._desk().costs(days=wish.days)))

    async def strategies(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        return answer(StrategyList.model_validate(await self._desk().strategies()))

    async def digest(self, request: Request) -> JSONResponse:
        wish = query_as(request, DigestQuery)
        body = await self._desk().strategy_digest(
            strategy=wish.strategy,
            window=wish.window,
            since_ns=instant_ns("since", wish.since),
            until_ns=instant_ns("until", wish.until),
        )
        return answer(StrategyDigest.model_validate(body))

    async def risk(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        return answer(RiskView.of(await self._snapshot()))

    async def why(self, request: Request) -> JSONResponse:
        wish = query_as(request, WhyQuery)
        body = await self._desk().why(
            order_id=wish.order_id,
            trajectory_id=wish.trajectory_id,
            mint=wish.mint,
            since_ns=instant_ns("since", wish.since),
            until_ns=instant_ns("until", wish.until),
        )
        return answer(WhyAnswer.model_validate(body))

    async def night(self, request: Request) -> JSONResponse:
        wish = query_as(request, NightQuery)
        body = await self._desk().night(since_ns=instant_ns("since", wish.since))
        return answer(NightReport.model_validate(body))

    async def answer_review(self, request: Request) -> JSONResponse:
        wish = await body_as(request, ReviewRequest)
        caller = caller_of(request, "POST /review", role="operator")
        body = await self._desk().answer_review(wish.model_dump(), actor=f"operator:{caller.agent}")
        return answer(ReviewAnswer.model_validate(body))

    async def promote(self, request: Request) -> JSONResponse:
        wish = await body_as(request, PromotionRequest)
        key = wish.idempotency_key or idempotency_key(request.headers)
        without = {"idempotency_key", "expected_state"}
        asked: JsonObject = wish.model_dump(mode="json", exclude=without, exclude_none=True)
        await self._require_state(request, wish.expected_state, key)
        body = await self._carried("POST /promotions", request, asked, key)
        return answer(PromotionAnswer.model_validate(body))

    async def act(self, request: Request) -> JSONResponse:
        name = request.path_params["name"]
        if name not in ACTIONS:
            msg = f"there is no action {name[:64]}"
            raise NotFound(msg, field="name", hint=f"actions: {', '.join(ACTIONS)}")
        wish = await body_as(request, ActionRequest)
        fields: JsonObject = wish.model_dump(exclude={"idempotency_key", "expected_state"}, exclude_none=True)
        control = validated(ControlRequest, {"action": name.replace("-", "_"), **fields})
        asked = control.model_dump(mode="json", exclude_none=True)
        key = wish.idempotency_key or idempotency_key(request.headers)
        await self._require_state(request, wish.expected_state, key)
        body = await self._carried(f"POST /actions/{name}", request, asked, key)
        return answer(ControlAnswer.model_validate(body))

    async def _require_state(self, request: Request, expected: TradingState | None, key: str | None) -> None:
        actor = f"operator:{caller_of(request, '', role='operator').agent}"
        await acts.require_state(self._desk(), expected, actor=actor, key=key)

    async def _carried(self, call: str, request: Request, asked: JsonObject, given: str | None) -> JsonObject:
        """Have the desk carry an operator's control out, once per key, and note it in the audit."""
        key = given or uuid4().hex
        caller, journal = caller_of(request, call, role="operator"), self._services.journal
        try:
            body = await self._desk().control(asked, actor=f"operator:{caller.agent}", key=key)
        except MemoryServerError as error:
            await acts.note_refused(journal, caller, error)
            raise
        await acts.note_done(journal, caller, asked, body)
        return body

    def routes(self) -> list[ApiRoute]:
        return [*self._read_routes(), *self._acting_routes()]

    def _read_routes(self) -> list[ApiRoute]:
        return [
            ApiRoute("GET", "/telemetry/trading", self.latest, "The present snapshot.", NoQuery, None, TradingSnapshot),
            ApiRoute(
                "POST",
                "/telemetry/trading",
                self.report,
                "An outside engine's report, kept under its own desk id and never added to ours.",
                body=ForeignTelemetry,
                answer=TelemetryReceipt,
                status=201,
            ),
            ApiRoute(
                "GET",
                "/telemetry/desks",
                self.desks,
                "The last report of every desk, and totals that never mix ours with others.",
                NoQuery,
                None,
                DeskList,
            ),
            ApiRoute(
                "GET",
                "/telemetry/trading/history",
                self.history,
                "Equity and drawdown over time.",
                query=HistoryQuery,
                answer=EquitySeries,
            ),
            ApiRoute(
                "GET",
                "/telemetry/snapshots",
                self.snapshots,
                "Whole snapshots of a desk over time: positions, limits, queues as they were.",
                query=SnapshotsQuery,
                answer=SnapshotSeries,
            ),
            ApiRoute("GET", "/strategies", self.strategies, "Strategies with results.", NoQuery, None, StrategyList),
            ApiRoute(
                "GET",
                "/strategies/digest",
                self.digest,
                "Performance in a window, sample sizes first.",
                query=DigestQuery,
                answer=StrategyDigest,
            ),
            ApiRoute("GET", "/costs", self.costs, "Costs, and the net result.", CostsQuery, None, CostsAnswer),
            ApiRoute("GET", "/risk", self.risk, "State, exposure, limits and distances.", NoQuery, None, RiskView),
            ApiRoute(
                "GET",
                "/why",
                self.why,
                "The chain of a trade, or the funnel of why nothing happened.",
                query=WhyQuery,
                answer=WhyAnswer,
            ),
            ApiRoute(
                "GET",
                "/night",
                self.night,
                "What happened since you looked last, and what waits for an answer.",
                query=NightQuery,
                answer=NightReport,
            ),
        ]

    def _acting_routes(self) -> list[ApiRoute]:
        takes = "; ".join(f"{name.replace('_', '-')}: {', '.join(fields)}" for name, fields in CONTROL_FIELDS.items())
        takes += f"; {', '.join(each.replace('_', '-') for each in sorted(LEVEL_ACTIONS))}: level (not required)"
        actions = " ".join(f"{name}: {text}" for name, text in ACTIONS.items())
        return [
            ApiRoute(
                "POST",
                "/review",
                self.answer_review,
                "A person's answer to what waits at a desk with real money.",
                body=ReviewRequest,
                answer=ReviewAnswer,
                operator=True,
            ),
            ApiRoute(
                "POST",
                "/promotions",
                self.promote,
                "Promote a candidate, or demote a strategy: an operator's decision, with what each gate read.",
                body=PromotionRequest,
                answer=PromotionAnswer,
                operator=True,
            ),
            ApiRoute(
                "POST",
                "/actions/{name}",
                self.act,
                f"An operator's control. {actions} Further fields: {takes}.",
                body=ActionRequest,
                answer=ControlAnswer,
                operator=True,
            ),
        ]

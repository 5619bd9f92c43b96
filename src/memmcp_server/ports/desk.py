"""The trading desk, and the approvals of real money."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from memmcp_server.domain.identifiers import JsonObject


class TradingDesk(Protocol):
    """The trading runtime as the server sees it. Documents are the models of ``wire`` as JSON objects.

    A refusal by the desk is a document with ``status``. Raises: TradingUnavailable, InvalidInput.
    """

    async def snapshot(self) -> JsonObject:
        """wire.TradingSnapshot"""

    async def metrics(self) -> JsonObject:
        """What the desk counts and measures: ``{"families": [{name, kind, help, labels, bounds?, series}]}``.

        Each of the series has ``labels``, ``value`` and, of a histogram, ``counts`` (the value is the sum then). It is
        cheap and waits for nothing.
        """

    async def trades(
        self, *, strategy: str | None, cursor: str | None, limit: int, wanted: JsonObject | None = None
    ) -> JsonObject:
        """wire.TradePage, newest first. ``wanted`` narrows it: mint, side, result, origin, since_ns, until_ns."""

    async def candles(
        self, *, mint: str | None, since_ns: int | None, until_ns: int | None, interval_s: int | None
    ) -> JsonObject:
        """wire.CandleSeries: of this token, else of the one that was traded last"""

    async def equity(self, *, since_ns: int | None, until_ns: int | None, resolution_s: int | None) -> JsonObject:
        """wire.EquitySeries"""

    async def projection(self) -> JsonObject:
        """wire.Projection: the path of the tiers, targets as they were set, and where the equity may go"""

    async def curve_marks(self, *, since_ns: int | None, until_ns: int | None) -> JsonObject:
        """wire.CurveMarks: fills, deposits and withdrawals in a stretch of time, thinned where there are many"""

    async def costs(self, *, days: int) -> JsonObject:
        """wire.CostsAnswer: costs on chain and of running, with the newest rows of days"""

    async def nodes(self) -> JsonObject:
        """wire.NodesAnswer without the nodes' versions"""

    async def arbitrage(self, *, part: str, cursor: str | None, limit: int) -> JsonObject:
        """How arbitrage stands, by ``part``: status (wire.ArbitrageStatus), trips (wire.TripPage), opportunities
        (wire.OpportunityList), transfers (wire.TransferPage); newest first."""

    async def answer_arbitrage(self, request: JsonObject, *, actor: str) -> JsonObject:
        """wire.ArbitrageRequest -> wire.ArbitrageStatus. The caller has checked that this actor is a person."""

    async def transactions(self, *, cursor: str | None, limit: int) -> JsonObject:
        """wire.TransactionPage, newest first"""

    async def profile_log(self, *, cursor: str | None, limit: int) -> JsonObject:
        """wire.ProfileLog, newest first"""

    async def sidecar_log(self, *, cursor: str | None, limit: int) -> JsonObject:
        """wire.SidecarLog, newest first"""

    async def strategies(self) -> JsonObject:
        """wire.StrategyList"""

    async def candidates(self, *, limit: int) -> JsonObject:
        """wire.CandidateList: parameters that were proposed for promotion, newest first"""

    async def strategy_digest(
        self, *, strategy: str | None, window: str, since_ns: int | None = None, until_ns: int | None = None
    ) -> JsonObject:
        """wire.StrategyDigest of a window that ends now, or (``window`` all) of the trades between two times"""

    async def why(
        self,
        *,
        order_id: str | None,
        trajectory_id: str | None,
        mint: str | None,
        since_ns: int | None,
        until_ns: int | None = None,
    ) -> JsonObject:
        """wire.WhyAnswer: the chain of a trade, or the funnel of why nothing happened"""

    async def night(self, *, since_ns: int | None) -> JsonObject:
        """wire.NightReport: what happened since then, and what waits for a person"""

    async def answer_review(self, request: JsonObject, *, actor: str) -> JsonObject:
        """wire.ReviewRequest -> wire.ReviewAnswer. The caller has checked that this actor is a person."""

    async def place_trade(self, request: JsonObject, *, agent: str, key: str) -> JsonObject:
        """wire.TradeRequest -> wire.TradeAnswer. Without preview_id a preview; with it the order, once per key."""

    async def close_position(self, request: JsonObject, *, agent: str, key: str) -> JsonObject:
        """wire.CloseRequest -> wire.TradeAnswer"""

    async def rebalance(self, request: JsonObject, *, agent: str, key: str) -> JsonObject:
        """wire.RebalanceRequest -> wire.RebalanceAnswer"""

    async def answered(self, *, agent: str, key: str) -> JsonObject | None:
        """Return what this key has brought, as it stands now; None while nothing was done under it. Does nothing."""

    async def control(self, request: JsonObject, *, actor: str, key: str) -> JsonObject:
        """wire.ControlRequest -> wire.ControlAnswer. The caller has checked what this actor may do."""

    async def assess(self, request: JsonObject, *, agent: str) -> JsonObject:
        """wire.AssessRequest -> wire.AssessAnswer. Raises TradingUnavailable also where there is no sidecar."""

    def changes(self) -> AsyncIterator[JsonObject]:
        """Yield wire.TradingSnapshot after each cycle, the newest only: a slow reader skips, it never queues."""


class Approvals(Protocol):
    """Orders of real money that wait for a passkey, as ``wire.approvals``. Raises: TradingUnavailable, InvalidInput."""

    async def overview(self) -> JsonObject: ...
    async def arming(self) -> JsonObject:
        """wire.LiveView: what is armed, what the mandate's file says, and the command that arms it on a terminal"""

    async def disarm(self, why: str) -> JsonObject:
        """End the arming; wire.LiveView. It takes risk away alone, so no passphrase is asked for."""

    async def challenge(self, approval_id: str) -> JsonObject: ...
    async def approve(self, approval_id: str, credential: Mapping[str, Any]) -> JsonObject: ...
    async def refuse(self, approval_id: str) -> JsonObject: ...
    async def passkey_options(self, code: str) -> JsonObject: ...
    async def register_passkey(self, code: str, credential: Mapping[str, Any], label: str) -> JsonObject: ...

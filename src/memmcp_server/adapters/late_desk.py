"""The desk before it is there: doors hold this from the first second, trading comes up behind it."""

from collections.abc import AsyncIterator

from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.errors import TradingUnavailable
from memmcp_server.ports import TradingDesk

STARTING = "the trading desk is starting"
STARTING_HINT = "memory works already; ask again in a moment"


class LateDesk:
    """A TradingDesk that passes on to the real one as soon as ``provide`` has named it.

    Until then, and again after ``withdraw``, every method raises TradingUnavailable with the reason.
    """

    def __init__(self) -> None:
        self._desk: TradingDesk | None = None
        self._reason = STARTING
        self._hint = STARTING_HINT

    def provide(self, desk: TradingDesk) -> None:
        self._desk = desk

    def withdraw(self, reason: str, hint: str) -> None:
        """Say why there is no desk (any more) and what to do about it."""
        self._desk, self._reason, self._hint = None, reason, hint

    def withdraw_if_held(self, reason: str, hint: str) -> None:
        """As ``withdraw``, but an earlier reason stands."""
        if self._desk is not None:
            self.withdraw(reason, hint)

    def _real(self) -> TradingDesk:
        if self._desk is None:
            raise TradingUnavailable(self._reason, hint=self._hint)
        return self._desk

    async def snapshot(self) -> JsonObject:
        return await self._real().snapshot()

    async def metrics(self) -> JsonObject:
        return await self._real().metrics()

    async def trades(
        self, *, strategy: str | None, cursor: str | None, limit: int, wanted: JsonObject | None = None
    ) -> JsonObject:
        return await self._real().trades(strategy=strategy, cursor=cursor, limit=limit, wanted=wanted)

    async def candles(
        self, *, mint: str | None, since_ns: int | None, until_ns: int | None, interval_s: int | None
    ) -> JsonObject:
        return await self._real().candles(mint=mint, since_ns=since_ns, until_ns=until_ns, interval_s=interval_s)

    async def equity(self, *, since_ns: int | None, until_ns: int | None, resolution_s: int | None) -> JsonObject:
        return await self._real().equity(since_ns=since_ns, until_ns=until_ns, resolution_s=resolution_s)

    async def projection(self) -> JsonObject:
        return await self._real().projection()

    async def curve_marks(self, *, since_ns: int | None, until_ns: int | None) -> JsonObject:
        return await self._real().curve_marks(since_ns=since_ns, until_ns=until_ns)

    async def costs(self, *, days: int) -> JsonObject:
        return await self._real().costs(days=days)

    async def nodes(self) -> JsonObject:
        return await self._real().nodes()

    async def arbitrage(self, *, part: str, cursor: str | None, limit: int) -> JsonObject:
        return await self._real().arbitrage(part=part, cursor=cursor, limit=limit)

    async def answer_arbitrage(self, request: JsonObject, *, actor: str) -> JsonObject:
        return await self._real().answer_arbitrage(request, actor=actor)

    async def transactions(self, *, cursor: str | None, limit: int) -> JsonObject:
        return await self._real().transactions(cursor=cursor, limit=limit)

    async def profile_log(self, *, cursor: str | None, limit: int) -> JsonObject:
        return await self._real().profile_log(cursor=cursor, limit=limit)

    async def sidecar_log(self, *, cursor: str | None, limit: int) -> JsonObject:
        return await self._real().sidecar_log(cursor=cursor, limit=limit)

    async def strategies(self) -> JsonObject:
        return await self._real().strategies()

    async def candidates(self, *, limit: int) -> JsonObject:
        return await self._real().candidates(limit=limit)

    async def strategy_digest(
        self, *, strategy: str | None, window: str, since_ns: int | None = None, until_ns: int | None = None
    ) -> JsonObject:
        within = {"since_ns": since_ns, "until_ns": until_ns}
        return await self._real().strategy_digest(strategy=strategy, window=window, **within)

    async def why(
        self,
        *,
        order_id: str | None,
        trajectory_id: str | None,
        mint: str | None,
        since_ns: int | None,
        until_ns: int | None = None,
    ) -> JsonObject:
        return await self._real().why(
            order_id=order_id, trajectory_id=trajectory_id, mint=mint, since_ns=since_ns, until_ns=until_ns
        )

    async def night(self, *, since_ns: int | None) -> JsonObject:
        return await self._real().night(since_ns=since_ns)

    async def answer_review(self, request: JsonObject, *, actor: str) -> JsonObject:
        return await self._real().answer_review(request, actor=actor)

    async def place_trade(self, request: JsonObject, *, agent: str, key: str) -> JsonObject:
        return await self._real().place_trade(request, agent=agent, key=key)

    async def close_position(self, request: JsonObject, *, agent: str, key: str) -> JsonObject:
        return await self._real().close_position(request, agent=agent, key=key)

    async def rebalance(self, request: JsonObject, *, agent: str, key: str) -> JsonObject:
        return await self._real().rebalance(request, agent=agent, key=key)

    async def answered(self, *, agent: str, key: str) -> JsonObject | None:
        return await self._real().answered(agent=agent, key=key)

    async def control(self, request: JsonObject, *, actor: str, key: str) -> JsonObject:
        return await self._real().control(request, actor=actor, key=key)

    async def assess(self, request: JsonObject, *, agent: str) -> JsonObject:
        return await self._real().assess(request, agent=agent)

    async def changes(self) -> AsyncIterator[JsonObject]:
        async for snapshot in self._real().changes():
            yield snapshot

"""The desk behind the firewall: what agents and operators say to it goes into journals, so no secret may be in it, and
nothing that a journal cannot keep: the desk would have acted, and memory would not know why."""

from collections.abc import AsyncIterator

from memmcp_server.domain.drafts import check_text
from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.ports import SecretScanner, TradingDesk

from .secrets import refuse_secrets


class GuardedDesk:
    """A TradingDesk that passes on to another one what holds no secret. Raises also: SecretRefused, InvalidInput."""

    def __init__(self, desk: TradingDesk, scanner: SecretScanner) -> None:
        self._desk = desk
        self._scanner = scanner

    async def snapshot(self) -> JsonObject:
        return await self._desk.snapshot()

    async def metrics(self) -> JsonObject:
        return await self._desk.metrics()

    async def trades(
        self, *, strategy: str | None, cursor: str | None, limit: int, wanted: JsonObject | None = None
    ) -> JsonObject:
        return await self._desk.trades(strategy=strategy, cursor=cursor, limit=limit, wanted=wanted)

    async def candles(
        self, *, mint: str | None, since_ns: int | None, until_ns: int | None, interval_s: int | None
    ) -> JsonObject:
        return await self._desk.candles(mint=mint, since_ns=since_ns, until_ns=until_ns, interval_s=interval_s)

    async def equity(self, *, since_ns: int | None, until_ns: int | None, resolution_s: int | None) -> JsonObject:
        return await self._desk.equity(since_ns=since_ns, until_ns=until_ns, resolution_s=resolution_s)

    async def projection(self) -> JsonObject:
        return await self._desk.projection()

    async def curve_marks(self, *, since_ns: int | None, until_ns: int | None) -> JsonObject:
        return await self._desk.curve_marks(since_ns=since_ns, until_ns=until_ns)

    async def costs(self, *, days: int) -> JsonObject:
        return await self._desk.costs(days=days)

    async def nodes(self) -> JsonObject:
        return await self._desk.nodes()

    async def arbitrage(self, *, part: str, cursor: str | None, limit: int) -> JsonObject:
        return await self._desk.arbitrage(part=part, cursor=cursor, limit=limit)

    async def answer_arbitrage(self, request: JsonObject, *, actor: str) -> JsonObject:
        self._check(request, actor, "")
        return await self._desk.answer_arbitrage(request, actor=actor)

    async def transactions(self, *, cursor: str | None, limit: int) -> JsonObject:
        return await self._desk.transactions(cursor=cursor, limit=limit)

    async def profile_log(self, *, cursor: str | None, limit: int) -> JsonObject:
        return await self._desk.profile_log(cursor=cursor, limit=limit)

    async def sidecar_log(self, *, cursor: str | None, limit: int) -> JsonObject:
        return await self._desk.sidecar_log(cursor=cursor, limit=limit)

    async def strategies(self) -> JsonObject:
        return await self._desk.strategies()

    async def candidates(self, *, limit: int) -> JsonObject:
        return await self._desk.candidates(limit=limit)

    async def strategy_digest(
        self, *, strategy: str | None, window: str, since_ns: int | None = None, until_ns: int | None = None
    ) -> JsonObject:
        within = {"since_ns": since_ns, "until_ns": until_ns}
        return await self._desk.strategy_digest(strategy=strategy, window=window, **within)

    async def why(
        self,
        *,
        order_id: str | None,
        trajectory_id: str | None,
        mint: str | None,
        since_ns: int | None,
        until_ns: int | None = None,
    ) -> JsonObject:
        return await self._desk.why(
            order_id=order_id, trajectory_id=trajectory_id, mint=mint, since_ns=since_ns, until_ns=until_ns
        )

    async def night(self, *, since_ns: int | None) -> JsonObject:
        return await self._desk.night(since_ns=since_ns)

    async def answer_review(self, request: JsonObject, *, actor: str) -> JsonObject:
        self._check(request, actor, "")
        return await self._desk.answer_review(request, actor=actor)

    async def place_trade(self, request: JsonObject, *, agent: str, key: str) -> JsonObject:
        self._check(request, agent, key)
        return await self._desk.place_trade(request, agent=agent, key=key)

    async def close_position(self, request: JsonObject, *, agent: str, key: str) -> JsonObject:
        self._check(request, agent, key)
        return await self._desk.close_position(request, agent=agent, key=key)

    async def rebalance(self, request: JsonObject, *, agent: str, key: str) -> JsonObject:
        self._check(request, agent, key)
        return await self._desk.rebalance(request, agent=agent, key=key)

    async def answered(self, *, agent: str, key: str) -> JsonObject | None:
        return await self._desk.answered(agent=agent, key=key)

    async def control(self, request: JsonObject, *, actor: str, key: str) -> JsonObject:
        self._check(request, actor, key)
        return await self._desk.control(request, actor=actor, key=key)

    async def assess(self, request: JsonObject, *, agent: str) -> JsonObject:
        self._check(request, agent, "")
        return await self._desk.assess(request, agent=agent)

    def changes(self) -> AsyncIterator[JsonObject]:
        return self._desk.changes()

    def _check(self, request: JsonObject, who: str, key: str) -> None:
        for name, value in request.items():
            _check_texts(name, value)
        refuse_secrets(self._scanner, {**request, "agent": who, "idempotency_key": key})


def _check_texts(name: str, value: object) -> None:
    match value:
        case str():
            check_text(name, value)
        case dict():
            for key, child in value.items():
                check_text(name, key)
                _check_texts(name, child)
        case list():
            for child in value:
                _check_texts(name, child)

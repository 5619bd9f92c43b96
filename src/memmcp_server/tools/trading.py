"""Tools of the desk: look, ask why, preview, then act once per key. Agents can only make the desk safer."""

from typing import Any, Final

from mcp_types import ToolAnnotations
from pydantic import BaseModel

from memmcp_server.domain.identifiers import JsonObject, MemoryId
from memmcp_server.domain.times import NS_PER_S, instant_ns, to_ns
from memmcp_server.errors import Refused
from memmcp_server.services.episodes import require_readable
from memmcp_server.wire.orders import ControlAnswer, RebalanceAnswer, TradeAnswer
from memmcp_server.wire.telemetry import TelemetryAnswer, WindowView, window_seconds
from memmcp_server.wire.trading import EquitySeries, StrategyDigest, TradingSnapshot, WhyAnswer

from .arguments import (
    ClosePositionArguments,
    ControlArguments,
    DigestArguments,
    PlaceTradeArguments,
    RebalanceArguments,
    TelemetryArguments,
    WhyArguments,
)
from .desk import desk_of, document
from .spec import Call, ToolSpec

WINDOW_POINTS: Final = 500
"""A window is summed up from about this many points, however long it is."""

WAITS_FOR_DESK: Final = "waiting for the desk, its fill, or the user's answer"

READS: Final = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
TRADES: Final = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=True)


async def telemetry_trading(call: Call, arguments: TelemetryArguments) -> TelemetryAnswer:
    desk = desk_of(call.services)
    snapshot = document(TradingSnapshot, await desk.snapshot())
    window = None
    if arguments.window is not None:
        seconds = window_seconds(arguments.window)
        now_ns = to_ns(snapshot.ts)
        series = await desk.equity(
            since_ns=None if seconds is None else now_ns - seconds * NS_PER_S,
            until_ns=None,
            resolution_s=None if seconds is None else max(1, seconds // WINDOW_POINTS),
        )
        window = WindowView.of(arguments.window, document(EquitySeries, series))
    return TelemetryAnswer.of(snapshot, window, full=arguments.detail == "full")


async def strategy_digest(call: Call, arguments: DigestArguments) -> StrategyDigest:
    body = await desk_of(call.services).strategy_digest(strategy=arguments.strategy, window=arguments.window)
    return document(StrategyDigest, body)


async def why(call: Call, arguments: WhyArguments) -> WhyAnswer:
    body = await desk_of(call.services).why(
        order_id=arguments.order_id,
        trajectory_id=arguments.trajectory_id,
        mint=arguments.mint,
        since_ns=instant_ns("since", arguments.since),
        until_ns=instant_ns("until", arguments.until),
    )
    return document(WhyAnswer, body)


async def place_trade(call: Call, arguments: PlaceTradeArguments) -> TradeAnswer:
    desk, services = desk_of(call.services), call.services
    cited = [MemoryId(memory_id) for memory_id in arguments.cites]
    await require_readable(services.journal, cited, await services.policies.book(), call.caller)
    return document(TradeAnswer, await desk.place_trade(_wish(arguments), agent=call.caller.agent, key=call.key))


async def close_position(call: Call, arguments: ClosePositionArguments) -> TradeAnswer:
    desk = desk_of(call.services)
    return document(TradeAnswer, await desk.close_position(_wish(arguments), agent=call.caller.agent, key=call.key))


async def rebalance(call: Call, arguments: RebalanceArguments) -> RebalanceAnswer:
    desk = desk_of(call.services)
    return document(RebalanceAnswer, await desk.rebalance(_wish(arguments), agent=call.caller.agent, key=call.key))


async def trading_control(call: Call, arguments: ControlArguments) -> ControlAnswer:
    if arguments.action == "resume":
        msg = "resume adds risk, so it is the operator's alone"
        raise Refused(msg, field="action", hint="ask the operator to run: memmcp-trade resume")
    desk = desk_of(call.services)
    body = await desk.control(_wish(arguments), actor=f"agent:{call.caller.agent}", key=call.key)
    return document(ControlAnswer, body)


def _order_question(arguments: PlaceTradeArguments) -> str:
    amount = f"{arguments.amount_sol} SOL" if arguments.amount_sol else f"{arguments.amount_token} tokens"
    return f"{arguments.side} {amount} of {arguments.mint}, bucket {arguments.bucket}"


def _rebalance_question(arguments: RebalanceArguments) -> str:
    shares = ", ".join(f"{name} {bps / 100:g} %" for name, bps in (arguments.weights_bps or {}).items())
    return f"rebalance {arguments.scope} to {shares or arguments.policy}"


def trading_tools() -> tuple[ToolSpec[Any], ...]:
    """Return the tools that only read."""
    return (
        ToolSpec(
            name="telemetry_trading",
            title="Trading desk",
            description=(
                "The desk now: equity, positions, profit, drawdown, state, limits and the distance to each. Use "
                "before you judge or propose a trade. Not for past trades (history://trades) or reasons (why). A "
                "profile is what the desk calls godmode; the engine is Xavier mode."
            ),
            arguments=TelemetryArguments,
            answer=TelemetryAnswer,
            annotations=READS,
            body=telemetry_trading,
        ),
        ToolSpec(
            name="strategy_digest",
            title="Strategies",
            description=(
                "Performance of one or all strategies in a window: sample size, win rate, profit, costs, "
                "confidence, evidence. Use to compare strategies or before a rebalance. Not for the present state "
                "(telemetry_trading). Small samples prove little."
            ),
            arguments=DigestArguments,
            answer=StrategyDigest,
            annotations=READS,
            body=strategy_digest,
        ),
        ToolSpec(
            name="why",
            title="Why",
            description=(
                "Why a trade happened (order_id or trajectory_id: signal, verdict, order, fill, outcome) or why "
                "none did (mint, or nothing: the funnel and the nearest miss). Use whenever someone asks for a "
                "reason. Ids: telemetry_trading, history://trades, memory_search."
            ),
            arguments=WhyArguments,
            answer=WhyAnswer,
            annotations=READS,
            body=why,
        ),
    )


def order_tools() -> tuple[ToolSpec[Any], ...]:
    """Return the tools that act, each by preview first except those that only make the desk safer."""
    return (
        ToolSpec(
            name="place_trade",
            title="Trade",
            description=(
                "Buys or sells one token. First call without preview_id: quote, costs, verdict; nothing trades. "
                "Then the same arguments with preview_id: the order, once. Denied is an answer: read the reason, do "
                "not retry smaller. awaiting_operator: it needs the user's passkey in the page; the same call tells "
                "how it ended. To leave, close_position."
            ),
            arguments=PlaceTradeArguments,
            answer=TradeAnswer,
            annotations=TRADES,
            body=place_trade,
            under_way=WAITS_FOR_DESK,
            question=_order_question,
        ),
        ToolSpec(
            name="close_position",
            title="Close a position",
            description=(
                "Sells a share of an open position. First call without preview_id: what it would bring after "
                "costs. Then the same arguments with preview_id: the order, once. Use for exits; risk limits do "
                "not block them. Positions: telemetry_trading."
            ),
            arguments=ClosePositionArguments,
            answer=TradeAnswer,
            annotations=TRADES,
            body=close_position,
            under_way=WAITS_FOR_DESK,
        ),
        ToolSpec(
            name="rebalance",
            title="Rebalance",
            description=(
                "Moves capital between buckets, or tokens to weights. First call without preview_id: legs and "
                "verdict, nothing moves. Then the same arguments with preview_id: once. Give weights_bps or a "
                "policy. Read strategy_digest first. Not for one trade (place_trade)."
            ),
            arguments=RebalanceArguments,
            answer=RebalanceAnswer,
            annotations=TRADES,
            body=rebalance,
            under_way=WAITS_FOR_DESK,
            question=_rebalance_question,
        ),
        ToolSpec(
            name="trading_control",
            title="Make the desk safer",
            description=(
                "Stops entries, allows only reductions, sells all and halts, or switches to a safer profile, at "
                "once; says what happens to open positions. Use when the user asks or something is clearly wrong. "
                "resume and riskier profiles are the operator's."
            ),
            arguments=ControlArguments,
            answer=ControlAnswer,
            annotations=TRADES,
            body=trading_control,
        ),
    )


def _wish(arguments: BaseModel) -> JsonObject:
    """Return the arguments as the desk's request, without what belongs to the door."""
    body: JsonObject = arguments.model_dump(mode="json", exclude={"idempotency_key"}, exclude_none=True)
    return body

"""Which scope each tool needs, and which quota it counts against. A tool without a row cannot be registered."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from memmcp_server.domain.grants import Grant, Scope
from memmcp_server.services.container import Services
from memmcp_server.services.quotas import Kind
from memmcp_server.wire.trading import TradingSnapshot

from .desk import desk_of, document

QUOTA_OF: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "memory_search": "reads",
        "telemetry_trading": "reads",
        "strategy_digest": "reads",
        "why": "reads",
        "agent_task_list": "reads",
        "memory_write": "writes",
        "memory_update": "writes",
        "memory_forget": "writes",
        "trajectory": "writes",
        "agent_task": "writes",
        "place_trade": "orders",
        "close_position": "orders",
        "rebalance": "orders",
        "trading_control": "orders",
    }
)
_SCOPE_OF: Final[Mapping[Kind, Scope]] = MappingProxyType({"reads": Scope.MEMORY_READ, "writes": Scope.MEMORY_WRITE})


async def require_scope(services: Services, grant: Grant | None, tool: str) -> None:
    """Let a token call only what it is for: with real money an order needs another scope than on paper.

    Raises: InsufficientScope; TradingUnavailable where the desk cannot say whose money it trades.
    """
    if grant is None:
        return
    scope = _SCOPE_OF.get(QUOTA_OF.get(tool, "reads"))
    if scope is None:
        money = document(TradingSnapshot, await desk_of(services).snapshot()).money
        scope = Scope.TRADE_LIVE if money == "real" else Scope.TRADE_PAPER
    grant.require(scope, tool)

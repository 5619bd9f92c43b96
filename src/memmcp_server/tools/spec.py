"""What a tool is: what it says of itself, the coroutine that does the work, and what one call of it brings along."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from mcp_types import ToolAnnotations
from pydantic import BaseModel

from memmcp_server.domain.caller import Caller
from memmcp_server.services.container import Services

ArgumentsT = TypeVar("ArgumentsT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool. ``key`` is the idempotency key of its effect; memories derive their own from the content."""

    services: Services
    caller: Caller
    key: str


@dataclass(frozen=True, slots=True)
class ToolSpec(Generic[ArgumentsT]):
    """What a tool says of itself and the coroutine that does the work."""

    name: str
    title: str
    description: str
    arguments: type[ArgumentsT]
    answer: type[BaseModel]
    annotations: ToolAnnotations
    body: Callable[[Call, ArgumentsT], Awaitable[BaseModel]]
    question: Callable[[ArgumentsT], str] | None = None
    """Of a tool that takes a preview_id: what the user is asked before the order, in words made of the arguments."""
    under_way: str = "still at work"
    """What a client that listens for progress is told of a call that takes longer than a moment."""

"""What a token allows. Who comes without one over a private socket or an open loopback door may do all an agent may."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from memmcp_server.errors import InsufficientScope, InvalidInput

NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9_.-]{0,63}$"


class Scope(StrEnum):
    MEMORY_READ = "memory:read"  # search and read; the desk's figures too
    MEMORY_WRITE = "memory:write"  # write, update, forget what is one's own, work on tasks
    TRADE_PAPER = "trade:paper"  # orders and controls while the desk's money is paper
    TRADE_LIVE = "trade:live"  # the same with real money, under the operator's mandate and approval as ever
    ADMIN = "admin"  # what the operator's own token opens


@dataclass(frozen=True, slots=True)
class Grant:
    """``agent``: whoever shows the token is this agent, whatever name it gives; "" leaves it the name it gives."""

    name: str
    scopes: frozenset[Scope]
    agent: str = ""

    def allows(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def require(self, scope: Scope, what: str) -> None:
        """Raises: InsufficientScope naming the scope that is missing."""
        if not self.allows(scope):
            msg = f"{what} needs the scope {scope.value}, and the token {self.name} has {shown(self.scopes)}"
            raise InsufficientScope(msg, scope=scope.value, hint="ask the operator: memmcp token add --scope ...")


def shown(scopes: Iterable[Scope]) -> str:
    return " ".join(sorted(each.value for each in scopes)) or "none"


def parse_scopes(given: Iterable[str]) -> frozenset[Scope]:
    """Raises: InvalidInput naming what is no scope."""
    found = set()
    for each in given:
        try:
            found.add(Scope(each))
        except ValueError as error:
            msg = f"scope: {each[:60]!r} is none of {', '.join(scope.value for scope in Scope)}"
            raise InvalidInput(msg, field="scope") from error
    if not found:
        msg = f"scope: give at least one of {', '.join(scope.value for scope in Scope)}"
        raise InvalidInput(msg, field="scope")
    return frozenset(found)

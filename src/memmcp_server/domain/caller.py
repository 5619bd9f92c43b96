"""Who asks, as far as the door could tell."""

from dataclasses import dataclass
from typing import Literal

from .grants import Grant

Role = Literal["viewer", "agent", "operator"]


@dataclass(frozen=True, slots=True)
class Caller:
    """``agent`` and ``session`` are empty where the door does not know them; ``tool`` names the tool or route.

    ``transport``: stdio, http, sse, cli or internal. ``grant``: what the token that was shown allows, None for a door
    that asks for none.
    """

    agent: str
    session: str
    tool: str
    role: Role
    transport: str
    grant: Grant | None = None

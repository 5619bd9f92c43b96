"""What a memory holds, counted."""

from dataclasses import dataclass
from typing import Literal

GroupBy = Literal["kind", "agent", "namespace"]


@dataclass(frozen=True, slots=True)
class Count:
    """How many memories share a kind, an agent or a namespace; ``newest_ns`` is the last commit among them."""

    name: str
    number: int
    newest_ns: int

"""Where the index says something else than the journal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class DriftKind(StrEnum):
    MISSING = "missing"  # a version is not there
    OUTDATED = "outdated"  # a version is there with another text, field or end
    UNVECTORED = "unvectored"  # written while no model was there, and one is there now
    SURPLUS = "surplus"  # a version or a whole memory is there that the journal does not have


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What one comparison of the whole journal with the index found.

    ``found`` counts memories by kind; ``waiting`` of them have an entry in the outbox, so that they are being seen to
    (or wait there for an operator). ``repaired`` were queued again or removed. ``is_complete``: nothing was left out
    because the round had reached its bound.
    """

    at_ns: int
    checked: int
    found: Mapping[DriftKind, int] = field(default_factory=dict)
    waiting: int = 0
    repaired: int = 0
    is_complete: bool = True
    examples: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        return sum(self.found.values())

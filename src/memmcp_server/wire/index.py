"""How the index is, as JSON."""

from datetime import datetime
from typing import Self

from pydantic import Field

from memmcp_server.domain.drift import DriftReport
from memmcp_server.domain.times import from_ns

from .base import JsonValue, Request, Wire


class SwitchRequest(Request):
    force: bool = False


class CheckRequest(Request):
    repair: bool = False


class DriftView(Wire):
    """``found`` counts memories by kind: missing, outdated, unvectored, surplus. ``waiting`` of them are in the outbox.

    ``is_complete`` false: there was more than one round brings into order.
    """

    at: datetime
    checked: int
    total: int
    found: dict[str, int]
    waiting: int
    repaired: int
    is_complete: bool
    examples: list[str]

    @classmethod
    def of(cls, report: DriftReport) -> Self:
        return cls(
            at=from_ns(report.at_ns),
            checked=report.checked,
            total=report.total,
            found={kind.value: number for kind, number in report.found.items()},
            waiting=report.waiting,
            repaired=report.repaired,
            is_complete=report.is_complete,
            examples=list(report.examples),
        )


class ComparingView(Wire):
    done: int
    total: int


class IndexAnswer(Wire):
    """GET /admin/index. ``report``: of the last comparison with the journal; ``comparing``: of the one under way."""

    index: dict[str, JsonValue]
    report: DriftView | None = None
    comparing: ComparingView | None = Field(default=None)


class RebuildAnswer(Wire):
    """``count``: entries of the journal to go through. ``generation``: the one that is being filled."""

    count: int
    generation: int

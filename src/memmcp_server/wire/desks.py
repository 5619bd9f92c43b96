"""Desks side by side: ours, and outside engines as they report themselves. Sums never mix the two."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, Self

from memmcp_server.domain.telemetry import LOCAL_DESK, Snapshot, equity_of
from memmcp_server.domain.times import NS_PER_S, from_ns

from .base import JsonValue, Wire
from .money import BPS_ONE
from .telemetry import STALE_AFTER_S

UNKNOWN: Final = "unknown"
DESKS_MAX: Final = 200


class DeskReport(Wire):
    """The last report of a desk. ``age_s`` by this daemon's clock; older than ``STALE_AFTER_S`` it is ``stale``.

    ``is_own``: this daemon's desk. The figures are those of the report, None where it does not say them.
    """

    desk_id: str
    is_own: bool
    ts: datetime
    recorded_at: datetime
    age_s: float
    stale: bool
    money: str | None
    state: str | None
    equity_lamports: int | None
    exposure_lamports: int | None
    exposure_bps: int | None
    drawdown_bps: int | None
    report: dict[str, JsonValue]

    @classmethod
    def of(cls, snapshot: Snapshot, now_ns: int) -> Self:
        age_s = max(0, now_ns - snapshot.recorded_at_ns) / NS_PER_S
        body, equity, exposure = snapshot.body, equity_of(snapshot), exposure_of(snapshot.body)
        return cls(
            desk_id=snapshot.desk_id,
            is_own=snapshot.desk_id == LOCAL_DESK,
            ts=from_ns(snapshot.ts_event_ns),
            recorded_at=from_ns(snapshot.recorded_at_ns),
            age_s=round(age_s, 3),
            stale=age_s > STALE_AFTER_S,
            money=_text(body.get("money")),
            state=_text(body.get("state")),
            equity_lamports=equity,
            exposure_lamports=exposure,
            exposure_bps=None if exposure is None or not equity else exposure * BPS_ONE // equity,
            drawdown_bps=_whole(body.get("drawdown_bps")),
            report=dict(body),
        )


class DeskSum(Wire):
    """Desks of one kind of money added up. Of the ``desks`` so many are ``stale``: they are in no sum. ``with_equity``
    and ``with_exposure`` say it; a sum is None where none does."""

    money: str
    desks: int
    stale: int
    with_equity: int
    equity_lamports: int | None
    with_exposure: int
    exposure_lamports: int | None

    @classmethod
    def of(cls, money: str, reports: Iterable[DeskReport]) -> Self:
        found = list(reports)
        fresh = [each for each in found if not each.stale]
        equities = [each.equity_lamports for each in fresh if each.equity_lamports is not None]
        exposures = [each.exposure_lamports for each in fresh if each.exposure_lamports is not None]
        return cls(
            money=money,
            desks=len(found),
            stale=len(found) - len(fresh),
            with_equity=len(equities),
            equity_lamports=sum(equities) if equities else None,
            with_exposure=len(exposures),
            exposure_lamports=sum(exposures) if exposures else None,
        )


class DeskTotals(Wire):
    """``own``: this daemon's desk, whose equity and risk nothing is ever added to; None while it has not reported.
    ``outside``: engines that report over HTTP, by whose money it is: paper and real are never one sum."""

    own: DeskSum | None
    outside: list[DeskSum]

    @classmethod
    def of(cls, reports: Iterable[DeskReport]) -> Self:
        own: DeskSum | None = None
        outside: dict[str, list[DeskReport]] = {}
        for each in reports:
            if each.is_own:
                own = DeskSum.of(each.money or UNKNOWN, [each])
            else:
                outside.setdefault(each.money or UNKNOWN, []).append(each)
        return cls(own=own, outside=[DeskSum.of(money, outside[money]) for money in sorted(outside)])


class DeskList(Wire):
    """At most ``DESKS_MAX`` desks; ``left_out`` counts the others, which are in the totals."""

    desks: list[DeskReport]
    left_out: int = 0
    totals: DeskTotals

    @classmethod
    def of(cls, snapshots: Iterable[Snapshot], now_ns: int) -> Self:
        """Return our desk first, then the others by name."""
        found = [DeskReport.of(each, now_ns) for each in snapshots]
        ordered = sorted(found, key=lambda each: (not each.is_own, each.desk_id))
        shown = ordered[:DESKS_MAX]
        return cls(desks=shown, left_out=len(ordered) - len(shown), totals=DeskTotals.of(ordered))


def exposure_of(body: Mapping[str, JsonValue]) -> int | None:
    """Return the exposure in lamports as the desk says it: our total, or an outside engine's figure; else what its
    equity is more than its cash."""
    ours = body.get("exposure")
    total = ours.get("total") if isinstance(ours, dict) else None
    if isinstance(total, dict):
        return _whole(total.get("lamports"))
    said = _whole(body.get("exposure_lamports"))
    equity, cash = _whole(body.get("equity_lamports")), _whole(body.get("cash_lamports"))
    return max(0, equity - cash) if said is None and equity is not None and cash is not None else said


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None

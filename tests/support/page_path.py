"""The path of the equity as the page asks for it, with and without a projection."""

from datetime import timedelta
from typing import Any

from memmcp_server.wire.path import (
    CurveMark,
    CurveMarks,
    PathTier,
    ProjectedRange,
    ProjectedReach,
    Projection,
    TargetChange,
)

from . import page_documents as documents
from .page_documents import LAMPORTS_PER_SOL, START, amount, equity_lamports, feed

NOW = START + timedelta(minutes=180)


def projected_range(days: float, equity: int) -> ProjectedRange:
    sums = [round(equity * (1 + drift * days)) for drift in (-0.004, -0.001, 0.003, 0.02, 0.09)]
    names = ("lamports_p5", "lamports_p25", "lamports_p50", "lamports_p75", "lamports_p95")
    return ProjectedRange(ts=NOW + timedelta(days=days), days=days, **dict(zip(names, sums, strict=True)))


def projection(**changes: Any) -> dict[str, Any]:
    equity = equity_lamports(180)
    tiers = (("foundation", 0), ("acceleration", 20), ("institutional", 2_000))
    values: dict[str, Any] = {
        "money": "paper",
        "feed": feed(),
        "start": amount(2 * LAMPORTS_PER_SOL),
        "equity": amount(equity),
        "target": amount(20 * LAMPORTS_PER_SOL),
        "path": [amount(2 * LAMPORTS_PER_SOL), amount(20_000 * LAMPORTS_PER_SOL)],
        "tiers": [PathTier(name=name, from_equity=amount(sol * LAMPORTS_PER_SOL)) for name, sol in tiers],
        "targets": [
            TargetChange(
                ts=NOW,
                actor="operator:<b>o</b>",
                reason="<img src=x onerror=alert(1)> higher",
                before=amount(10 * LAMPORTS_PER_SOL),
                after=amount(20 * LAMPORTS_PER_SOL),
            )
        ],
        "since": NOW - timedelta(days=40),
        "until": NOW,
        "basis": "day",
        "returns": 40,
        "returns_needed": 30,
        "too_little": "",
        "method": "It is the past resampled, and no promise.",
        "paths": 2_000,
        "days_ahead": 160,
        "range": [projected_range(days, equity) for days in (20, 40, 80, 120, 160)],
        "reaches": [
            ProjectedReach(
                goal="tier:acceleration",
                at=amount(20 * LAMPORTS_PER_SOL),
                chance_bps=3_400,
                days_p5=8.5,
                days_p25=90.0,
                days_p50=None,
                days_p75=None,
                days_p95=None,
            )
        ],
    }
    return Projection(**values | changes).model_dump(mode="json")


def no_projection() -> dict[str, Any]:
    return projection(
        too_little="too little history for a projection: 1.5 of 7 days",
        basis="hour",
        returns=36,
        returns_needed=168,
        days_ahead=0,
        range=[],
        reaches=[],
        targets=[],
        since=START,
    )


def marks(*found: CurveMark, **totals: int) -> dict[str, Any]:
    counted = {"buy": 0, "sell": 0, "deposit": 0, "withdrawal": 0} | totals
    return CurveMarks(money="paper", feed=documents.feed(), marks=list(found), totals=counted, is_cut=False).model_dump(
        mode="json"
    )

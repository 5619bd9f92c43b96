"""How strategies did in a window, as documents: finished trades only, sample sizes first, by regime and tier."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from trading.engine.kernel import Kernel
from trading.engine.treasury import shares_of, weights_of
from trading.model.account import RoundTrip
from trading.model.forecast import Direction
from trading.model.units import NS_PER_S
from trading.model.window import WINDOW_DAYS, WindowCell
from trading.portfolio.entry_facts import UNKNOWN
from trading.portfolio.windows import CELL_EVIDENCE_MAX as CELL_EVIDENCE_ALONE_MAX
from trading.portfolio.windows import DAY_NS, cells_of

from .digests import confidence
from .documents import Document, iso
from .naming import public_id
from .outlook import calibration_document

EVIDENCE_MAX: Final = 50
CELL_EVIDENCE_MAX: Final = 3
"""Trades that a cell names; where one strategy is asked about, all that the cell has kept."""
CELLS_SHOWN_MAX: Final = 12
"""Cells of a strategy, the largest."""
WINDOW_UNITS_S: Final[Mapping[str, int]] = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True, slots=True)
class Stretch:
    """From when (included) until when (excluded) trades count by the time of their last sale; None: open."""

    since_ns: int | None
    until_ns: int | None

    @property
    def is_open(self) -> bool:
        return self.since_ns is None and self.until_ns is None


WHOLE: Final = Stretch(None, None)
RANGE: Final = "range"
"""The name of a window that was given by its ends."""


def digest(kernel: Kernel, names: Sequence[str], window: str, wall_ns: int, within: Stretch = WHOLE) -> Document:
    """Return wire.StrategyDigest without its context. It ends at the market's time, before the market's first event at
    ``wall_ns``. A window is ``all``, or a number with m, h, d or w behind it; or ``within`` names the ends."""
    now_ns = kernel.state.now_ns or wall_ns
    end_ns = now_ns + 1 if within.until_ns is None else within.until_ns
    if within.is_open:
        since_ns = 0 if window == "all" else now_ns - int(window[:-1]) * WINDOW_UNITS_S[window[-1]] * NS_PER_S
    else:
        window, since_ns = RANGE, within.since_ns or 0
    evidence: list[str] = []
    found: list[Document] = []
    total = 0
    for name in names:
        trips = kernel.state.records.trips(name, since_ns, end_ns)
        total += len(trips)
        evidence += [public_id(kernel.setup.run_id, trip.trajectory_id) for trip in trips]
        named = CELL_EVIDENCE_ALONE_MAX if len(names) == 1 else CELL_EVIDENCE_MAX
        found.append(_strategy(kernel, name, Stretch(since_ns, end_ns), trips, named))
    return {
        "window": window,
        "since": datetime.fromtimestamp(max(0, since_ns) // NS_PER_S, UTC).isoformat(),
        "until": iso(now_ns if within.until_ns is None else within.until_ns),
        "strategies": found,
        "confidence": confidence(total),
        "evidence": evidence[-EVIDENCE_MAX:],
    }


def windows_of(kernel: Kernel, name: str) -> list[Document]:
    """Return what the strategy did in each of ``WINDOW_DAYS`` until now, one entry for each, without cells."""
    return _windows(kernel, name, None, kernel.state.now_ns + 1)


def _windows(kernel: Kernel, name: str, since_ns: int | None, end_ns: int) -> list[Document]:
    """Return what the strategy did in those of ``WINDOW_DAYS`` that end then and are shorter than all."""
    found: list[Document] = []
    for days in WINDOW_DAYS:
        if since_ns is not None and end_ns - since_ns <= days * DAY_NS + 1:  # a window until now has now in it
            continue
        trips = kernel.state.records.trips(name, end_ns - days * DAY_NS, end_ns)
        whole = next(iter(cells_of(trips, days)), None)
        figures = {"trades": 0} if whole is None else _figures(whole)
        found.append({"days": days, **figures, "confidence": confidence(len(trips))})
    return found


def allocation(kernel: Kernel, name: str) -> Document | None:
    """Return the strategy's share of the capital and, where shares rotate, what it rests on; None where the profile
    gives it none."""
    state = kernel.state
    rules, weights = state.profile.buckets, weights_of(state.profile)
    if name not in weights:
        return None
    share = {"weight_bps": weights[name], "share_bps": shares_of(state)[name], "rotation": rules.rotation}
    standing, last = state.rotation.standings.get(name), state.rotation.last
    if not rules.rotates or standing is None or last is None:
        return share
    hold_ns = rules.rotation_hold_days * DAY_NS
    until_ns = state.rotation.rests_until_ns(hold_ns)
    return {
        **share,
        "decided": iso(last.ts_ns),
        "verdict": last.verdict.value,
        "reason": last.reason,
        "target_bps": standing.target_bps,
        "windows": standing.windows,
        "return_ppm": standing.return_ppm,
        "mean_ppm": standing.mean_ppm,
        "belief_ppb": standing.belief_ppb,
        "barred": standing.barred,
        "rests_until": iso(until_ns) if until_ns > state.now_ns else None,
    }


def _strategy(kernel: Kernel, name: str, within: Stretch, trips: Sequence[RoundTrip], named: int) -> Document:
    state = kernel.state
    since_ns, end_ns = within.since_ns or 0, within.until_ns or state.now_ns + 1
    record = state.records.window(name, since_ns, end_ns)
    kept_ns = state.records.kept_from_ns(name)
    whole, *cells = cells_of(trips, 0) or (None,)
    return {
        "name": name,
        "trades": record.trades,
        "wins": record.wins,
        "win_rate_bps": record.win_rate_bps,
        "realised_lamports": record.realised_lamports,
        "mean_return_bps": record.mean_return_bps,
        "low_bps": None if whole is None else whole.low_bps,
        "high_bps": None if whole is None else whole.high_bps,
        "mean_slippage_bps": record.mean_slippage_bps,
        "mean_holding_s": record.mean_holding_s,
        "tier": state.tier.name,
        "profile": state.profile.name,
        "entered_under": dict(Counter(trip.profile or UNKNOWN for trip in trips)),
        "bucket": name,
        "capital_lamports": state.ledger.bucket_cash_lamports(name),
        "confidence": confidence(record.trades),
        "allocation": allocation(kernel, name),
        # Older trades are summed up in the totals alone.
        **({} if kept_ns is None or kept_ns <= since_ns else {"counted_since": iso(kept_ns)}),
        "windows": _windows(kernel, name, since_ns, end_ns),
        "cells": [_cell(kernel, cell, named) for cell in cells[:CELLS_SHOWN_MAX] if cell is not None],
        "calibration": [
            calibration_document(name, direction.value, calibration)
            for direction in Direction
            if (calibration := state.forecasts.calibration(name, direction)).count
        ],
    }


def _cell(kernel: Kernel, cell: WindowCell, named: int) -> Document:
    run_id = kernel.setup.run_id
    return {
        "regime": cell.regime,
        "tier": cell.tier,
        **_figures(cell),
        "confidence": confidence(cell.trades),
        "evidence": [public_id(run_id, each) for each in cell.evidence[-named:]],
    }


def _figures(cell: WindowCell) -> Document:
    return {
        "trades": cell.trades,
        "wins": cell.wins,
        "realised_lamports": cell.realised_lamports,
        "mean_return_bps": cell.mean_return_bps,
        "low_bps": cell.low_bps,
        "high_bps": cell.high_bps,
    }

"""Where the desk is on its path: tiers, targets as they were set, and a projected range from its own returns."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Any, Final

import anyio
import anyio.to_thread

from trading.adapters.canonical import parse_json
from trading.adapters.journal_archive import Range
from trading.adapters.sql_journal import JournalStore
from trading.model import commands, events
from trading.model.event_codec import decode
from trading.model.tier import PATH_LAMPORTS, TIERS
from trading.model.units import BPS_ONE, NS_PER_S
from trading.portfolio import projection
from trading.portfolio.projection import Cone, Goal

from .curve_marks import newest_rows
from .documents import Document, amount, iso
from .history import RunView
from .stage import Published

HOUR_NS: Final = 3_600 * NS_PER_S
DAY_NS: Final = 24 * HOUR_NS
DAYS_NEEDED: Final = 30
"""From so many daily returns on they are what is drawn from; hourly ones until then."""
HOURS_NEEDED: Final = 168
HOURS_USED_MAX: Final = DAYS_NEEDED * 24
FURTHER: Final = 4
"""A projection goes four times as far as what was seen, and not further than ``DAYS_AHEAD_MAX``."""
DAYS_AHEAD_MAX: Final = 730
POINTS: Final = 24
FLOWS_MAX: Final = 2_000
TARGETS_MAX: Final = 50
AGE_S: Final = 10.0
"""A projection stands so long whatever happens: a replay may see a day go by in a second."""
METHOD: Final = (
    "The desk's own time-weighted returns, drawn again in blocks (stationary bootstrap); each path first draws a past "
    "of its own, so that a short record gives a wide range. It is the past resampled, and no promise."
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a projection rests on: returns of closed periods and the equity it starts from."""

    basis: str
    returns: tuple[float, ...]
    needed: int
    ts_ns: int
    equity_lamports: int
    from_ns: int

    @property
    def a_day(self) -> int:
        return 1 if self.basis == "day" else 24


@dataclass(frozen=True, slots=True)
class _Told:
    key: tuple[Any, ...]
    at_s: float
    document: Document


class Projecting:
    """Computes in a thread, one at a time, and again only when a period has closed or a goal has moved."""

    def __init__(self, store: JournalStore) -> None:
        self._store = store
        self._lock = anyio.Lock()
        self._told: _Told | None = None

    async def document(self, run: RunView, shown: Published) -> Document:
        """Return wire.Projection without its context."""
        target = int(shown.snapshot["compounding"]["target"]["lamports"])
        flows = int(shown.snapshot["net_deposits"]["lamports"])
        key = (shown.run_number, run.now_ns // HOUR_NS, target, flows, shown.snapshot["tier"])
        async with self._lock:
            told = self._told
            now_s = anyio.current_time()
            is_same = told is not None and told.key[:1] == key[:1] and told.key[2:] == key[2:]
            if told is not None and (told.key == key or (is_same and now_s - told.at_s < AGE_S)):
                return told.document
            document = await anyio.to_thread.run_sync(self._computed, run, shown, target)
            # Without a mark there is nothing to keep: the first one is worth looking again at once.
            self._told = _Told(key, now_s, document) if document["until"] is not None else None
            return document

    def _computed(self, run: RunView, shown: Published, target_lamports: int) -> Document:
        usd = shown.sol_usd
        evidence = evidence_of(run)
        equity = int(shown.snapshot["equity"]["lamports"]) if evidence is None else evidence.equity_lamports
        start = int(shown.snapshot["start"]["lamports"])
        return {
            "start": amount(start, usd),
            "equity": amount(equity, usd),
            "target": amount(target_lamports, usd),
            "path": [amount(lamports, usd) for lamports in PATH_LAMPORTS],
            "tiers": [{"name": tier.name, "from_equity": amount(tier.from_lamports, usd)} for tier in TIERS],
            "targets": self._targets(run, shown, usd),
            "since": None if evidence is None else iso(evidence.from_ns),
            "until": None if evidence is None else iso(evidence.ts_ns),
            **_projected(evidence, str(shown.snapshot["tier"]), target_lamports, usd),
        }

    def _targets(self, run: RunView, shown: Published, usd: Decimal | None) -> list[Document]:
        """Return wire.TargetChange for every target that was set, newest first, the one of the settings last."""
        found = list(islice(newest_rows(run, ("set_target",)), TARGETS_MAX + 1))
        said = [decode(row.kind, parse_json(row.body)) for row in found]
        sums = [each.lamports for each in said if isinstance(each, commands.SetTarget)]
        is_cut = len(found) > TARGETS_MAX
        plan = None if is_cut else self._store.plan(shown.run_number)
        first = None if plan is None else int(parse_json(plan)["target_lamports"])
        changes = []
        for row, event, before in zip(found, said, [*sums[1:], first], strict=False):
            assert isinstance(event, commands.SetTarget)
            told = None if before is None else amount(before, usd)
            who = {"actor": event.actor, "reason": event.reason}
            changes.append({"ts": iso(row.ts_ns), **who, "before": told, "after": amount(event.lamports, usd)})
        return changes[:TARGETS_MAX]


def evidence_of(run: RunView) -> Evidence | None:
    """Return daily returns where there are enough of them, else hourly ones; None before the first mark."""
    span = run.archive.span(Range())
    if span is None:
        return None
    flows = _flows(run)
    days = _period_returns(run, flows, DAY_NS, projection.RETURNS_USED_MAX + 2)
    is_daily = len(days) >= DAYS_NEEDED
    hours = () if is_daily else _period_returns(run, flows, HOUR_NS, HOURS_USED_MAX + 2)
    newest_ns, body = run.archive.marks(Range(), bucket_ns=1, limit=1)[-1]
    return Evidence(
        basis="day" if is_daily else "hour",
        returns=days if is_daily else hours,
        needed=DAYS_NEEDED if is_daily else HOURS_NEEDED,
        ts_ns=newest_ns,
        equity_lamports=body["equity_lamports"],
        from_ns=span[0],
    )


def _flows(run: RunView) -> list[tuple[int, int]]:
    """Return (time, amount) of the newest deposits and withdrawals, oldest first."""
    found: list[tuple[int, int]] = []
    for row in islice(newest_rows(run, ("capital_deposited", "capital_withdrawn")), FLOWS_MAX):
        event = decode(row.kind, parse_json(row.body))
        assert isinstance(event, events.CapitalDeposited | events.CapitalWithdrawn)
        sign = 1 if isinstance(event, events.CapitalDeposited) else -1
        found.append((row.ts_ns, sign * event.lamports))
    return found[::-1]


def _period_returns(run: RunView, flows: list[tuple[int, int]], period_ns: int, limit: int) -> tuple[float, ...]:
    """Return the newest returns. Where there are more flows than are looked at, no period before them counts."""
    marks = run.archive.marks(Range(), bucket_ns=period_ns, limit=limit)
    if len(flows) == FLOWS_MAX:
        marks = [each for each in marks if each[0] >= flows[0][0]]
    first_ns = marks[0][0] if marks else 0
    for ts_ns in sorted({ts_ns for ts_ns, _ in flows if ts_ns >= first_ns}):
        marks += run.archive.marks(Range(first_ns, ts_ns), bucket_ns=1, limit=1)
    equities = {ts_ns: int(body["equity_lamports"]) for ts_ns, body in marks}
    return projection.period_returns(sorted(equities.items()), flows, period_ns)


def _projected(evidence: Evidence | None, tier: str, target_lamports: int, usd: Decimal | None) -> Document:
    """Return the part of wire.Projection that looks ahead; without enough evidence it says so and has no figures."""
    seen = 0 if evidence is None else len(evidence.returns)
    needed = HOURS_NEEDED if evidence is None else evidence.needed
    basis = "hour" if evidence is None else evidence.basis
    document: Document = {
        "basis": basis,
        "returns": seen,
        "returns_needed": needed,
        "too_little": "",
        "method": METHOD,
        "paths": projection.PATHS,
        "days_ahead": 0,
        "range": [],
        "reaches": [],
    }
    if evidence is None or seen < needed or evidence.equity_lamports <= 0:
        a_day = 24 if basis == "hour" else 1
        few = f"too little history for a projection: {seen / a_day:.1f} of {needed // a_day} days"
        is_gone = evidence is not None and evidence.equity_lamports <= 0
        return document | {"too_little": "no equity is left, so nothing can grow from it" if is_gone else few}
    used = min(seen, projection.RETURNS_USED_MAX)
    days = min(DAYS_AHEAD_MAX, FURTHER * used // evidence.a_day)
    last = days * evidence.a_day
    steps = sorted({math.ceil(last * point / POINTS) for point in range(1, POINTS + 1)})
    least = 1.0 if evidence.basis == "day" else 24.0
    goals = _goals(evidence, tier, target_lamports)
    block = projection.block_mean(used, least)
    cone = projection.project(evidence.returns, steps, [goal for goal, _ in goals], block)
    ahead: Document = {"days_ahead": days, "range": _range(evidence, cone), "reaches": []}
    lamports = {goal.name: each for goal, each in goals}
    for reach in cone.reaches:
        days_to = [None if each is None else round(each / evidence.a_day, 2) for each in reach.steps]
        told = {"goal": reach.name, "at": amount(lamports[reach.name], usd)}
        ahead["reaches"].append(told | {"chance_bps": round(reach.reached * BPS_ONE), **_named("days", days_to)})
    return document | ahead


def _goals(evidence: Evidence, tier: str, target_lamports: int) -> list[tuple[Goal, int]]:
    """Return what the desk may come to: the next tier and the target, those that still lie above it."""
    now = next(each for each in TIERS if each.name == tier)
    above = [each for each in TIERS if each.from_lamports > max(now.from_lamports, evidence.equity_lamports)]
    wanted = [(f"tier:{each.name}", each.from_lamports) for each in above[:1]]
    if target_lamports > evidence.equity_lamports:
        wanted.append(("target", target_lamports))
    return [(Goal(name, lamports / evidence.equity_lamports), lamports) for name, lamports in wanted]


def _range(evidence: Evidence, cone: Cone) -> list[Document]:
    """Return wire.ProjectedRange, nearest first."""
    found = []
    for step, growth in zip(cone.steps, cone.growth, strict=True):
        sums = [min(round(evidence.equity_lamports * each), 2**53 - 1) for each in growth]
        ts_ns = evidence.ts_ns + step * (DAY_NS // evidence.a_day)
        found.append({"ts": iso(ts_ns), "days": round(step / evidence.a_day, 2), **_named("lamports", sums)})
    return found


def _named(unit: str, values: list[Any]) -> Mapping[str, Any]:
    return {f"{unit}_p{percent}": each for percent, each in zip(projection.PERCENTILES, values, strict=True)}

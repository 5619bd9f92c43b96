"""What the machine has learned and what is wrong now, put together from the summaries, the desk and the health checks.

It reads what others have worked out and judges nothing itself: a lesson weighs what its author and the outcomes gave
it, and a warning is a state that already has a name elsewhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

import anyio

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.memory import MemoryFilter
from memmcp_server.domain.summary import Shown, SummaryQuery
from memmcp_server.domain.times import from_ns
from memmcp_server.errors import MemoryServerError
from memmcp_server.ports import TradingDesk
from memmcp_server.services.container import Services
from memmcp_server.services.summaries import KIND_DIGEST, SHOWN_MAX
from memmcp_server.wire.desk_logs import ProfileEntry, ProfileLog
from memmcp_server.wire.execution import NodesAnswer, nodes_answer
from memmcp_server.wire.insights import InForce, Insights, InsightWarning
from memmcp_server.wire.summary import MemoryBrief
from memmcp_server.wire.trading import LimitView, StrategyDigest, StrategyList, StrategyView, TradingSnapshot

from .findings import brief_of, findings_of
from .totals import totals_of

KIND_LESSON: Final = "lesson"
LESSONS_MAX: Final = 12
DIGESTS_MAX: Final = 12
STRATEGIES_MAX: Final = 16
EVIDENCE_MAX: Final = 10
PROFILES_MAX: Final = 6
FINDINGS_MAX: Final = 12
WARNINGS_MAX: Final = 20
TEXT_CHARS_MAX: Final = 240
NEAR_BPS: Final = 1_000
"""A limit with less than this share of it left is worth a word."""

DESK_TIMEOUT_S: Final = 2.0

CHECKS_NEXT: Final = {
    "journal": "tell the operator: memmcp doctor",
    "index": "search finds by words meanwhile; tell the operator: memmcp status",
    "outbox": "tell the operator: memmcp outbox list",
    "trading": "memory works on; ask again later, or tell the operator: memmcp status",
}


async def insights_of(services: Services, caller: Caller, namespace: str | None = None) -> Insights:
    """Return what there is for this caller, lessons and digests of one namespace or of all.

    Raises: InvalidInput (the namespace), JournalBusy, JournalUnavailable.
    """
    summaries = services.summaries
    where = MemoryFilter(namespace=namespace, kinds=(KIND_LESSON,))
    lessons = await summaries.of(SummaryQuery(where, limit=LESSONS_MAX), caller)
    digests = await summaries.of(SummaryQuery(replace(where, kinds=(KIND_DIGEST,)), limit=SHOWN_MAX), caller)
    newest = list(newest_of_each(digests.digests))[:DIGESTS_MAX]
    report = await services.health.checks()
    desk = await _desk(services)
    snapshot, digest = desk.snapshot, desk.digest
    warnings = [
        *(_warning(name, said, CHECKS_NEXT[name]) for name, said in report.checks.items() if said not in ("ok", "off")),
        *([] if snapshot is None else desk_warnings(snapshot)),
        *(stale_warning(each) for each in (*lessons.highlights, *newest) if each.stale),
    ]
    return Insights(
        ts=from_ns(services.clock.now_ns()),
        money=None if snapshot is None else snapshot.money,
        feed=None if snapshot is None else snapshot.feed,
        warnings=warnings[:WARNINGS_MAX],
        warnings_left_out=max(0, len(warnings) - WARNINGS_MAX),
        lessons=[MemoryBrief.of(each) for each in lessons.highlights],
        lessons_total=lessons.total,
        digests=[MemoryBrief.of(each) for each in newest],
        strategies=None if digest is None else [brief_of(each) for each in digest.strategies[:STRATEGIES_MAX]],
        findings=[] if digest is None else findings_of(digest, desk.strategies)[:FINDINGS_MAX],
        totals=await totals_of(services, caller, desk.nodes),
        profiles=desk.profiles,
        confidence=None if digest is None else digest.confidence,
        evidence=None if digest is None else digest.evidence[-EVIDENCE_MAX:],
    )


def newest_of_each(digests: Iterable[Shown]) -> Iterable[Shown]:
    """Return the first of each namespace, in order: the newest where the newest come first."""
    seen: set[str] = set()
    for each in digests:
        if each.memory.namespace not in seen:
            seen.add(each.memory.namespace)
            yield each


def desk_warnings(snapshot: TradingSnapshot) -> list[InsightWarning]:
    """Return what is not as it should be at the desk: its state, its feed, its limits, orders that wait."""
    found: list[InsightWarning] = []
    if snapshot.state != "ACTIVE" or not snapshot.entries_allowed:
        what = f"the desk is {snapshot.state}" if snapshot.state != "ACTIVE" else "no entries are allowed"
        reason = f": {snapshot.state_reason}" if snapshot.state_reason else ""
        found.append(_warning("trading", what + reason, "only the operator resumes; read telemetry_trading"))
    if snapshot.feed.stale:
        age = "no age" if snapshot.feed.age_s is None else f"{snapshot.feed.age_s:.0f} s old"
        found.append(_warning("feed", f"the feed is stale ({age})", "take no figure of the desk for the present one"))
    near = sorted((each for each in snapshot.limits if is_near(each)), key=lambda each: each.distance_bps)
    for each in near:
        word = "crossed" if each.distance_bps < 0 else "nearly used up"
        used = f"{each.name} of {each.scope} is {word}: {each.used} of {each.limit} {each.unit}"
        found.append(_warning("limit", used, "read risk://current; do not try a smaller order around it"))
    for order in snapshot.waiting_orders:
        text = f"order {order.order_id} waits for the operator until {order.expires_at.isoformat()}"
        found.append(_warning("order", text, "tell the user; nobody else can approve it"))
    return found


def is_near(limit: LimitView) -> bool:
    """Return whether little is left of a limit that something uses, or a floor is nearly reached."""
    return limit.distance_bps < NEAR_BPS and (limit.is_floor or limit.used > 0)


def stale_warning(shown: Shown) -> InsightWarning:
    memory = shown.memory
    text = f"{memory.kind} {memory.id} rests on what does not stand any more: {'; '.join(shown.stale)}"
    return _warning("memory", text, f"open memory://{memory.namespace}/{memory.id} before you rely on it")


@dataclass(slots=True)
class _Told:
    """What the desk said in time; the health checks say why where it did not."""

    snapshot: TradingSnapshot | None = None
    digest: StrategyDigest | None = None
    strategies: list[StrategyView] = field(default_factory=list)
    profiles: list[InForce] | None = None
    nodes: NodesAnswer | None = None


async def _desk(services: Services) -> _Told:
    told = _Told()
    if services.desk is not None:
        with anyio.move_on_after(DESK_TIMEOUT_S):
            try:
                await _ask(services.desk, told)
            except MemoryServerError:
                return told
    return told


async def _ask(desk: TradingDesk, told: _Told) -> None:
    told.snapshot = TradingSnapshot.model_validate(await desk.snapshot())
    told.digest = StrategyDigest.model_validate(await desk.strategy_digest(strategy=None, window="all"))
    log = ProfileLog.model_validate(await desk.profile_log(cursor=None, limit=PROFILES_MAX))
    told.profiles = [in_force(each) for each in log.entries]
    told.strategies = StrategyList.model_validate(await desk.strategies()).strategies
    told.nodes = nodes_answer(await desk.nodes())


def in_force(entry: ProfileEntry) -> InForce:
    """Return an entry of the profile log without what it changed in detail."""
    return InForce.model_validate(entry.model_dump() | {"why": entry.why[:TEXT_CHARS_MAX]})


def _warning(about: str, text: str, following: str) -> InsightWarning:
    cut = text if len(text) <= TEXT_CHARS_MAX else f"{text[: TEXT_CHARS_MAX - 3]}..."
    return InsightWarning.model_validate({"about": about, "text": cut, "next": following})

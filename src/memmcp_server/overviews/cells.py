"""What stands behind a cell of the heatmap: its figures, what they allow to be said, its trades, digests, memories."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.memory import MemoryFilter
from memmcp_server.domain.summary import STRATEGIES, SummaryQuery
from memmcp_server.domain.times import from_ns, instant_ns
from memmcp_server.errors import InvalidInput, NotFound
from memmcp_server.ports import TradingDesk
from memmcp_server.services.container import Services
from memmcp_server.services.summaries import KIND_DIGEST
from memmcp_server.wire.findings import CellAnswer, CellQuery, CellTrade
from memmcp_server.wire.memory import trajectory_url
from memmcp_server.wire.summary import MemoryBrief
from memmcp_server.wire.trading import StrategyDigest, StrategyList

from .findings import brief_of, out_of_sample, result, strategy_findings

TRADES_MAX: Final = 10
BRIEFS_MAX: Final = 8
LEARNED_KINDS: Final = ("candidate", "promotion", "gates", "lesson", "finding")
"""Of a strategy's namespace: the many memories of single situations are found by searching."""


async def cell_of(services: Services, desk: TradingDesk, wish: CellQuery, caller: Caller) -> CellAnswer:
    """Return what stands behind the cell, for this caller.

    Raises: InvalidInput (the strategy, the window or the times), TradingUnavailable, JournalBusy, JournalUnavailable.
    """
    since_ns, until_ns = instant_ns("since", wish.since), instant_ns("until", wish.until)
    body = await desk.strategy_digest(strategy=wish.strategy, window=wish.window, since_ns=since_ns, until_ns=until_ns)
    digest = StrategyDigest.model_validate(body)
    listed = StrategyList.model_validate(await desk.strategies())
    view = next((each for each in listed.strategies if each.name == wish.strategy), None)
    told = digest.strategies[0]
    figures = _figures(told, wish)
    tested = None if view is None else out_of_sample(view.gates)
    if wish.regime is None and wish.tier is None:
        findings = list(strategy_findings(told, view))
        evidence = digest.evidence
    else:
        evidence = [] if figures is None else list(figures.get("evidence", []))
        findings = [] if figures is None else [result(wish.strategy, figures, figures, tested, evidence)]
        findings += [each for each in strategy_findings(told, view) if each.about != "result"]
    namespace = f"{STRATEGIES}{wish.strategy}"
    begin_ns = since_ns if wish.window == "all" else instant_ns("since", digest.since)
    where = MemoryFilter(namespace=namespace)
    written = replace(where, kinds=(KIND_DIGEST,), since_ns=begin_ns, until_ns=until_ns)
    digests = await _briefs(services, caller, written)
    learned = await _briefs(services, caller, replace(where, kinds=LEARNED_KINDS))
    total, _ = await services.summaries.counted(SummaryQuery(where), caller)
    return CellAnswer(
        money=digest.money,
        feed=digest.feed,
        strategy=wish.strategy,
        regime=wish.regime,
        tier=wish.tier,
        since=digest.since,
        until=digest.until,
        figures=figures,
        findings=findings,
        trades=[await _trade(services, each, caller) for each in evidence[: -TRADES_MAX - 1 : -1]],
        digests=digests,
        memories=learned,
        namespace=namespace,
        memories_total=total,
    )


def _figures(told: Mapping[str, Any], wish: CellQuery) -> dict[str, Any] | None:
    """Return the figures of the cell that is asked for: without a regime and a tier those of all trades."""
    if wish.regime is None and wish.tier is None:
        return brief_of(dict(told)) if told.get("trades") else None
    cells = [
        each
        for each in told.get("cells", [])
        if wish.regime in (None, each.get("regime")) and wish.tier in (None, each.get("tier"))
    ]
    if len(cells) > 1:
        named = ", ".join(sorted(f"{each.get('regime')} in {each.get('tier')}" for each in cells))
        msg = f"tier: not given, or no regime, and {len(cells)} cells match: {named}"
        raise InvalidInput(msg, field="tier", hint="name both the regime and the tier")
    return dict(cells[0]) if cells else None


async def _briefs(services: Services, caller: Caller, where: MemoryFilter) -> list[MemoryBrief]:
    return [
        MemoryBrief.of(each) for each in await services.summaries.newest(SummaryQuery(where, limit=BRIEFS_MAX), caller)
    ]


async def _trade(services: Services, name: str, caller: Caller) -> CellTrade:
    """Return a trade as memory knows it: the desk tells memory of it a moment later."""
    try:
        head = await services.trajectories.head(name, caller)
    except (NotFound, InvalidInput):
        return CellTrade(id=name, url=trajectory_url(name))
    return CellTrade(
        id=name,
        url=trajectory_url(name),
        title=head.title,
        outcome=head.outcome,
        reward_lamports=head.reward if head.reward_unit == "lamports" else None,
        closed_at=None if head.closed_at_ns is None else from_ns(head.closed_at_ns),
    )

"""What was promoted and what was demoted on this desk, as a fold of its journal."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from trading.model import events
from trading.model.promotion import GateReading, PromotionTerms, Stage

RESULTS_MAX: Final = 3_650
"""Days of results that are kept of a promoted strategy: ten years."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A strategy with a promoted candidate's parameters. ``results_lamports``: its result at the end of each day since
    that candidate was first promoted on this desk. ``gates``: what was read last."""

    strategy: str
    candidate: str
    stage: Stage
    since_ns: int
    terms: PromotionTerms
    capital_lamports: int
    base_lamports: int
    results_lamports: tuple[int, ...]
    gates: tuple[GateReading, ...]
    reason: str


class PromotionBook:
    """By strategy. The events of promotions change it, and a switch to a profile that knows nothing of a candidate."""

    def __init__(self) -> None:
        self.standings: dict[str, Standing] = {}

    def of(self, strategy: str) -> Standing | None:
        return self.standings.get(strategy)

    def demoted(self, strategy: str) -> Standing | None:
        """Return the standing of a strategy that may enter nothing, None where it may."""
        found = self.standings.get(strategy)
        return found if found is not None and found.stage is Stage.DEMOTED else None

    def promoted(self) -> list[Standing]:
        """Return those whose gates are read every day."""
        return [each for each in self.standings.values() if each.stage is not Stage.DEMOTED]

    def promote(self, event: events.StrategyPromoted) -> None:
        """Begin to count anew, unless the same candidate comes to its next stage."""
        before = self.standings.get(event.strategy)
        if before is not None and before.candidate == event.candidate and before.stage is not Stage.DEMOTED:
            found = replace(before, stage=event.stage, terms=event.terms, gates=event.gates, reason=event.reason)
        else:
            found = Standing(
                strategy=event.strategy,
                candidate=event.candidate,
                stage=event.stage,
                since_ns=event.ts_ns,
                terms=event.terms,
                capital_lamports=event.capital_lamports,
                base_lamports=event.base_lamports,
                results_lamports=(),
                gates=event.gates,
                reason=event.reason,
            )
        self.standings[event.strategy] = found

    def judge(self, event: events.StrategyJudged) -> None:
        """Take the readings of a day."""
        before = self.standings[event.strategy]
        results = (*before.results_lamports, event.result_lamports)[-RESULTS_MAX:]
        self.standings[event.strategy] = replace(before, results_lamports=results, gates=event.gates)

    def demote(self, event: events.StrategyDemoted) -> None:
        """Keep what is known of it, so that it can be asked why."""
        before = self.standings[event.strategy]
        gates = event.gates or before.gates
        self.standings[event.strategy] = replace(before, stage=Stage.DEMOTED, gates=gates, reason=event.reason)

    def keep(self, lineages: Mapping[str, str]) -> None:
        """Forget the candidates whose parameters a new profile does not trade; ``lineages``: those that it does, by
        strategy."""
        self.standings = {name: each for name, each in self.standings.items() if lineages.get(name) == each.candidate}

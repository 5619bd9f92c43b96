"""After a gap (sleep, crash, power, a feed that was silent): first what is open is protected, then entries wait.

``after_gap`` says what a profile's policy does about each position; ``GapBook`` keeps what was said until it is done.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from trading.model.gap import GapAction, GapRules, GapStep
from trading.model.units import BPS_ONE, NS_PER_S

NEVER_NS: Final = 2**63


@dataclass(frozen=True, slots=True)
class GapPosition:
    """A position as it is met after the gap. ``value_lamports`` is what selling it now would bring; ``close_sol`` the
    newest price that is known, ``age_ns`` how old it is; None where the token has none."""

    bucket: str
    mint: str
    cost_lamports: int
    value_lamports: int
    close_sol: Decimal | None
    age_ns: int


@dataclass(frozen=True, slots=True)
class GapDecision:
    """``entries_wait_cycles``: so many fresh cycles, the first one after the gap among them, pass without an entry."""

    steps: tuple[GapStep, ...]
    entries_wait_cycles: int
    reason: str


def after_gap(gap_ns: int, positions: Sequence[GapPosition], rules: GapRules) -> GapDecision | None:
    """Return what the policy does about a gap of so long, None where that is none.

    Below 0 the clock was set back: nobody knows how long it was then, so nothing is sold for it and entries wait.
    A price that is older than the gap may be is no reason to sell at a loss: it is the last one before the gap, and
    serves as what a new one is measured against.
    """
    if not rules.gap_s or 0 <= gap_ns <= rules.gap_s * NS_PER_S:
        return None
    if gap_ns < 0:
        steps = tuple(GapStep(each.bucket, each.mint, GapAction.HOLD, None, "clock") for each in positions)
        return GapDecision(steps, rules.entries_wait_cycles, f"the clock was set back by {-gap_ns // NS_PER_S} s")
    gap_s = gap_ns // NS_PER_S
    steps = tuple(_step(gap_s, each, rules) for each in positions)
    return GapDecision(steps, rules.entries_wait_cycles, f"nothing was seen for {gap_s} s")


def _step(gap_s: int, position: GapPosition, rules: GapRules) -> GapStep:
    where = (position.bucket, position.mint)
    if rules.exit_all_s and gap_s >= rules.exit_all_s:
        return GapStep(*where, GapAction.EXIT, None, f"everything goes after {rules.exit_all_s} s")
    is_stale = position.close_sol is None or position.age_ns > rules.gap_s * NS_PER_S
    loses = position.value_lamports < position.cost_lamports
    if rules.exit_losing_s and gap_s >= rules.exit_losing_s and loses and not is_stale:
        return GapStep(*where, GapAction.EXIT, None, f"what is below its cost goes after {rules.exit_losing_s} s")
    if rules.tighten_s and gap_s >= rules.tighten_s and position.close_sol is not None:
        floor = position.close_sol * (BPS_ONE - rules.tighten_bps) / BPS_ONE
        return GapStep(*where, GapAction.TIGHTEN, floor, f"{rules.tighten_bps} bps below {position.close_sol}")
    return GapStep(*where, GapAction.HOLD, None, "the policy leaves it to the exit rules")


class GapBook:
    """What was decided after gaps and is not over yet."""

    def __init__(self, rules: GapRules) -> None:
        self._least_ns = 0
        self.entries_from_cycle = 0
        self._steps: dict[tuple[str, str], GapStep] = {}
        self.use(rules)

    @property
    def least_ns(self) -> int:
        """A pause that is not longer is no gap under these rules."""
        return self._least_ns

    def use(self, rules: GapRules) -> None:
        """Go on under the rules of another profile; what was decided stays decided."""
        self._least_ns = rules.gap_s * NS_PER_S if rules.gap_s else NEVER_NS

    def take(self, steps: Sequence[GapStep], entries_from_cycle: int) -> None:
        """Keep a decision. Of two about one position the harder one holds, of two floors the higher."""
        self.entries_from_cycle = max(self.entries_from_cycle, entries_from_cycle)
        for step in steps:
            known = self._steps.get((step.bucket, step.mint))
            if step.action is not GapAction.HOLD and (known is None or _rank(step) > _rank(known)):
                self._steps[step.bucket, step.mint] = step

    def reason(self, bucket: str, mint: str, close_sol: Decimal) -> str | None:
        """Return why a position is to be sold at this price, None where no gap says so."""
        step = self._steps.get((bucket, mint))
        if step is None:
            return None
        if step.action is GapAction.EXIT:
            return f"after_gap: {step.reason}"
        assert step.floor_sol is not None
        return f"after_gap: {step.reason}" if close_sol <= step.floor_sol else None

    def floor_sol(self, bucket: str, mint: str) -> Decimal:
        """Return the price at or below which a gap sells the position, 0 where there is none."""
        step = self._steps.get((bucket, mint))
        return Decimal(0) if step is None or step.floor_sol is None else step.floor_sol

    def forget(self, bucket: str, mint: str) -> None:
        """Drop what was decided about a position that was closed."""
        self._steps.pop((bucket, mint), None)

    def cycles_to_wait(self, cycle: int) -> int:
        """Return how many cycles after this one pass before anything is entered."""
        return max(0, self.entries_from_cycle - cycle)


def _rank(step: GapStep) -> tuple[bool, Decimal]:
    return (step.action is GapAction.EXIT, step.floor_sol or Decimal(0))

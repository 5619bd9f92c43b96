"""The advice that has come in: the newest of each token, what is to be scored, and every model's record.

A fold of journalled exchanges and scores; nothing else changes it.
"""

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from trading.model.advice import ANSWERED, WEIGHED_KINDS, AdviceScore, Exchange, due_ns_of

from .calibration import Calibration

NEVER_NS: Final = 2**63 - 1
KEPT_MAX: Final = 1_024
"""Answers that are kept for entries to look at (the oldest makes room), and those that wait to be scored (one more is
not)."""
MODELS_MAX: Final = 64
"""Records that are kept. A model names itself, so one more is counted under ``OTHER``."""
OTHER: Final = "other"


@dataclass(frozen=True, slots=True)
class Arrived:
    """An exchange with the time and the price at which it came in."""

    exchange: Exchange
    ts_ns: int
    mark_sol: Decimal | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The move since the answer came in, known at ``ts_ns``; ``reason`` says why where it is no traded price."""

    ts_ns: int
    realised_bps: int
    reason: str


class AdviceBook:
    """``take`` and ``settle`` fold what was journalled.

    Of one model, kind and token only one answer at a time is scored: else one move would be counted many times.
    """

    def __init__(self) -> None:
        self.calibrations: dict[tuple[str, str], Calibration] = {}
        self.outcomes_seen: Counter[str] = Counter()
        """How many exchanges came to what: answered, or the fault."""
        self.newest: Exchange | None = None
        self._by_token: dict[tuple[str, str], Arrived] = {}
        self._open: dict[tuple[str, str, str], Arrived] = {}
        self._outcomes: dict[str, Outcome] = {}
        self.next_due_ns = NEVER_NS
        """When the first of those is due whose outcome is not known yet."""

    def take(self, exchange: Exchange, ts_ns: int, mark_sol: Decimal | None) -> None:
        """Take what came in between two cycles; ``mark_sol`` is the token's price then, None where it has none."""
        self.outcomes_seen[exchange.outcome] += 1
        self.newest = exchange
        advice = exchange.advice
        if exchange.outcome != ANSWERED or advice is None or not exchange.mint:
            return
        arrived = Arrived(exchange, ts_ns, mark_sol)
        if exchange.kind in WEIGHED_KINDS:
            _put(self._by_token, (exchange.mint, exchange.strategy), arrived)
        key = (advice.model, exchange.kind, exchange.mint)
        is_new = mark_sol is not None and key not in self._open and not exchange.is_cached
        if is_new and len(self._open) < KEPT_MAX:
            self._open[key] = arrived
            self._look_ahead()

    def about(self, mint: str, strategy: str) -> Exchange | None:
        """Return the newest answer about the token: to the strategy's own question before one to nobody's."""
        found = self._by_token.get((mint, strategy)) or self._by_token.get((mint, ""))
        return None if found is None else found.exchange

    def calibration(self, model: str, kind: str) -> Calibration:
        """Return the record, an empty one where nothing was scored yet."""
        return self.calibrations.get((model, kind)) or Calibration()

    def due(self, now_ns: int) -> list[Arrived]:
        """Return what is due and has no outcome yet, the oldest first."""
        return [each for each in self._open.values() if _due(each) <= now_ns and not self._is_known(each)]

    def came_out(self, arrived: Arrived, outcome: Outcome) -> None:
        """Keep an outcome until its row is written. It follows from the market alone, so it needs none to be known."""
        self._outcomes[arrived.exchange.id] = outcome
        self._look_ahead()

    def decided(self) -> list[tuple[Arrived, Outcome]]:
        """Return those whose row is not written yet, in the order in which they came out."""
        if not self._outcomes:
            return []
        by_id = {each.exchange.id: each for each in self._open.values()}
        return [(by_id[name], outcome) for name, outcome in self._outcomes.items()]

    def settle(self, score: AdviceScore) -> None:
        """Take a score that was journalled."""
        self._open.pop((score.model, score.kind, score.mint), None)
        self._outcomes.pop(score.advice_id, None)
        self._look_ahead()
        key = (score.model, score.kind)
        if key not in self.calibrations and len(self.calibrations) >= MODELS_MAX:
            key = (OTHER, score.kind)
        self.calibrations.setdefault(key, Calibration()).add(score)

    def _is_known(self, arrived: Arrived) -> bool:
        return arrived.exchange.id in self._outcomes

    def _look_ahead(self) -> None:
        waiting = (_due(each) for each in self._open.values() if not self._is_known(each))
        self.next_due_ns = min(waiting, default=NEVER_NS)


def _due(arrived: Arrived) -> int:
    return due_ns_of(arrived.exchange, arrived.ts_ns)


def _put(kept: dict[tuple[str, str], Arrived], key: tuple[str, str], arrived: Arrived) -> None:
    """Keep the newest; the one that came in first makes room."""
    kept.pop(key, None)
    if len(kept) >= KEPT_MAX:
        del kept[next(iter(kept))]
    kept[key] = arrived

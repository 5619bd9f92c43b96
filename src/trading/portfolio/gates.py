"""The gates of promotion and demotion: what each reads of the evidence, and whether it lets pass.

Nothing here looks anything up. A gate whose figure is not known does not let pass; only the gates that demote wait
until there are enough trades to say something. Figures are floats until they are rounded to whole bps, and decide as
those.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from trading.config import PromotionSection
from trading.model.account import drawdown_bps
from trading.model.promotion import MILLION, VARIANCE_UNITS, Evidence, GateReading, PromotionTerms, Series
from trading.model.units import BPS_ONE

from . import statistics
from .statistics import Moments

_THOUSAND: Final = 1_000
TOO_FEW: Final = "too few trades to say"
NOT_KNOWN: Final = "not known"


@dataclass(frozen=True, slots=True)
class Drifted:
    """How a run compares with its replay: of its ``trades`` so many were ``matched``; ``lamports`` is what the run has
    more than the replay over all differences."""

    trades: int
    matched: int
    lamports: int


@dataclass(frozen=True, slots=True)
class Proven:
    """What a promoted strategy did since: its result at the end of each day (lamports since the promotion, positions at
    liquidation value), the capital it began with, and the return of each trade that it opened and closed since."""

    capital_lamports: int
    results_lamports: tuple[int, ...]
    trades_bps: tuple[int, ...]

    @property
    def drawdown_bps(self) -> int:
        """The largest fall of capital and result from their peak."""
        peak = deepest = 0
        for result in self.results_lamports:
            peak = max(peak, result)
            deepest = max(deepest, drawdown_bps(self.capital_lamports + peak, self.capital_lamports + result))
        return deepest

    @property
    def daily_millionths(self) -> tuple[int, ...]:
        """The results of the single days, in millionths of the capital."""
        before = (0, *self.results_lamports)
        capital = max(1, self.capital_lamports)
        return tuple(
            (after - earlier) * MILLION // capital
            for earlier, after in zip(before, self.results_lamports, strict=False)
        )


def series_of(returns: Sequence[float], trades: int, largest_drawdown_bps: int) -> Series:
    """Return what the gates need of these daily net returns."""
    of = statistics.moments(returns)
    ratio = statistics.sharpe(of)
    return Series(
        days=of.count,
        sharpe=None if ratio is None else round(ratio * MILLION),
        skewness=round(of.skewness * _THOUSAND),
        kurtosis=round(of.kurtosis * _THOUSAND),
        trades=trades,
        drawdown_bps=largest_drawdown_bps,
    )


def paper_gates(evidence: Evidence, family_trials: int, rules: PromotionSection) -> tuple[GateReading, ...]:
    """Return the gates from candidate to paper. ``family_trials``: every trial that its family ever made.

    The deflated Sharpe is against the best of so many worthless trials, whose ratios scatter by 1/(T-1) (Lo 2002, for a
    ratio of 0): the spread over the trials of one search would hold good sets of parameters, and hopeless ones, against
    each other. What it would say is in the note.
    """
    selection, holdout = evidence.selection, evidence.holdout or Series(0, None, 0, 3 * _THOUSAND, 0, 0)
    trials = max(evidence.trials, family_trials)
    deflated = _deflated_bps(selection, trials)
    note = f"against {trials} trials of the family, {evidence.effective_trials} of the search's count as independent"
    if evidence.sharpe_variance is not None:
        by_spread = _deflated_bps(selection, trials, evidence.sharpe_variance / VARIANCE_UNITS)
        note += f"; by the spread of their ratios {by_spread} bps"
    return (
        _floor("deflated_sharpe", deflated, rules.dsr_bps_min, "bps", selection.days, note),
        _overfitting(evidence, rules),
        _floor("trades", selection.trades, rules.trades_min, "trades", selection.trades),
        _ceiling("drawdown", selection.drawdown_bps, rules.drawdown_bps_max, "bps", selection.days),
        _floor("holdout_days", holdout.days, rules.holdout_days_min, "days", holdout.days),
        _floor("holdout_psr", _deflated_bps(holdout, 1), rules.holdout_psr_bps_min, "bps", holdout.days),
        _ceiling("holdout_drawdown", holdout.drawdown_bps, rules.drawdown_bps_max, "bps", holdout.days),
    )


def terms_of(evidence: Evidence, rules: PromotionSection) -> PromotionTerms:
    """Return by what a strategy with this evidence is held once it was promoted."""
    worst = max(evidence.selection.drawdown_bps, 0 if evidence.holdout is None else evidence.holdout.drawdown_bps)
    allowed = max(rules.drawdown_floor_bps, worst * rules.drawdown_times_bps // BPS_ONE)
    return PromotionTerms(
        drawdown_bps_max=min(BPS_ONE, allowed),
        trades_min=rules.demote_trades_min,
        psr_bps_min=rules.demote_psr_bps_min,
        drift_bps_min=rules.demote_drift_bps_min,
        trade_mean_bps=evidence.trade_mean_bps or 0,
    )


def live_gates(
    proven: Proven, terms: PromotionTerms, drift: Drifted | None, rules: PromotionSection
) -> tuple[GateReading, ...]:
    """Return the gates from paper to real money; ``drift``: the paper run against its replay, None where none was."""
    days, trades = proven.daily_millionths, proven.trades_bps
    matched = None if drift is None or not drift.trades else drift.matched * BPS_ONE // drift.trades
    moved = "" if drift is None else f"the run has {drift.lamports} lamports more than its replay"
    counted = 0 if drift is None else drift.trades
    return (
        _floor("paper_days", len(days), rules.paper_days_min, "days", len(days)),
        _floor("paper_trades", len(trades), rules.paper_trades_min, "trades", len(trades)),
        _floor("paper_psr", _psr_bps(days), rules.paper_psr_bps_min, "bps", len(days)),
        _floor("paper_drift", matched, rules.drift_matched_bps_min, "bps", counted, moved),
        *holding_gates(proven, terms),
    )


def holding_gates(proven: Proven, terms: PromotionTerms) -> tuple[GateReading, ...]:
    """Return the gates that a promoted strategy must go on passing; the first one failed demotes it.

    ``trade_psr``: the probability that its trades earn anything. ``trade_drift``: how probable it is that they earn as
    little as they did, or less, while they are worth on average what the evidence said (a one-sided test of the mean).
    """
    trades, drawn = proven.trades_bps, proven.drawdown_bps
    days = len(proven.results_lamports)
    fall = _ceiling("held_drawdown", drawn, terms.drawdown_bps_max, "bps", days)
    if len(trades) < terms.trades_min:
        waiting = (("trade_psr", terms.psr_bps_min), ("trade_drift", terms.drift_bps_min))
        few = (GateReading(name, 0, bound, "bps", True, True, len(trades), TOO_FEW) for name, bound in waiting)
        return (fall, *few)
    note = f"a trade is to earn {terms.trade_mean_bps} bps, it earned {_mean(trades)}"
    return (
        fall,
        _floor("trade_psr", _psr_bps(trades), terms.psr_bps_min, "bps", len(trades)),
        _floor("trade_drift", _below_bps(trades, terms.trade_mean_bps), terms.drift_bps_min, "bps", len(trades), note),
    )


def failed(gates: Sequence[GateReading]) -> tuple[GateReading, ...]:
    """Return the gates that were not passed."""
    return tuple(gate for gate in gates if not gate.passed)


def gate_text(gate: GateReading) -> str:
    """Return a reading in words, every figure in it."""
    verdict = "passed" if gate.passed else "FAILED"
    relation = "at least" if gate.is_floor else "at most"
    note = f", {gate.note}" if gate.note else ""
    shown = "unknown" if gate.note.startswith(NOT_KNOWN) else f"{gate.value} {gate.unit}"
    return f"{gate.name} {shown} ({relation} {gate.bound}, of {gate.sample}{note}): {verdict}"


def gate_of(document: Mapping[str, object]) -> GateReading:
    """Return the reading of a body that ``event_codec.encode_record`` made. Raises: TypeError, KeyError."""
    return GateReading(**{name: document[name] for name in GateReading.__dataclass_fields__})  # type: ignore[arg-type]


def _overfitting(evidence: Evidence, rules: PromotionSection) -> GateReading:
    """Of one set that nobody chose among others in its search there is nothing to overfit: what was tried before it
    counts in its family's trials."""
    if evidence.trials == 1:
        return GateReading("overfitting", 0, rules.pbo_bps_max, "bps", False, True, 0, "one set, chosen among none")
    return _ceiling("overfitting", evidence.pbo_bps, rules.pbo_bps_max, "bps", evidence.pbo_splits)


def _deflated_bps(series: Series, trials: int, variance: float | None = None) -> int | None:
    if series.sharpe is None or series.days < 2:
        return None
    of = Moments(series.days, 0.0, 1.0, series.skewness / _THOUSAND, series.kurtosis / _THOUSAND)
    return _bps(statistics.deflated_sharpe(series.sharpe / MILLION, of, trials, variance))


def _psr_bps(observed: Sequence[int]) -> int | None:
    """Return the probability that the mean of these is above zero: 0 or all of it where nothing varies."""
    of = statistics.moments([float(each) for each in observed])
    ratio = statistics.sharpe(of)
    if ratio is None:
        return None if not observed else BPS_ONE * (of.mean > 0.0)
    return _bps(statistics.probabilistic_sharpe(ratio, 0.0, of))


def _below_bps(observed: Sequence[int], expected: int) -> int | None:
    of = statistics.moments([float(each) for each in observed])
    if of.deviation <= 0.0:
        return BPS_ONE * (of.mean >= expected)
    return _bps(NormalDist(0.0, of.deviation / of.count**0.5).cdf(of.mean - expected))


def _mean(observed: Sequence[int]) -> int:
    return round(sum(observed) / len(observed))


def _bps(share: float | None) -> int | None:
    return None if share is None else round(share * BPS_ONE)


def _floor(name: str, value: int | None, bound: int, unit: str, sample: int, note: str = "") -> GateReading:
    if value is None:
        return GateReading(name, 0, bound, unit, True, False, sample, _unknown(note))
    return GateReading(name, value, bound, unit, True, value >= bound, sample, note)


def _ceiling(name: str, value: int | None, bound: int, unit: str, sample: int) -> GateReading:
    if value is None:
        return GateReading(name, 0, bound, unit, False, False, sample, NOT_KNOWN)
    return GateReading(name, value, bound, unit, False, value <= bound, sample)


def _unknown(note: str) -> str:
    return f"{NOT_KNOWN}; {note}" if note else NOT_KNOWN

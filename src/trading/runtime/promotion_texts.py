"""Promotions and demotions in words: the step, what every gate read, and by what the strategy is held from now on."""

from trading.adapters.candidate_store import Candidate
from trading.model import events
from trading.model.promotion import MILLION, PromotionTerms, Series
from trading.model.units import sol_text
from trading.portfolio.gates import gate_text


def proposal_text(candidate: Candidate, family_trials: int) -> str:
    """Return what memory is told of a new candidate: its parameters, what it rests on, and how often such a one was
    sought."""
    of, evidence = candidate.proposal, candidate.proposal.evidence
    parameters = ", ".join(f"{name} {value}" for name, value in sorted(of.parameters.items()))
    origin = f"search {of.search_id} (seed {of.seed})" if of.search_id else of.who
    parent = f", bred from {of.parent}" if of.parent else ""
    held_back = "no days were held back" if evidence.holdout is None else f"held back {_series_text(evidence.holdout)}"
    overfitting = "not known" if evidence.pbo_bps is None else f"{evidence.pbo_bps} bps"
    return (
        f"{candidate.id}: {origin} proposes {of.strategy} with {parameters}{parent}. On the days that chose it "
        f"{_series_text(evidence.selection)}; {held_back}. Probability of overfitting {overfitting}. It was the choice "
        f"among {evidence.trials} trials; its family counts {family_trials} over its lifetime. It trades nothing until "
        "an operator promotes it."
    )


def _series_text(series: Series) -> str:
    sharpe = "none" if series.sharpe is None else f"{series.sharpe / MILLION:.4f}"
    return (
        f"{series.days} days, Sharpe a day {sharpe}, {series.trades} trades, largest drawdown {series.drawdown_bps} bps"
    )


def promotion_text(event: events.StrategyPromoted) -> str:
    """Return what memory is told of a promotion, every figure in it."""
    gates = "; ".join(map(gate_text, event.gates))
    return (
        f"{event.candidate} of {event.strategy} was promoted from {event.before.value} to {event.stage.value}, on "
        f"{sol_text(event.capital_lamports)} SOL: {event.reason}. Gates: {gates}. {_terms_text(event.terms)}"
    )


def demotion_text(event: events.StrategyDemoted) -> str:
    """Return what memory is told of a demotion."""
    return (
        f"{event.candidate} of {event.strategy} was demoted from {event.before.value}, {event.reason}. The strategy "
        "enters nothing until a candidate of it is promoted; what it holds is managed by its exit rules."
    )


def judgement_text(event: events.StrategyJudged) -> str:
    """Return what memory is told of a day's readings."""
    gates = "; ".join(map(gate_text, event.gates))
    return (
        f"Gates of {event.candidate} ({event.strategy}, {event.stage.value}) at the end of the day, with a result of "
        f"{sol_text(event.result_lamports)} SOL since its promotion: {gates}."
    )


def _terms_text(terms: PromotionTerms) -> str:
    return (
        f"It is demoted where it falls by more than {terms.drawdown_bps_max} bps, or where after {terms.trades_min} "
        f"trades the probability that they earn anything is below {terms.psr_bps_min} bps, or that they earn the "
        f"{terms.trade_mean_bps} bps of its evidence below {terms.drift_bps_min}."
    )

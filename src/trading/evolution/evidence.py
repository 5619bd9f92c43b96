"""From what a search or a backtest made to the evidence of a candidate: ints that the gates decide by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from trading.adapters.candidate_store import Candidate, CandidateStore, Proposal
from trading.adapters.trial_ledger import SHARPES_MIN, TrialLedger
from trading.errors import InvalidInput
from trading.feeds.replay import ReplayFeed
from trading.model.profile import Profile, StrategyChoice
from trading.model.promotion import VARIANCE_UNITS, Evidence, Series
from trading.model.units import BPS_ONE, NS_PER_S
from trading.portfolio import statistics
from trading.portfolio.gates import series_of
from trading.portfolio.overfitting import BLOCKS_DEFAULT, TRIALS_MAX, mean_correlation, overfitting
from trading.runtime.backtest import BacktestSpec, run_backtest
from trading.strategies.parameters import Value
from trading.strategies.registry import create

from .found import Found
from .walk_forward import DAY_NS, daily_returns

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of a candidate: daily net returns, round trips, largest drawdown, and what a trade returned on average
    (None without one)."""

    returns: Sequence[float]
    trades: int
    drawdown_bps: int
    trade_mean_bps: int | None

    @property
    def series(self) -> Series:
        return series_of(self.returns, self.trades, self.drawdown_bps)


@dataclass(frozen=True, slots=True)
class Searched:
    """What the trials of a search say together: how many there were, like how many independent ones they count, how
    much their ratios vary, and how far the choice among them was overfitted (None where that cannot be said)."""

    trials: int
    effective_trials: int
    sharpe_variance: int | None
    pbo_bps: int | None
    pbo_splits: int

    @classmethod
    def of(cls, returns: Floats, trials: int, blocks: int = BLOCKS_DEFAULT) -> "Searched":
        """Return it of a matrix of daily returns (trials, days), of which there may be fewer than trials were made;
        overfitting is told of the first ``TRIALS_MAX``."""
        effective = max(1, round(statistics.effective_trials(trials, mean_correlation(returns))))
        ratios = _ratios(returns)
        variance = round(float(np.var(ratios, ddof=1)) * VARIANCE_UNITS) if ratios.size >= SHARPES_MIN else None
        if returns.shape[0] < 2 or returns.shape[1] < 2 * blocks:
            return cls(trials, effective, variance, None, 0)
        fitted = overfitting(returns[:TRIALS_MAX], blocks)
        return cls(trials, effective, variance, round(fitted.pbo * BPS_ONE), fitted.splits)


def _ratios(returns: Floats) -> Floats:
    """Return the Sharpe ratio a day of each row that varies."""
    if returns.shape[1] < 2:
        return np.empty(0)
    spread = returns.std(axis=1, ddof=1)
    varies = spread > 1e-15
    found: Floats = returns[varies].mean(axis=1) / spread[varies]
    return found


ALONE: Final = Searched(1, 1, None, None, 0)
"""One set of parameters that nobody chose among others in this run: nothing can have been overfitted by choosing. What
was tried before it counts in its family's trials."""


def evidence_of(selection: Ran, holdout: Ran | None, searched: Searched) -> Evidence:
    """Return the evidence of a candidate; ``holdout``: its run on days that no search saw, None without them."""
    return Evidence(
        selection=selection.series,
        holdout=None if holdout is None else holdout.series,
        trials=searched.trials,
        effective_trials=searched.effective_trials,
        sharpe_variance=searched.sharpe_variance,
        pbo_bps=searched.pbo_bps,
        pbo_splits=searched.pbo_splits,
        trade_mean_bps=selection.trade_mean_bps,
    )


def ran(document: Mapping[str, Any], strategy: str, returns: Sequence[float]) -> Ran:
    """Return what a backtest's document and its daily returns say of a strategy."""
    own = document["strategies"][strategy]
    return Ran(returns, int(own["round_trips"]), int(document["max_drawdown_bps"]), own["mean_return_bps"])


def propose_found(store: CandidateStore, found: Found, who: str, at_ns: int, parent: str = "") -> list[Candidate]:
    """Write every finalist of a search down as a candidate, and return them; one that is known adds nothing.

    Raises: DataError where the search's returns are not what it says, InvalidInput for an unknown parent.
    """
    searched = Searched.of(found.returns(), found.trials)
    made = []
    for finalist in found.finalists:
        selection = ran(finalist.document, found.strategy, finalist.returns)
        document = finalist.holdout_document
        holdout = None if document is None else ran(document, found.strategy, finalist.holdout_returns)
        made.append(
            store.propose(
                Proposal(
                    strategy=found.strategy,
                    parameters=dict(finalist.parameters),
                    evidence=evidence_of(selection, holdout, searched),
                    data=tuple(sha256 for _, sha256 in found.inputs),
                    who=who,
                    at_ns=at_ns,
                    parent=parent,
                    search_id=found.search_id,
                    seed=found.seed,
                )
            )
        )
    return made


@dataclass(frozen=True, slots=True)
class HandMade:
    """A set of parameters that a person or an agent proposes: it is run on the days before the last ``holdout_days``
    and on those, under ``rules``; both runs count as trials of its family."""

    strategy: str
    parameters: Mapping[str, Value]
    feed: ReplayFeed
    rules: Profile
    equity_lamports: int
    holdout_days: int
    who: str
    parent: str = ""


def propose_by_hand(store: CandidateStore, ledger: TrialLedger, wish: HandMade, at_ns: int) -> Candidate:
    """Run it, count it, and write it down as a candidate.

    Raises: InvalidInput (parameters, parent, too few days), DataError, TrialLedgerUnavailable.
    """
    warmup_ns = create(wish.strategy, wish.parameters).warmup_bars * wish.feed.description.interval_s * NS_PER_S
    summary = wish.feed.summary
    if summary.first_ns is None or summary.last_ns is None:
        msg = "data: there is no bar to run on"
        raise InvalidInput(msg, field="data")
    cut_ns = summary.last_ns - wish.holdout_days * DAY_NS
    from_ns = summary.first_ns + warmup_ns
    if wish.holdout_days < 0 or cut_ns - from_ns < DAY_NS:
        days = (summary.last_ns - summary.first_ns) // DAY_NS
        msg = f"holdout_days: {wish.holdout_days} of {days} days leave none to judge by, after the warm-up"
        raise InvalidInput(msg, field="holdout_days")
    if wish.parent:
        store.candidate(wish.parent)
    selection = _run(wish, ledger, (summary.first_ns, from_ns, cut_ns))
    holdout = _run(wish, ledger, (cut_ns - warmup_ns, cut_ns, summary.last_ns)) if wish.holdout_days else None
    return store.propose(
        Proposal(
            strategy=wish.strategy,
            parameters=dict(wish.parameters),
            evidence=evidence_of(selection, holdout, ALONE),
            data=tuple(sha256 for _, sha256 in wish.feed.description.inputs),
            who=wish.who,
            at_ns=at_ns,
            parent=wish.parent,
        )
    )


def _run(wish: HandMade, ledger: TrialLedger, span: tuple[int, int, int]) -> Ran:
    """Run from the first of these times, and judge from the second until the third."""
    begin_ns, from_ns, to_ns = span
    choice = StrategyChoice(name=wish.strategy, weight_bps=BPS_ONE, parameters=dict(wish.parameters))
    result = run_backtest(
        BacktestSpec(
            feed=wish.feed.cut(begin_ns, to_ns),
            rules=wish.rules.model_copy(update={"strategies": (choice,)}),
            equity_lamports=wish.equity_lamports,
            ledger=ledger,
            who=wish.who,
        )
    )
    return ran(result.document, wish.strategy, daily_returns(result.equity, from_ns, to_ns))

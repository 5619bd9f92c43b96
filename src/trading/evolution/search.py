"""The search: generations of candidates are drawn, tried, counted and told, until there are enough; then the front of
the best is run in the full engine, and on days that no candidate was chosen by.

Each candidate is counted once in the lifetime ledger, whoever is killed when: it is counted before its figures are told
to the storage, under a scope that the ledger takes once, and what the storage holds at the beginning and at the end is
counted again.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from trading.adapters.trial_ledger import Standing, Trial, TrialLedger, family_of
from trading.errors import InvalidInput
from trading.model.units import BPS_ONE
from trading.portfolio import statistics
from trading.portfolio.overfitting import BLOCKS_DEFAULT, TRIALS_MAX, overfitting

from .bench import Bench, Evaluated, bench_of, engine_run
from .course import Course
from .fitness import Floats, Objectives, front, objectives, path_sharpes, sharpes
from .found import RETURNS_NAME, Candidate, Finalist, Found, save
from .trial_store import Drawn, Outcome, Progress, Told, TrialStore

WHO: Final = "search"
IDLE_S: Final = 0.5
"""How long a worker waits when the last candidates are with others."""

Report = Callable[[str, int, int], None]
"""``report(phase, done, total)``: phase is searching or confirming."""
Pause = Callable[[], None]


def silent(_phase: str, _done: int, _total: int) -> None:
    """Report nothing."""


def unhurried() -> None:
    """Wait for nothing between generations."""


@dataclass(frozen=True)
class Worker:
    """One of those who search. ``workers`` is how many share the storage. ``pause`` is called after each batch."""

    course: Course
    store: TrialStore
    ledger: TrialLedger
    bench: Bench
    workers: int = 1
    pause: Pause = unhurried

    def run(self, report: Report = silent) -> None:
        """Draw, try and tell until all candidates have their figures. Raises: TrialStoreUnavailable,
        TrialLedgerUnavailable."""
        total = self.course.spec.trials
        while True:
            self.store.beat()
            known = self.store.progress()
            report("searching", min(known.told, total), total)
            mine = self._mine(known)
            if mine:
                self._try(mine)
                self.pause()
            elif self.store.progress().waiting:
                time.sleep(IDLE_S)
            else:
                return

    @property
    def _batch(self) -> int:
        return max(1, self.course.spec.population // self.workers)

    def _mine(self, known: Progress) -> list[Drawn]:
        """Return what is to be tried next, after more was drawn where that is due; nothing where all have figures, the
        strategy has no more candidates, or the last ones are with others."""
        missing = self.course.spec.trials - known.told - known.waiting
        if self.workers > 1:
            mine = self.store.taken_up(self._batch)
            if not mine and missing > 0:
                # A share of what is missing, so that several workers draw hardly more than that.
                self.store.draw(min(self._batch, -(-missing // self.workers)))
                mine = self.store.taken_up(self._batch)
            return mine
        # A generation is drawn whole before any of it is judged, also by who goes on after a kill: what is drawn
        # depends on what is judged.
        place = (known.told + known.waiting + known.given_up) % self._batch
        if missing > 0 and (place or not known.waiting):
            self.store.draw(min(self._batch - place, missing))
        return self.store.taken_up(self._batch)

    def _try(self, drawn: Sequence[Drawn]) -> None:
        candidates = [each.candidate for each in drawn]
        outcomes = outcomes_of(self.course, candidates, self.bench.evaluate(candidates))
        # Counted first: a candidate whose figures are known was counted, whoever is killed in between.
        self.ledger.add_all([trial_of(self.course, *pair) for pair in zip(candidates, outcomes, strict=True)])
        for each, outcome in zip(drawn, outcomes, strict=True):
            self.store.tell(each, outcome)


def outcomes_of(course: Course, candidates: Sequence[Mapping[str, Any]], evaluated: Evaluated) -> list[Outcome]:
    """Return what becomes of candidates that were tried."""
    figures = objectives(evaluated.returns, evaluated.trades, course.scheme)
    found = []
    for candidate, each, returns, trades in zip(candidates, figures, evaluated.returns, evaluated.trades, strict=True):
        per_day = statistics.sharpe(statistics.moments(returns.tolist()))
        found.append(
            Outcome(
                scope=course.scope_of(candidate),
                objectives=each,
                trades=int(trades),
                sharpe=per_day,
                observations=course.scheme.days,
                return_bps=int((float(np.prod(1.0 + returns)) - 1.0) * BPS_ONE),
            )
        )
    return found


def trial_of(course: Course, candidate: Mapping[str, Any], outcome: Outcome) -> Trial:
    """Return what the ledger keeps of a candidate."""
    strategy = course.spec.strategy
    return Trial(
        family=family_of([strategy]),
        scope=outcome.scope,
        who=WHO,
        at_ns=time.time_ns(),
        feed=course.feed.description.detail,
        parameters={f"{strategy}.{name}": value for name, value in candidate.items()},
        sharpe=outcome.sharpe,
        observations=outcome.observations,
        trades=outcome.trades,
        return_bps=outcome.return_bps,
    )


def recount(course: Course, store: TrialStore, ledger: TrialLedger) -> int:
    """Count what the storage holds and this ledger does not: what workers on other machines told. Return how many."""
    return ledger.add_all([trial_of(course, each.candidate, each.outcome) for each in store.told()])


def search(course: Course, store: TrialStore, ledger: TrialLedger, run_dir: Path, report: Report = silent) -> Found:
    """Search in this process alone, from where the storage stands, and return what was found; it is saved in the run
    directory too. Raises: InvalidInput, DataError, TrialStoreUnavailable, TrialLedgerUnavailable."""
    bench = bench_of(course, run_dir)
    recount(course, store, ledger)
    Worker(course, store, ledger, bench).run(report)
    return finish(course, store, ledger, run_dir, report)


def finish(course: Course, store: TrialStore, ledger: TrialLedger, run_dir: Path, report: Report = silent) -> Found:
    """Judge all candidates that have figures, confirm the front in the full engine, and save what was found."""
    recount(course, store, ledger)
    told = store.told()
    if not told:
        msg = f"no candidate of {course.spec.strategy} was found within {course.spec.trials} trials"
        raise InvalidInput(msg, field="strategy")
    bench = bench_of(course, run_dir)
    returns = bench.evaluate([each.candidate for each in told]).returns
    returns_file = _kept(returns, run_dir / RETURNS_NAME)
    standing = ledger.standing(family_of([course.spec.strategy]))
    found = Found(
        search_id=course.search_id,
        strategy=course.spec.strategy,
        feed=course.feed.description.detail,
        inputs=course.feed.description.inputs,
        profile=course.spec.rules.name,
        sampler=course.spec.sampler,
        seed=course.spec.seed,
        screened_by=bench.screened_by,
        from_ns=course.from_ns,
        days=course.scheme.days,
        holdout_days=course.spec.holdout_days,
        trials=len(told),
        family_trials=standing.trials,
        sharpe_variance=standing.sharpe_variance,
        path_sharpes=path_sharpes(returns, course.scheme),
        pbo=_pbo(returns),
        candidates=tuple(Candidate(*_row(each)) for each in told),
        finalists=_finalists(course, told, standing, report),
        returns_file=returns_file,
    )
    save(found)
    return found


def _row(each: Told) -> tuple[int, Mapping[str, Any], Objectives, int]:
    return each.number, each.candidate, each.outcome.objectives, each.outcome.trades


def _kept(returns: Floats, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.save(file, returns)
    return part.replace(path)


def _pbo(returns: Floats) -> float | None:
    """Return the probability of backtest overfitting, None where there are too few candidates or days to tell."""
    rows = returns[:TRIALS_MAX]
    if rows.shape[0] < 2 or rows.shape[1] < 2 * BLOCKS_DEFAULT:
        return None
    return round(overfitting(rows).pbo, 4)


def _finalists(course: Course, told: Sequence[Told], standing: Standing, report: Report) -> tuple[Finalist, ...]:
    rows = front([each.outcome.objectives for each in told])[: course.spec.finalists]
    found = []
    for done, row in enumerate(rows):
        report("confirming", done, len(rows))
        found.append(_finalist(course, row, told[row], standing))
    report("confirming", len(rows), len(rows))
    return tuple(found)


def _finalist(course: Course, row: int, told: Told, standing: Standing) -> Finalist:
    run = engine_run(course, told.candidate, course.from_ns, course.until_ns)
    held = engine_run(course, told.candidate, course.until_ns, course.to_ns) if course.spec.holdout_days else None
    of = statistics.moments(run.returns)
    per_day = statistics.sharpe(of)
    on_tests = sharpes(np.array([run.returns], dtype=np.float64), course.scheme.test_masks)[0]
    return Finalist(
        row=row,
        parameters=told.candidate,
        objectives=told.outcome.objectives,
        document=run.document,
        returns=run.returns,
        test_sharpes=tuple(round(float(each), 4) for each in on_tests),
        deflated_sharpe=None
        if per_day is None
        else statistics.deflated_sharpe(per_day, of, standing.trials, standing.sharpe_variance),
        holdout_document=None if held is None else held.document,
        holdout_returns=() if held is None else held.returns,
    )

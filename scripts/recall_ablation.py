"""What recall is worth: the same runs with memory, without, and with a memory whose outcomes are shuffled.

``python -m scripts.recall_ablation FOLDER`` writes the table between its markers in docs/results.md, whatever it says.
FOLDER holds ``*USDT_1h.csv.gz``. Each strategy runs alone, with its defaults, over all bars; nothing is chosen, and at
each decision the memory holds what was known by then, so that every decision is out of sample. The first half year
only fills the memory; what comes after it is judged.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from scripts.results_file import commit, splice
from scripts.walk_forward import TOKENS, TUNED, equity_of

from trading.adapters.canonical import parse_json
from trading.adapters.memory_journal import MemoryJournal
from trading.adapters.trial_ledger import Trial, TrialLedger, family_of
from trading.cli.trials import ledger_path
from trading.engine import strides
from trading.engine.kernel import Kernel
from trading.evolution.walk_forward import BLOCK_DAYS, DAY_NS, block_bootstrap, daily_returns, growth
from trading.feeds.replay import ReplayFeed, open_replay
from trading.model.account import Level
from trading.model.profile import FOUNDATION, Profile, StrategyChoice
from trading.model.recall import RecallRules
from trading.model.units import BPS_ONE, ratio_bps
from trading.portfolio import statistics
from trading.recall.memory import Neighbour, SituationMemory
from trading.runtime.assembly import RunPlan, begin, make_kernel

WARM_UP_DAYS: Final = 180
SHUFFLES: Final = 5
OFF: Final = RecallRules()
PROVEN: Final = RecallRules(is_on=True)
ALWAYS: Final = RecallRules(is_on=True, scores_min=0)
COLUMNS: Final = (
    "strategy",
    "return without, proven, always, shuffled",
    "fills of the first three",
    "answers, shifted, refused (always)",
    "proven - without",
    "always - without",
    "always - shuffled",
    "error stated, recalled, shuffled, bps",
    "recalled / stated error^2",
)
Errors = tuple[tuple[int, int, int], ...]
"""Of each answer that was scored: when it was due (day number), squared error as stated, and as recalled."""


@dataclass(frozen=True, slots=True)
class Variant:
    """``shuffle`` is the seed by which outcomes are dealt to other situations, None for the true ones."""

    name: str
    rules: RecallRules
    shuffle: int | None = None


VARIANTS: Final = (
    Variant("without", OFF),
    Variant("proven", PROVEN),
    Variant("always", ALWAYS),
    *(Variant(f"shuffled {seed}", ALWAYS, seed) for seed in range(1, SHUFFLES + 1)),
)


@dataclass(frozen=True, slots=True)
class Found:
    """One run: daily returns and scored answers of the time that is judged. ``shifted``: answers that were used."""

    returns: tuple[float, ...]
    errors: Errors
    fills: int
    answers: int
    shifted: int
    refused: int


class ShuffledMemory(SituationMemory):
    """The same situations with the outcomes of others: what is known as of now is dealt anew, by a seed."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed

    def nearest(self, now_ns: int, strategy: str, vector: tuple[int, ...], count: int) -> list[Neighbour]:
        found = super().nearest(now_ns, strategy, vector, count)
        book = self._books.get(strategy)
        if book is None:
            return found
        dealt = np.random.default_rng([self._seed, len(book.ids)]).permutation(len(book.ids)).tolist()
        places = [dealt[book.place_of[each.id] - book.index.first] for each in found]
        return [
            Neighbour(each.id, each.squared, each.ts_ns, book.moves_bps[place], book.nets_bps[place])
            for each, place in zip(found, places, strict=True)
        ]


def rules_of(strategy: str, recall: RecallRules) -> Profile:
    """Return the default profile for one strategy, without halts by drawdown: the first of them would end a run of
    years, and where it comes would decide the comparison."""
    drops = {f"{level}_drawdown_{state}_bps": BPS_ONE for level in Level for state in ("reducing", "halted")}
    drops |= {"drawdown_reducing_bps": BPS_ONE, "drawdown_halted_bps": BPS_ONE}
    return FOUNDATION.model_copy(
        update={
            "limits": FOUNDATION.limits.model_copy(update=drops),
            "strategies": (StrategyChoice(name=strategy, weight_bps=BPS_ONE),),
            "recall": recall,
        }
    )


def run(feed: ReplayFeed, strategy: str, variant: Variant, warm_up_days: int = WARM_UP_DAYS) -> tuple[Found, Trial]:
    """Run a strategy over all bars under a variant."""
    profile = rules_of(strategy, variant.rules)
    plan = RunPlan("backtest", feed.description, profile, equity_of(strategy), 10**12)
    journal = MemoryJournal()
    kernel = make_kernel(plan, "ablation", journal)
    if variant.shuffle is not None:
        kernel.state.situations = ShuffledMemory(variant.shuffle)
    begin(kernel)
    equity = [mark for marks in strides.take(kernel, feed.events()) for mark in marks]
    journal.commit()
    first_ns, last_ns = equity[0][0] + warm_up_days * DAY_NS, equity[-1][0]
    returns = daily_returns(equity, first_ns, last_ns)
    errors, answers, shifted = _answers(journal, first_ns)
    refused = kernel.state.denials["recalled_losses"]
    found = Found(tuple(returns), errors, kernel.state.fills_total, answers, shifted, refused)
    return found, _trial(plan, variant, kernel)


def _answers(journal: MemoryJournal, first_ns: int) -> tuple[Errors, int, int]:
    recalled: dict[str, tuple[int, int]] = {}
    errors: list[tuple[int, int, int]] = []
    answers = shifted = 0
    for row in journal.rows(kinds=("situation_recalled", "forecast_scored")):
        body = parse_json(row.body)
        if row.kind == "situation_recalled":
            said = body["recollection"]
            if said is not None:
                answers += 1
                shifted += body["is_used"] and said["shift_bps"] != 0
                recalled[body["situation_id"]] = (body["edge_bps"], body["edge_bps"] + said["shift_bps"])
        elif (answer := recalled.get(body["score"]["forecast_id"])) is not None and row.ts_ns >= first_ns:
            move = body["score"]["realised_bps"]
            errors.append((row.ts_ns // DAY_NS, (answer[0] - move) ** 2, (answer[1] - move) ** 2))
    return tuple(errors), answers, shifted


def _trial(plan: RunPlan, variant: Variant, kernel: Kernel) -> Trial:
    state, moments = kernel.state, kernel.state.curve.moments()
    names = [choice.name for choice in plan.profile.strategies]
    return Trial(
        family=family_of(names),
        scope=plan.scope if variant.shuffle is None else f"{plan.scope}/{variant.name}",
        who="sweep",
        at_ns=time.time_ns(),
        feed=plan.feed.detail,
        parameters={"recall": variant.name},
        sharpe=statistics.sharpe(moments),
        observations=moments.count,
        trades=state.fills_total,
        return_bps=ratio_bps(state.equity_lamports - state.start_lamports, state.start_lamports),
    )


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    wanted = [(options.folder, name, variant) for name in TUNED for variant in VARIANTS]
    found: dict[str, dict[str, Found]] = {name: {} for name in TUNED}
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count() or 1, mp_context=spawned) as pool:
        for (_, name, variant), each in zip(wanted, pool.map(_ran, wanted), strict=True):
            found[name][variant.name] = each
            print(f"{name}, {variant.name}: {growth(each.returns) - 1:+.2%}", file=sys.stderr)
    section = section_of(_feed(options.folder).description.detail, found, options.seed)
    splice("recall", section)
    print(section)
    return 0


def _feed(folder: Path) -> ReplayFeed:
    return open_replay([folder / f"{symbol}USDT_1h.csv.gz" for symbol in ("SOL", *TOKENS)])


def _ran(wanted: tuple[Path, str, Variant]) -> Found:
    folder, strategy, variant = wanted
    ledger = TrialLedger.at(ledger_path())
    try:
        found, trial = run(_feed(folder), strategy, variant)
        ledger.add(trial)
        return found
    finally:
        ledger.close()


def section_of(detail: str, found: Mapping[str, Mapping[str, Found]], seed: int) -> str:
    """Return the words and tables of the section."""
    days = max(len(found[name]["without"].returns) for name in found)
    text = f"""## Recall: with memory, without, and with shuffled outcomes

`python -m scripts.recall_ablation FOLDER --seed {seed}`, commit {commit()}, {datetime.now(UTC):%Y-%m-%d}. {detail}.

Each strategy alone with its defaults, profile `foundation` without halts by drawdown, in SOL after all costs; the first
{WARM_UP_DAYS} days only fill the memory, {days} days are judged. *Proven*: as a profile has it once it is on,
shifting only while the errors of recalled edges are the smaller ones. *Always*: shifting from the first answer on.
*Shuffled*: always, with the outcomes known by then dealt to other situations, {SHUFFLES} seeds, their mean. Differences
are of daily returns in bps, day by day, with 95 % intervals (blocks of {BLOCK_DAYS} days). The error is the root mean
square of realised moves against edges.
"""
    columns = " | ".join(COLUMNS)
    lines = [text, f"| {columns} |", "|" + " --- |" * len(COLUMNS)]
    lines += [_row(name, each, seed) for name, each in found.items()]
    pooled = {variant.name: _pooled([found[name][variant.name] for name in found]) for variant in VARIANTS}
    lines += [_row("all, a part each", pooled, seed), "", _verdict(found, pooled, seed)]
    return "\n".join(lines)


def _row(name: str, found: Mapping[str, Found], seed: int) -> str:
    shuffled = _shuffled(found)
    without, proven, always = (found[each] for each in ("without", "proven", "always"))
    kinds = (without.returns, proven.returns, always.returns, shuffled.returns)
    stated, recalled = _error(always.errors, 1), _error(always.errors, 2)
    cells = (
        name,
        ", ".join(f"{growth(each) - 1:+.1%}" for each in kinds),
        ", ".join(str(each.fills) for each in (without, proven, always)),
        f"{always.answers}, {always.shifted}, {always.refused}",
        _interval(proven.returns, without.returns, seed),
        _interval(always.returns, without.returns, seed),
        _interval(always.returns, shuffled.returns, seed),
        f"{stated:.0f}, {recalled:.0f}, {_error(shuffled.errors, 2):.0f}",
        _error_interval(always.errors, seed),
    )
    return f"| {' | '.join(cells)} |".replace("%", " %")


def _shuffled(found: Mapping[str, Found]) -> Found:
    return _pooled([found[variant.name] for variant in VARIANTS if variant.shuffle is not None])


def _pooled(found: Sequence[Found]) -> Found:
    """Return the mean of the daily returns, as of an equal part in each, with all answers and fills."""
    days = min(len(each.returns) for each in found)
    means = np.mean([each.returns[:days] for each in found], axis=0).tolist()
    sums = (sum(getattr(each, name) for each in found) for name in ("fills", "answers", "shifted", "refused"))
    return Found(tuple(means), tuple(error for each in found for error in each.errors), *sums)


def difference(one: Sequence[float], other: Sequence[float], seed: int) -> tuple[float, float, float]:
    """Return the mean difference a day in bps and its interval, of paired days."""
    paired = [1e4 * (a - b) for a, b in zip(one, other, strict=True)]
    low, high = block_bootstrap(paired, seed)
    return sum(paired) / max(1, len(paired)), low, high


def _interval(one: Sequence[float], other: Sequence[float], seed: int) -> str:
    mean, low, high = difference(one, other, seed)
    return f"{mean:+.2f} ({low:+.2f} to {high:+.2f})"


def _error(errors: Errors, place: int) -> float:
    return (sum(each[place] for each in errors) / len(errors)) ** 0.5 if errors else 0.0


def error_ratio(errors: Errors, seed: int) -> tuple[float, float, float] | None:
    """Return the sum of the recalled squared errors over that of the stated ones, with its interval by drawing days."""
    by_day: dict[int, list[int]] = {}
    for day, stated, recalled in errors:
        sums = by_day.setdefault(day, [0, 0])
        sums[0] += stated
        sums[1] += recalled
    days = np.array([by_day[day] for day in sorted(by_day)], np.float64)
    if len(days) < 2 or days[:, 0].sum() == 0:
        return None
    drawn = np.random.default_rng(seed).integers(0, len(days), (2_000, len(days)))
    resampled = days[drawn].sum(axis=1)
    low, high = np.quantile(resampled[:, 1] / resampled[:, 0], [0.025, 0.975])
    return float(days[:, 1].sum() / days[:, 0].sum()), float(low), float(high)


def _error_interval(errors: Errors, seed: int) -> str:
    found = error_ratio(errors, seed)
    return "too few" if found is None else f"{found[0]:.3f} ({found[1]:.3f} to {found[2]:.3f})"


def _verdict(found: Mapping[str, Mapping[str, Found]], pooled: Mapping[str, Found], seed: int) -> str:
    """Say what the intervals allow to be said."""

    def helps(each: Mapping[str, Found], variant: str) -> bool:
        better = difference(each[variant].returns, each["without"].returns, seed)[1] > 0
        return better and difference(each["always"].returns, _shuffled(each).returns, seed)[1] > 0

    helped = [name for name, each in found.items() if helps(each, "proven")]
    said = "For no strategy is proven recall above running without it and always recalling above shuffled outcomes."
    if helped:
        named = ", ".join(helped)
        said = f"Proven recall is above running without it, and always recalling above shuffled outcomes, for {named}."
    together = "does" if helps(pooled, "proven") else "does not"
    ratio = error_ratio(pooled["always"].errors, seed)
    share = "" if ratio is None else f"; the squared error of recalled edges is {ratio[0]:.3f} of that of stated ones"
    alike = [
        name
        for name, each in {**found, "all together": pooled}.items()
        if difference(each["always"].returns, each["without"].returns, seed)[1] > 0
        and difference(each["always"].returns, _shuffled(each).returns, seed)[1] <= 0
    ]
    names = ", ".join(alike)
    common = (
        f" Always recalling is above running without it, but not above shuffled outcomes, for {names}: what helps there"
        " is that outcomes fall short of what a strategy states, and not which situations are recalled."
    )
    said += f" Over all strategies together it {together} help by both intervals{share}."
    return f"{said}{common if alike else ''} It ships switched off."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

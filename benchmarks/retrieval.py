"""How well search finds what answers a question, against its own halves: words only, meaning only, their plain fusion.

One memory per turn of generated conversations, and what the trading runtime remembers of a run on a generated market;
questions in similar words, in other words, about times, over several turns, and about what nobody ever said. Parameters
were chosen on the train seeds; the held-out seeds were only looked at. ``--data PATH`` takes a file in LoCoMo's format
instead. The index is the worker's own engine on its embedded shard, the ranking that of the service.

Goals: on the held-out seeds the default finds at 10 at least what the better half finds, in every category, and more
over all; over both sets at least 60 % of the questions that nothing answers come back empty, and at most 1 % of the
others.
"""

import argparse
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from memmcp_server.adapters.embedding.fastembed_embedder import load_embedder
from memmcp_server.config import EmbeddingSection
from memmcp_server.ports import Embedder

from .retrieval_data import locomo
from .retrieval_data.cases import NOBODY, Corpus, Question, merged_categories
from .retrieval_data.conversations import conversation
from .retrieval_data.searchers import CachingEmbedder, Searcher, Setting, searchers
from .retrieval_data.trading import trading_run

DEPTHS = (5, 10, 20)
JUDGED = 1
"""Of ``DEPTHS``: recall at 10 decides."""
NOT_IN_THE_MEAN = (NOBODY, "adversarial")
HALVES = ("words only", "meaning only")
DEFAULT = "default"
ANSWERABLE_LOST_MAX = 0.01
UNANSWERABLE_EMPTY_MIN = 0.60
"""A memory that is kept back costs more than a weak one that is shown: it has its score beside it."""
TRAIN_SEEDS = (1, 2)
HELD_OUT_SEEDS = (101, 102, 103, 104)


@dataclass
class Tally:
    """Recalls and reciprocal ranks of one searcher, by category; how many answers came back empty.

    The recalls are those of the order as such; ``silenced`` is what of them (at 10, in sum) an empty answer keeps back.
    """

    rows: dict[str, list[tuple[float, ...]]] = field(default_factory=dict)
    empty: dict[bool, list[bool]] = field(default_factory=lambda: {True: [], False: []})
    silenced: float = 0.0
    took_ms: list[float] = field(default_factory=list)

    def add(self, question: Question, found: Sequence[str], *, is_empty: bool) -> None:
        self.empty[bool(question.evidence)].append(is_empty)
        if not question.evidence:
            return
        recalls = [len(question.evidence & set(found[:depth])) / len(question.evidence) for depth in DEPTHS]
        first = next((rank for rank, each in enumerate(found[: DEPTHS[-1]], 1) if each in question.evidence), 0)
        self.rows.setdefault(question.category, []).append((*recalls, 1 / first if first else 0.0))
        if is_empty and question.category not in NOT_IN_THE_MEAN:
            self.silenced += recalls[JUDGED]

    def mean(self, categories: Iterable[str]) -> tuple[float, ...]:
        rows = [row for category in categories for row in self.rows.get(category, [])]
        return tuple(statistics.fmean(column) for column in zip(*rows, strict=True)) if rows else ()

    def error(self, categories: Iterable[str]) -> float:
        values = [row[JUDGED] for category in categories for row in self.rows.get(category, [])]
        return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0

    def share_empty(self, *, answerable: bool) -> float:
        return statistics.fmean(self.empty[answerable]) if self.empty[answerable] else 0.0


@dataclass(frozen=True)
class Part:
    """One data set on one set of seeds. ``is_judged``: the goals are checked on it."""

    name: str
    corpora: Sequence[Corpus]
    is_judged: bool


def measure(part: Part, embedder: Embedder) -> dict[str, Tally]:
    """Run every question of the part through every searcher."""
    with tempfile.TemporaryDirectory() as directory:
        setting = Setting(part.corpora, CachingEmbedder(embedder), Path(directory))
        try:
            made = searchers(setting)
            return {name: _run(searcher, setting, part) for name, searcher in made.items()}
        finally:
            setting.close()


def _run(searcher: Searcher, setting: Setting, part: Part) -> Tally:
    tally = Tally()
    for corpus in part.corpora:
        for question in corpus.questions:
            setting.embedder.embed([question.text])  # stated apart: the same for every searcher
            began_s = time.perf_counter()
            found, is_empty = searcher(corpus, question.text)
            tally.took_ms.append((time.perf_counter() - began_s) * 1_000)
            tally.add(question, found, is_empty=is_empty)
    return tally


def report(part: Part, tallies: dict[str, Tally]) -> list[str]:
    """Print the part's tables; return what falls short."""
    answered = [c for c in merged_categories(part.corpora) if c not in NOT_IN_THE_MEAN]
    memories = sum(len(corpus.memories) for corpus in part.corpora)
    questions = sum(len(corpus.questions) for corpus in part.corpora)
    print(f"\n### {part.name}\n\n{len(part.corpora)} corpora, {memories:,} memories, {questions:,} questions.\n")
    for note in dict.fromkeys(note for corpus in part.corpora for note in corpus.notes):
        print(note)
    print("| searcher | recall@5 | @10 | @20 | MRR |\n| --- | --- | --- | --- | --- |")
    for name, tally in tallies.items():
        cells = [f"{value:.3f}" for value in tally.mean(answered)]
        cells[JUDGED] += f" ±{tally.error(answered):.3f}"
        print(f"| {name} | {' | '.join(cells)} |")
    names = list(tallies)
    print(f"\n| recall@10 by category | {' | '.join(names)} |\n| --- |{' --- |' * len(names)}")
    for category in [*answered, *(c for c in merged_categories(part.corpora) if c == "adversarial")]:
        means = [tally.mean([category]) for tally in tallies.values()]
        print(f"| {category} | {' | '.join(f'{mean[JUDGED]:.3f}' for mean in means)} |")
    default = tallies[DEFAULT]
    lost, empty = default.share_empty(answerable=True), default.share_empty(answerable=False)
    ordered, asked = sorted(default.took_ms), sum(len(default.rows.get(category, [])) for category in answered)
    print(
        f"\nNothing relevant: said to {empty:.0%} of the questions that nothing answers, to {lost:.1%} of the others, "
        f"which keeps back {default.silenced / max(1, asked):.3f} of the recall at 10. A search beside the embedding: "
        f"{statistics.median(ordered):.1f} ms p50, "
        f"{ordered[int(len(ordered) * 0.99)]:.1f} ms p99."
    )
    return _short(part, tallies, answered) if part.is_judged else []


def _short(part: Part, tallies: dict[str, Tally], answered: list[str]) -> list[str]:
    short = []
    for label, categories in [("over all", answered), *((category, [category]) for category in answered)]:
        ours = tallies[DEFAULT].mean(categories)[JUDGED]
        best = max(tallies[name].mean(categories)[JUDGED] for name in HALVES)
        if ours < best or (label == "over all" and ours == best < 1):
            short.append(f"{part.name}, {label}: {ours:.3f}, the better half {best:.3f}")
    return short


def silence(judged: Sequence[dict[str, Tally]]) -> list[str]:
    """Return what falls short of saying "nothing relevant" at the right times, over all that is judged."""
    lost = [each for tallies in judged for each in tallies[DEFAULT].empty[True]]
    empty = [each for tallies in judged for each in tallies[DEFAULT].empty[False]]
    short = []
    if lost and statistics.fmean(lost) > ANSWERABLE_LOST_MAX:
        short.append(f"{statistics.fmean(lost):.1%} of the answerable questions come back empty")
    if empty and statistics.fmean(empty) < UNANSWERABLE_EMPTY_MIN:
        short.append(f"only {statistics.fmean(empty):.0%} of the unanswerable questions come back empty")
    return short


def generated(train: Sequence[int], held_out: Sequence[int], sessions: int, cycles: int) -> list[Part]:
    makers: dict[str, Callable[[int], Corpus]] = {
        "conversations": lambda seed: conversation(seed, sessions),
        "trading memories": lambda seed: trading_run(seed, cycles),
    }
    return [
        Part(f"{name}, {label} seeds {', '.join(map(str, seeds))}", [make(seed) for seed in seeds], label != "train")
        for name, make in makers.items()
        for label, seeds in (("train", train), ("held-out", held_out))
        if seeds
    ]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a file in LoCoMo's format, instead of what is generated")
    parser.add_argument("--train", type=int, nargs="*", default=list(TRAIN_SEEDS))
    parser.add_argument("--held-out", type=int, nargs="*", default=list(HELD_OUT_SEEDS))
    parser.add_argument("--sessions", type=int, default=20, help="of a conversation; about 26 turns each")
    parser.add_argument("--cycles", type=int, default=4_000, help="bars of the generated market")
    options = parser.parse_args(arguments)
    try:
        parts = (
            [Part(f"LoCoMo's format, {options.data.name}", locomo.read(options.data), is_judged=True)]
            if options.data
            else generated(options.train, options.held_out, options.sessions, options.cycles)
        )
    except (locomo.BadData, OSError) as problem:
        print(f"--data: {problem}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as models:
        embedder = load_embedder(EmbeddingSection(allow_download=False), Path(models))
        measured = [(part, measure(part, embedder)) for part in parts]
    short = [line for part, tallies in measured for line in report(part, tallies)]
    short += silence([tallies for part, tallies in measured if part.is_judged])
    print("\n" + ("Short of: " + "; ".join(short) if short else "Every goal is met."))
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

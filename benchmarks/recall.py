"""What recall adds to a decision, and how fast its memory is there: ``python -m benchmarks.recall``.

A decision is what the kernel does for recall about one signal: the vector from 169 bars, the row of the situation, the
exact search among all stored ones, the answer and its row. Beside it in the same rounds: the same decision with recall
switched off, the bare product of such a matrix with a vector in numpy (the floor: nobody can read all vectors faster),
and the exact search of qdrant-edge over the same vectors in the same process. Rounds alternate, so that a busy machine
slows all.
"""

import argparse
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as edge
from tests.support.remembering import ALWAYS, bench_of, journey, rules

from trading.adapters.canonical import canonical_json, parse_json
from trading.adapters.memory_journal import MemoryJournal
from trading.engine.counsel import Weighed
from trading.engine.kernel import Kernel
from trading.engine.state import DeskState
from trading.model import events
from trading.model.account import TrackRecord
from trading.model.event_codec import decode, encode
from trading.model.forecast import Direction, Forecast
from trading.model.order import Signal
from trading.model.recall import RecallRules
from trading.recall.index import BLOCK_ROWS, NearestIndex
from trading.recall.memory import Book
from trading.recall.situations import DIMENSIONS, DIMENSIONS_MAX
from trading.runtime.situations import past_situations

GOAL_MS = 3.0
REBUILD_GOAL_S = 2.0
NEAREST = 50
MINT = "sim:AAA"
STRATEGY = "momentum_breakout"
ROUNDS = 5
CYCLES = 240


@dataclass
class Timed:
    """Durations in milliseconds, and processor time of the deciding thread."""

    name: str
    rows: int
    took_ms: list[float]
    used_ms: list[float]

    def cells(self) -> str:
        ordered = sorted(self.took_ms)
        p99 = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
        figures = f"{self.median_ms:.2f} | {p99:.2f} | {ordered[-1]:.2f} | {statistics.median(self.used_ms):.2f}"
        return f"| {self.name} | {self.rows:,} | {len(ordered)} | {figures} |"

    @property
    def median_ms(self) -> float:
        return statistics.median(self.took_ms)


def vectors_of(rows: int, dimensions: int) -> Any:
    """Return vectors like those of situations: levels of about one scale, a few far out."""
    chance = np.random.default_rng(7)
    return np.clip(np.rint(chance.standard_t(5, (rows, dimensions)) * 32), -256, 256).astype(np.int16)


def kernel_of(recall: RecallRules, rows: int) -> Kernel:
    """Return a kernel that saw some days of two tokens and remembers so many situations."""
    market, _ = journey(1, CYCLES)
    kernel = bench_of({}, rules(recall)).feed(market).kernel
    if recall.is_on:
        chance = np.random.default_rng(3)
        book = Book(NearestIndex(DIMENSIONS))
        book.index.fill(vectors_of(rows, DIMENSIONS), 0)
        book.ids = [f"fct_{number:024d}_up_1700000000" for number in range(rows)]
        book.times_ns = [number * 600 * 10**9 for number in range(rows)]
        book.moves_bps = chance.normal(0, 300, rows).astype(int).tolist()
        book.nets_bps = [each - 60 for each in book.moves_bps]
        kernel.state.situations._books[STRATEGY] = book
    return kernel


class Decider:
    """Decides about one signal after another, each of another moment; ``took_ms`` is without the preparation."""

    def __init__(self, kernel: Kernel) -> None:
        bar = kernel.venue.mark(MINT)
        assert bar is not None
        now_ns = kernel.state.now_ns
        plain = (STRATEGY, MINT, Direction.UP, 300, 300, 5_000, 80, 60, 300, now_ns, now_ns + 10**18, bar.close, "why")
        self._kernel = kernel
        self._signal = Signal(STRATEGY, MINT, now_ns, 0.8, 300, 3_600, "why")
        self._forecast = Forecast("fct", *plain)
        self.took_ms: list[float] = []
        self.used_ms: list[float] = []

    def __call__(self, number: int) -> None:
        kernel = self._kernel
        signal = replace(self._signal, ts_ns=self._signal.ts_ns + number)
        forecast = replace(self._forecast, id=f"fct_{number}", ts_ns=signal.ts_ns)
        weighed = Weighed(signal, TrackRecord(40, 22, 300, 200))
        kernel.state.forecasts.add("trj", forecast)
        began, began_used = time.perf_counter(), time.thread_time()
        kernel.forecaster.met(f"trj_{number}", signal, forecast)
        kernel.recaller.counsel(f"trj_{number}", weighed)
        self.took_ms.append((time.perf_counter() - began) * 1e3)
        self.used_ms.append((time.thread_time() - began_used) * 1e3)


def floor_of(rows: int) -> Callable[[int], None]:
    matrix = vectors_of(rows, DIMENSIONS_MAX).astype(np.float32)
    asked = matrix[:100].copy()
    out = np.empty(rows, np.float32)

    def product(number: int) -> None:
        for begin in range(0, rows, BLOCK_ROWS):  # in this thread, as the index does it
            np.dot(matrix[begin : begin + BLOCK_ROWS], asked[number % 100], out=out[begin : begin + BLOCK_ROWS])

    return product


def search_of(rows: int) -> Callable[[int], None]:
    """Return the search alone, in as many dimensions as there may be."""
    index = NearestIndex(DIMENSIONS_MAX)
    stored = vectors_of(rows, DIMENSIONS_MAX)
    index.fill(stored, 0)
    asked = [stored[number].tolist() for number in range(100)]

    def search(number: int) -> None:
        index.nearest(asked[number % 100], NEAREST)

    return search


def shard_of(folder: Path, rows: int) -> Callable[[int], None]:
    """Return the exact search of qdrant-edge over the same vectors."""
    parameters = edge.EdgeVectorParams(size=DIMENSIONS_MAX, distance=edge.Distance.Euclid)
    optimizers = edge.EdgeOptimizersConfig(indexing_threshold=10**9)
    shard = edge.EdgeShard.create(str(folder), edge.EdgeConfig(vectors={"": parameters}, optimizers=optimizers))
    stored = vectors_of(rows, DIMENSIONS_MAX).astype(np.float32)
    for begin in range(0, rows, 5_000):
        part = stored[begin : begin + 5_000]
        points = [edge.Point(str(uuid.UUID(int=begin + n + 1)), {"": each.tolist()}) for n, each in enumerate(part)]
        shard.update(edge.UpdateOperation.upsert_points(points))
    asked = [stored[number].tolist() for number in range(100)]
    exact = edge.SearchParams(exact=True)

    def search(number: int) -> None:
        shard.query(edge.QueryRequest(limit=NEAREST, query=edge.Query.Nearest(asked[number % 100]), params=exact))

    return search


def measure(body: Callable[[int], None], first: int, count: int) -> tuple[list[float], list[float]]:
    """Return what each took, and the processor time of this thread in it."""
    took: list[float] = []
    used: list[float] = []
    for number in range(first, first + count):
        began, began_used = time.perf_counter(), time.thread_time()
        body(number)
        took.append((time.perf_counter() - began) * 1e3)
        used.append((time.thread_time() - began_used) * 1e3)
    if isinstance(body, Decider):
        return body.took_ms[-count:], body.used_ms[-count:]
    return took, used


@dataclass(frozen=True)
class Rebuilt:
    """Processor seconds until a memory is there again: folded from rows, from a checkpoint, read from another run."""

    folded: float
    put_back: float
    read: float


def rebuilt(rows: int) -> Rebuilt:
    """Return how long each way takes with so many situations and their outcomes."""
    market, said = journey(1, CYCLES)
    bench = bench_of(said, rules(ALWAYS)).feed(market)
    met = bench.events(events.SituationMet)[0]
    scored = bench.events(events.ForecastScored)[0]
    journal = MemoryJournal()
    for number, levels in enumerate(vectors_of(rows, DIMENSIONS).tolist()):
        name, text = f"fct_{number}", ",".join(map(str, levels))
        situation = replace(met.situation, id=name, trajectory_id=f"trj_{number}", vector=text)
        for event in (events.SituationMet(situation), replace(scored, score=replace(scored.score, forecast_id=name))):
            kind, body = encode(event)
            journal.append(1, kind, body, is_plain=True)
    journal.commit()
    state, other = DeskState(rules(ALWAYS), 1), DeskState(rules(ALWAYS), 1)
    began = time.process_time()
    for row in journal.rows():
        state.apply(1, decode(row.kind, parse_json(row.body)))
    folded = time.process_time() - began
    document = canonical_json(state.situations.document())
    began = time.process_time()
    other.situations.put_back(parse_json(document))
    put_back = time.process_time() - began
    began = time.process_time()
    known = len(past_situations(journal))
    read = time.process_time() - began
    assert other.situations.known(STRATEGY) == state.situations.known(STRATEGY) == known == rows
    return Rebuilt(folded, put_back, read)


def bar_ns(kernel: Kernel) -> float:
    """Return how long one bar takes in which nobody speaks."""
    bars = list(kernel.recaller.histories.bars(MINT)) * 200
    began = time.perf_counter()
    for bar in bars:
        kernel.recaller.histories.add(bar)
    return (time.perf_counter() - began) * 1e9 / len(bars)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--many", type=int, default=1_000_000, help="the larger number; 0 leaves it out")
    parser.add_argument("--decisions", type=int, default=60, help="a round")
    options = parser.parse_args([] if argv is None else argv)
    print("| what | situations | samples | p50 ms | p99 ms | max ms | processor p50 ms |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    found: list[Timed] = []
    for rows in (options.rows, options.many):
        if rows:
            found += rounds(rows, options.decisions if rows == options.rows else max(5, options.decisions // 6))
    for each in found:
        print(each.cells())
    there = rebuilt(options.rows)
    by_name = {(each.name, each.rows): each for each in found}
    on, off = by_name["a decision, recall on", options.rows], by_name["a decision, recall off", options.rows]
    added = on.median_ms - off.median_ms
    is_met = added <= GOAL_MS
    print()
    print(
        f"Recall adds {added:.2f} ms to a decision at the median with {options.rows:,} situations of {DIMENSIONS} "
        f"dimensions (goal: at most {GOAL_MS:.0f} ms): {'met' if is_met else 'missed'}. A bar without an opinion costs "
        f"{bar_ns(kernel_of(ALWAYS, 1)):.0f} ns more. A start puts them back from its checkpoint in "
        f"{there.put_back:.2f} s of the processor (goal: {REBUILD_GOAL_S:.0f} s); reading them from another "
        f"run's rows takes {there.read:.1f}, folding their rows anew {there.folded:.1f}."
    )
    return 0 if is_met and there.put_back <= REBUILD_GOAL_S else 1


def rounds(rows: int, decisions: int) -> list[Timed]:
    with tempfile.TemporaryDirectory() as folder:
        bodies: dict[str, Callable[[int], None]] = {
            "a decision, recall off": Decider(kernel_of(RecallRules(), rows)),
            "a decision, recall on": Decider(kernel_of(ALWAYS.model_copy(update={"neighbours": NEAREST}), rows)),
            f"the search alone, {DIMENSIONS_MAX} dimensions": search_of(rows),
            f"numpy, matrix by vector, {DIMENSIONS_MAX} dimensions": floor_of(rows),
        }
        if rows <= 100_000:
            bodies[f"qdrant-edge, exact, {DIMENSIONS_MAX} dimensions"] = shard_of(Path(folder), rows)
        found = {name: Timed(name, rows, [], []) for name in bodies}
        for number in range(ROUNDS + 1):
            for name, body in bodies.items():
                took, used = measure(body, number * decisions, decisions)
                if number:  # the first round warms up
                    found[name].took_ms += took
                    found[name].used_ms += used
    return list(found.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

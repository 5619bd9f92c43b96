"""The soak finds what grows: figures that stay pass, and each that leaks is named."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from benchmarks.soak import ALLOWED, MIB, Figures, shortfalls

pytestmark = pytest.mark.requirement("Q6")

WARM = 3


def figures(period: int) -> Figures:
    """A daemon that keeps what it must: rows come, and its files grow with them."""
    kept = 10 * MIB * period
    return Figures(
        period=period,
        daemon_rss=200 * MIB + period % 2 * MIB,
        worker_rss=400 * MIB,
        worker_mapped=50 * MIB,
        blocks=950_000,
        heap_bytes=65 * MIB,
        threads=12,
        handles=40 + period % 3,
        points=1_000 * period,
        files={
            "memory": int(1.3 * kept),
            "memory log": 8 * MIB,
            "desk": int(1.7 * kept),
            "desk log": 4 * MIB,
            "index": 245 * MIB,
            "logs": MIB,
        },
        rows={"memory.outbox": 20, "desk.snapshots": 1, "memory.snapshots": 500},
        payload={"memory": kept, "desk": kept},
        pages={"memory": int(1.3 * kept), "desk": int(1.7 * kept)},
    )


def judged(leak: Callable[[Figures], Figures]) -> list[str]:
    """Return what is found after fifteen periods of which all beyond the first day leak."""
    return shortfalls([figures(each) if each <= WARM else leak(figures(each)) for each in range(1, 16)], WARM, 1_000)


def grown(name: str) -> Callable[[Figures], Figures]:
    def leak(each: Figures) -> Figures:
        return replace(each, pages={**each.pages, name: int(each.pages[name] * (1 + 0.02 * each.period))})

    return leak


def test_a_daemon_that_holds_what_it_must_is_flat() -> None:
    assert judged(lambda each: each) == []


def test_a_spike_of_one_period_is_no_growth() -> None:
    assert judged(lambda each: replace(each, worker_rss=800 * MIB) if each.period == 14 else each) == []


def test_a_first_day_with_one_low_figure_makes_no_growth_of_what_follows() -> None:
    found = [figures(each) for each in range(1, 16)]
    found[1] = replace(found[1], worker_rss=250 * MIB, daemon_rss=150 * MIB)
    assert shortfalls(found, WARM, 1_000) == []


@pytest.mark.parametrize(
    ("leak", "name"),
    [
        (lambda each: replace(each, daemon_rss=int(202 * MIB * ALLOWED) + each.period * MIB), "memory of the daemon"),
        (lambda each: replace(each, blocks=950_000 + 20_000 * each.period), "live blocks"),
        (lambda each: replace(each, heap_bytes=(65 + 3 * each.period) * MIB), "C allocator"),
        (lambda each: replace(each, worker_rss=(400 + 12 * each.period) * MIB), "index worker"),
        (lambda each: replace(each, handles=50 + each.period), "handles"),
        (lambda each: replace(each, threads=12 + each.period), "threads"),
        (grown("memory"), "the memory journal, by what"),
        (grown("desk"), "the desk journal, by what"),
        (lambda each: replace(each, files={**each.files, "index": (245 + 40 * each.period) * MIB}), "index on disk"),
        (lambda each: replace(each, files={**each.files, "memory log": 900 * MIB}), "memory journal's log"),
        (lambda each: replace(each, files={**each.files, "logs": 90 * MIB}), "the logs"),
        (lambda each: replace(each, rows={**each.rows, "memory.outbox": 5_000}), "rows in memory.outbox"),
        (lambda each: replace(each, rows={**each.rows, "desk.snapshots": 5_000}), "rows in desk.snapshots"),
        (lambda each: replace(each, rows={**each.rows, "memory.snapshots": 1_001}), "rows in memory.snapshots"),
    ],
)
def test_what_leaks_is_named(leak: Callable[[Figures], Figures], name: str) -> None:
    [found] = judged(leak)
    assert name in found

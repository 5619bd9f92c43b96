"""``make bench ONLY=growth``: what it calls flat, and what it refuses."""

from dataclasses import replace

import pytest
from benchmarks import growth, run
from benchmarks.growth import Figures

pytestmark = pytest.mark.requirement("Q5")

SMALL = Figures(10_000, 0.2, 0.5, 8.0, 6.0, 5.9, 12.0, 250.0, 10.0, 40.0)
LARGE = Figures(110_000, 0.21, 0.55, 8.8, 6.6, 6.1, 14.0, 1_203.7, 100.0, 400.0)


def test_flat_is_what_grows_by_less_than_half(capsys: pytest.CaptureFixture[str]) -> None:
    assert growth.report([SMALL, LARGE], [10.0, 90.0])
    told = capsys.readouterr().out
    assert "a write 1.05, a point 1.10, a first search 1.10, a search 1.10 (goal 1.5): met" in told
    assert "10,000 B a memory: 9.3 GiB for a million" in told

    assert not growth.report([SMALL, replace(LARGE, search_ms=9.1)], [10.0, 90.0])
    assert "a search 1.52 (goal 1.5): missed" in capsys.readouterr().out
    assert not growth.report([SMALL, replace(LARGE, first_ms=12.2)], [10.0, 90.0])
    assert "a first search 1.52, a search 1.10 (goal 1.5): missed" in capsys.readouterr().out


def test_a_namespace_keeps_its_size_as_the_memory_grows() -> None:
    names = [growth.namespace_of(number) for number in range(3 * growth.NAMESPACE_LEN)]
    assert {names.count(name) for name in set(names)} == {growth.NAMESPACE_LEN}


@pytest.mark.parametrize("sizes", [["500"], ["2000", "1000"], ["2000", "2000"]])
def test_sizes_that_do_not_grow_are_refused(sizes: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        growth.main(["--sizes", *sizes])
    assert "ascending, from 1000 on" in capsys.readouterr().err


def test_it_is_one_of_the_benchmarks() -> None:
    assert {"growth", "capacity"} <= set(run.BENCHMARKS)

"""Sixty processes killed with SIGKILL, at every step of an execution and in every weather: one swap, or proven none."""

from pathlib import Path

import anyio
import pytest
from tests.support.execution_crash import PLACES, WEATHER, Case, chosen, run_cases

KILLS = 60
PARTS = 2

pytestmark = [pytest.mark.system, pytest.mark.requirement("T10"), pytest.mark.requirement("Q4")]


@pytest.mark.parametrize("part", range(PARTS))
def test_a_process_killed_anywhere_in_any_weather_swaps_once(part: int, tmp_path: Path) -> None:
    cases = chosen(KILLS)[part::PARTS]
    wrong: list[str] = []

    def told(case: Case, problem: str) -> None:
        if problem:
            wrong.append(f"{case.name}: {problem}")

    killed = anyio.run(run_cases, cases, tmp_path, told)
    assert wrong == []
    assert killed >= len(cases)


def test_a_desk_that_signs_anew_without_a_proof_is_caught(tmp_path: Path) -> None:
    cases = [Case("landed late", dies, is_hasty=True) for dies in ("after send", "after status")]
    problems: list[str] = []
    anyio.run(run_cases, cases, tmp_path, lambda _case, problem: problems.append(problem))
    assert [" swaps" in problem for problem in problems] == [True] * len(cases), problems


def test_the_sixty_meet_each_step_and_each_weather() -> None:
    cases = chosen(KILLS)
    assert len(cases) == KILLS
    assert {case.weather for case in cases} == set(WEATHER)
    assert {case.dies for case in cases} >= set(PLACES)

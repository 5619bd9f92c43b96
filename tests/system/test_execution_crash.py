"""Sixty processes killed with SIGKILL, at every step of an execution and in every weather: one swap or a proven none."""

from pathlib import Path

import anyio
import pytest
from tests.support.execution_crash import PLACES, WEATHER, Case, chosen, run_cases

KILLS = 60


@pytest.mark.system
@pytest.mark.requirement("T10")
@pytest.mark.requirement("Q4")
@pytest.mark.timeout(300)
def test_a_process_killed_anywhere_in_any_weather_swaps_once(tmp_path: Path) -> None:
    cases = chosen(KILLS)
    assert {case.weather for case in cases} == set(WEATHER)
    assert {case.dies for case in cases} >= set(PLACES)
    wrong: list[str] = []

    def told(case: Case, problem: str) -> None:
        if problem:
            wrong.append(f"{case.name}: {problem}")

    killed = anyio.run(run_cases, cases, tmp_path, told)
    assert wrong == []
    assert killed >= KILLS

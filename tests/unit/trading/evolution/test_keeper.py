"""The keeper of the background search: what it hears, what it starts again, and that it leaves nothing behind."""

import json
import os
import sys
from pathlib import Path

import pytest
from tests.support.searching import until

from trading.evolution import keeper as keeping
from trading.evolution.keeper import Keeper, kept

pytestmark = pytest.mark.anyio

SAYS = """
import json, os, sys
told = json.loads(sys.stdin.readline())
open(told["mark"], "a").write(f"{os.getpid()}\\n")
print("a library says something", flush=True)
print(json.dumps([1]), flush=True)
for done in (1, 2):
    print(json.dumps({"strategy": "a", "phase": "searching", "done": done, "cpu_s": done / 2, "pid": 1}), flush=True)
"""
GOES_ON = SAYS + "sys.stdin.read()\n"
STUBBORN = SAYS + "import time; time.sleep(600)\n"


def of(script: str, mark: Path) -> Keeper:
    return Keeper(json.dumps({"mark": str(mark)}).encode() + b"\n", 10, (sys.executable, "-c", script))


async def until_lines(mark: Path, count: int) -> list[int]:
    await until(lambda: mark.exists() and len(mark.read_text().split()) >= count)
    return [int(each) for each in mark.read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("script", [GOES_ON, STUBBORN])
async def test_what_it_says_is_shown_and_it_ends_with_the_block(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "END_S", 0.2)
    mark = tmp_path / "mark"
    async with kept(of(script, mark)) as document:
        assert document()["state"] == "starting"
        (pid,) = await until_lines(mark, 1)
        await until(lambda: document()["cpu_s"] >= 1.0)
        assert document() == {
            "state": "running",
            "cpu_budget_percent": 10,
            "cpu_s": 1.0,
            "restarts": 0,
            "searches": [{"strategy": "a", "phase": "searching", "done": 2}],
        }
    assert not is_alive(pid)


async def test_one_that_dies_is_started_again_and_one_that_never_speaks_stays_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "RESTART_S", 0.0)
    monkeypatch.setattr(keeping, "RESTARTS_MAX", 2)
    mark = tmp_path / "mark"
    async with kept(of(SAYS, mark)) as document:
        pids = await until_lines(mark, 3)  # a fourth may be there by the time they are read
        assert len(set(pids)) == len(pids)
        assert document()["restarts"] >= 2
    async with kept(of("raise SystemExit(3)", mark)) as document:
        await until(lambda: document()["state"] == "down")
        assert document()["restarts"] == 2
    none = Keeper(b"{}\n", 10, (str(tmp_path / "no-such-program"),))
    async with kept(none) as document:
        await until(lambda: document()["state"] == "down")

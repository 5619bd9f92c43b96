"""How a process ends that has ended in order."""

import subprocess
import sys

SCRIPT = """
import atexit, sys, threading, time
from memmcp_server.daemon.leaving import Leave

class TakenApart:
    def __del__(self):
        print("taken apart")

leave = Leave()
kept = TakenApart()
atexit.register(print, "asked to be called")
threading.Thread(target=lambda: (time.sleep(0.1), print("waited for"))).start()
{more}
"""


def _ended(more: str) -> tuple[int, list[str]]:
    script = SCRIPT.format(more=more)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    return ended.returncode, ended.stdout.splitlines()


def test_who_asked_is_called_and_nothing_is_taken_apart_after_an_orderly_end() -> None:
    assert _ended("leave.code = 3; sys.exit(3)") == (3, ["waited for", "asked to be called"])


def test_without_a_code_a_process_ends_as_any_other() -> None:
    assert _ended("sys.exit(4)") == (4, ["waited for", "asked to be called", "taken apart"])


def test_an_error_keeps_its_trace_and_its_code() -> None:
    code, lines = _ended("raise RuntimeError")
    assert (code, lines[-1]) == (1, "taken apart")

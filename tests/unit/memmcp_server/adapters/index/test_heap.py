"""Freed memory goes back to the system."""

import ctypes
import subprocess
import sys

import pytest

from memmcp_server.adapters.index.heap import release_freed

FILL_AND_FREE = """
import ctypes, sys
from pathlib import Path
from memmcp_server.adapters.index.heap import release_freed
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
blocks = [libc.malloc(65_536) for _ in range(1_600)]
for block in blocks:
    ctypes.memset(ctypes.c_void_p(block), 1, 65_536)
for block in blocks[:-1]:
    libc.free(block)
def resident(): return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
before = resident()
release_freed()
print(before - resident())
"""


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="needs glibc")
def test_what_was_freed_under_something_still_in_use_is_given_back() -> None:
    ran = subprocess.run([sys.executable, "-c", FILL_AND_FREE], capture_output=True, text=True, check=True)
    assert int(ran.stdout) > 50_000_000


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", None)
    release_freed()

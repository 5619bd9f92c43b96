"""The allocator of a long-lived daemon gives back what was freed, unless the operator has decided otherwise."""

import subprocess
import sys

import pytest

from memmcp_server.daemon.allocator import hold_little

SCATTERED = """
import ctypes, sys, threading
from memmcp_server.daemon.allocator import hold_little

if sys.argv[1] == "holds little":
    assert hold_little({})

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

def scatter(held):
    # Blocks of changing sizes, most of which are freed: what stays lies between.
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    for large in range(7):
        blocks = [libc.malloc(131072 + 8192 * (large % 7)) for _ in range(8)]
        for block in blocks:
            ctypes.memset(block, 1, 131072)
        held.append(libc.malloc(64))
        for block in blocks:
            libc.free(block)

before = resident()
for _ in range(2):
    threads = [threading.Thread(target=scatter, args=([],)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone has this allocator")
@pytest.mark.requirement("Q6")
def test_what_many_threads_have_freed_goes_back_to_the_system() -> None:
    def grown(how: str) -> int:
        return int(subprocess.run([sys.executable, "-c", SCATTERED, how], capture_output=True, check=True).stdout)

    assert grown("holds little") < grown("as it is") / 2


def test_an_operator_who_has_set_the_allocator_is_obeyed() -> None:
    assert hold_little({"MALLOC_ARENA_MAX": "4"}) is False

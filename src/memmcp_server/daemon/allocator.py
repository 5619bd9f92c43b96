"""Keep glibc from holding on to what was freed.

Each thread of a daemon that runs for months gets an arena of its own, and blocks of any size are cut from them: what is
free lies between what is not, and the process grows by tens of megabytes though nothing more is in use (measured by
``make soak``). With few arenas, and blocks from 128 KiB on mapped by themselves, what is freed goes back.
"""

import ctypes
import sys
from collections.abc import Mapping
from typing import Final

PREFIX: Final = "MALLOC_"
"""An operator who has set any variable of the allocator has decided."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""From ``malloc.h``. Setting a threshold also keeps it from growing by itself."""

ARENAS_MAX: Final = 2
THRESHOLD_BYTES: Final = 128 * 1024


def hold_little(environ: Mapping[str, str]) -> bool:
    """Tell the allocator, before most threads are made; return whether there was one that listens."""
    if sys.platform != "linux" or any(name.startswith(PREFIX) for name in environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wished = ((M_ARENA_MAX, ARENAS_MAX), (M_MMAP_THRESHOLD, THRESHOLD_BYTES), (M_TRIM_THRESHOLD, THRESHOLD_BYTES))
    taken = [mallopt(name, value) == 1 for name, value in wished]
    return all(taken)

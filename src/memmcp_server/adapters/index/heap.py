"""Memory that was freed and not given back.

The C library keeps what its users free. Loading a model frees about 60 MB of intermediate weights, and each thread that
embedded a large batch leaves some: together more than the model itself takes.
"""

import contextlib
import ctypes
import sys


def release_freed() -> None:
    """Give freed memory back to the system where the C library is glibc; elsewhere do nothing."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(AttributeError, OSError):  # musl has no malloc_trim
        ctypes.CDLL(None).malloc_trim(0)

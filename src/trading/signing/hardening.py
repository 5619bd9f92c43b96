"""What a process does so that its memory stays its own: no dumps, no tracing, no swapping where the system lets it."""

import ctypes
import resource
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4
_PR_GET_DUMPABLE: Final = 3
_PR_SET_NO_NEW_PRIVS: Final = 38
_MCL_CURRENT: Final = 1
_MCL_FUTURE: Final = 2


def harden() -> tuple[str, ...]:
    """Close the process's memory to others of its user; return what could not be done, in words."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return ("this system has no switch against tracing that we know",)
    missing = []
    libc = ctypes.CDLL(None, use_errno=True)
    # Not dumpable: no core, no ptrace and no /proc/PID/mem for others of the same user.
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 or libc.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) != 0:
        missing.append("tracing and core dumps could not be switched off")
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        missing.append("new privileges could not be given up")
    # With a limit, a later allocation would fail instead of being swappable: then nothing is locked.
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY:
        missing.append("memory may be swapped (LimitMEMLOCK=infinity allows to lock it)")
    elif libc.mlockall(_MCL_CURRENT | _MCL_FUTURE) != 0:
        missing.append("memory may be swapped (it could not be locked)")
    return tuple(missing)

"""The processor's floating-point registers, as the rest of the process wants them.

The virtual machine leaves the x87 registers of x86 as MMX instructions do, all in use (seen with solders 0.26 on
x86-64). Whoever computes there next gets no number: SQLite reads ``1.5`` as NULL, numpy warns of an invalid value.
"""

import ctypes
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_ALL_FLAGS: Final = 0x3D
"""``FE_ALL_EXCEPT`` of fenv.h on x86."""


def _clearing() -> Callable[[], None]:
    """Return what sets the registers free: a computation that needs several of them leaves those empty behind it."""
    if platform.machine().lower() not in {"x86_64", "amd64"} or platform.libc_ver()[0] != "glibc":
        return lambda: None
    try:
        library = ctypes.CDLL("libm.so.6")
    except OSError:
        return lambda: None
    power = library.powl
    power.argtypes, power.restype = (ctypes.c_longdouble, ctypes.c_longdouble), ctypes.c_longdouble

    def clear() -> None:
        power(2.5, 0.3)
        power(2.5, 0.3)
        library.feclearexcept(_ALL_FLAGS)

    return clear


_clear: Final = _clearing()


@contextmanager
def registers_kept() -> Iterator[None]:
    """Leave the registers empty after the block, whatever was computed in it."""
    try:
        yield
    finally:
        _clear()

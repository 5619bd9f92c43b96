"""``memmcp serve`` as the soak runs it: a wall clock that can be set wrong, a feed that can fall silent, and on SIGUSR1
memory that is not needed goes back to the system, so that what stays is what is held.

Only this process is bent; the product has no such seam. The clock is bent before anything of the product is imported,
since some of it takes the clock as a default when it is loaded. Waits by the monotonic clock stay true.
"""

import ctypes
import gc
import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from benchmarks.soak_control import VARIABLE, Control

NS_PER_S = 10**9
PAUSE_S = 0.05
ROUND_VARIABLE = "SOAK_ROUND_S"
"""Seconds between the rounds of what tends old rows, which in the product is minutes: a day passes faster here."""


OBJECTS_VARIABLE = "SOAK_OBJECTS"
"""A file to which the numbers of objects are written at the end of each period, to find what is held."""
TYPES_MAX = 400
MALLINFO = (
    *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
    *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
)


def bend_clock(control: Control) -> None:
    time_ns, time_s = time.time_ns, time.time
    time.time_ns = lambda: time_ns() + control.offset_ns
    time.time = lambda: time_s() + control.offset_ns / NS_PER_S


def let_feed_fall_silent(control: Control) -> None:
    import anyio

    from trading.runtime import sources
    from trading.runtime.sources import Cycle, PacedSource

    inner = PacedSource.next

    async def next_unless_silent(source: PacedSource) -> list[Cycle] | None:
        batch = await inner(source)
        while control.is_silent:
            await anyio.sleep(PAUSE_S)
        return batch

    sources.PacedSource.next = next_unless_silent  # type: ignore[method-assign]


def hasten(round_s: float) -> None:
    from memmcp_server.services import retention, thinning

    thinning.ROUND_S = retention.ROUND_S = round_s  # type: ignore[misc]


def tidy_on_signal(control: Control) -> None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)

    def tidy(*_: object) -> None:
        gc.collect()
        if trim is not None:
            trim(0)
        if place := os.environ.get(OBJECTS_VARIABLE):
            _count_objects(Path(place))
        control.blocks = sys.getallocatedblocks()
        control.heap_bytes = _allocated().get("malloc used", 0)
        control.tidied += 1

    signal.signal(signal.SIGUSR1, tidy)


def _count_objects(place: Path) -> None:
    """Append how many objects of each type there are, the most first: what grows from line to line is held."""
    found = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects())
    told = {"python blocks": sys.getallocatedblocks(), **_allocated(), **dict(found.most_common(TYPES_MAX))}
    with place.open("a", encoding="utf-8") as file:
        file.write(f"{json.dumps(told)}\n")


class _Allocated(ctypes.Structure):
    """``struct mallinfo2`` of glibc."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in MALLINFO)


def _allocated() -> dict[str, int]:
    """Return the bytes that the C allocator has given out, and what it holds free; nothing where it cannot say."""
    ask = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if ask is None:
        return {}
    ask.restype = _Allocated
    told = ask()
    return {"malloc used": told.uordblks + told.hblkhd, "malloc free": told.fordblks, "malloc arena": told.arena}


def main() -> None:
    control = Control.at(os.environ[VARIABLE])
    bend_clock(control)
    tidy_on_signal(control)
    let_feed_fall_silent(control)
    if round_s := os.environ.get(ROUND_VARIABLE):
        hasten(float(round_s))
    from memmcp_server.adapters.index import worker_index
    from memmcp_server.cli import app

    worker_index.WORKER_MODULE = "benchmarks.soak_worker"
    sys.argv[0] = "memmcp"
    app()


if __name__ == "__main__":
    main()

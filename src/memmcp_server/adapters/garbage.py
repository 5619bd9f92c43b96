"""When the interpreter looks for cycles that nobody reaches any more: not while it imports.

Importing makes hundreds of thousands of objects that stay. The collector walks over all of them again and again as they
come, a fifth of the processor time of a start, and finds next to nothing. Afterwards they are put aside for good: a
full collection in a daemon that runs for months walks over what came since, not over its libraries.
"""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_counting = threading.Lock()
_holders = 0


@contextmanager
def uncollected() -> Iterator[None]:
    """Make no collection while the block runs; what is there when the last such block ends is never looked at again."""
    global _holders
    with _counting:
        _holders += 1
        gc.disable()
    try:
        yield
    finally:
        with _counting:
            _holders -= 1
            if _holders == 0:
                gc.freeze()
                gc.enable()

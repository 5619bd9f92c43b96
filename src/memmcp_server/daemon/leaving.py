"""The last step of a process that has ended in order.

An interpreter that ends takes everything apart, object by object: half a second of processor time for a daemon, which
frees nothing that the kernel would not free at once.
"""

import atexit
import logging
import os
import sys


class Leave:
    """Once ``code`` is set, end the process with it instead of taking it apart.

    Make one before anything else asks to be called at the end: the first to ask is called last, so that all the others
    have had their turn by then. Threads that are no daemons have been waited for. With no code, nothing is different.
    """

    def __init__(self) -> None:
        self.code: int | None = None
        # Whoever counts lines or profiles asked before the program began, and would not have its turn.
        if sys.gettrace() is None and sys.getprofile() is None and "coverage" not in sys.modules:
            atexit.register(self._now)

    def _now(self) -> None:
        if self.code is None:
            return
        logging.shutdown()  # it asked earlier than we did where it was imported first
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (AttributeError, OSError, ValueError):  # there is none, or nobody reads it any more
                continue
        os._exit(self.code)

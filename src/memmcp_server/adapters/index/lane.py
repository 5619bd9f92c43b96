"""A bounded queue with one thread: jobs of one lane run in order, lanes never wait for each other."""

import os
import queue
import sys
import threading
from collections.abc import Callable


class Lane:
    """``niceness`` above 0 lets the threads of other lanes go first where the system knows priorities of threads."""

    def __init__(self, name: str, *, queue_len_max: int, niceness: int = 0) -> None:
        self._jobs: queue.Queue[Callable[[], None]] = queue.Queue(queue_len_max)
        self._niceness = niceness
        # A daemon thread: when the parent is gone, nothing that still runs may keep the process.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, job: Callable[[], None]) -> bool:
        """Return False when the lane is full; nothing was queued then."""
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            return False
        return True

    def _run(self) -> None:
        if self._niceness and sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._niceness)
        while True:
            self._jobs.get()()

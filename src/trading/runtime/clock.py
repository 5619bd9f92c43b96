"""Wall time, for pacing and ages. The kernel never asks it."""

import time


class WallClock:
    """Body of ``ports.Clock``."""

    def now_ns(self) -> int:
        return time.time_ns()

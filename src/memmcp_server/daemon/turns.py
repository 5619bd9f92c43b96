"""How long a thread may keep the interpreter while another waits for it.

The trading loop and every answer run in one thread; rows are read, hashed and encoded in others. Whoever waits for the
interpreter lock asks for it only after the switch interval, 5 ms by default: longer than a whole decision takes
(``benchmarks.tracing``: with it every hand-over to a thread that decodes rows may cost the loop 5 ms).
"""

import sys
from typing import Final

SWITCH_INTERVAL_S: Final = 0.0005


def take_short_turns() -> None:
    """Tell the interpreter of a process in which a loop must not wait for threads that compute."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)

"""How long a thread keeps the interpreter."""

import sys

from memmcp_server.daemon.turns import take_short_turns


def test_a_loop_waits_for_a_thread_that_computes_less_than_a_decision_takes() -> None:
    before_s = sys.getswitchinterval()
    try:
        take_short_turns()
        assert sys.getswitchinterval() < 0.001
    finally:
        sys.setswitchinterval(before_s)

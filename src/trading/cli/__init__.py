"""``memmcp-trade``: everything an operator does with the desk, and runs that need no daemon.

Exit codes: 0 done, 1 failed, 2 wrong use, 3 nothing reachable.
"""

from trading.cli.root import app

__all__ = ["app"]

"""``python -m memmcp_server.daemon --data-dir DIR``: what a bridge starts when no daemon is there."""

import sys

from .leaving import Leave
from .start import main

if __name__ == "__main__":
    leave = Leave()
    leave.code = main(sys.argv[1:])
    sys.exit(leave.code)

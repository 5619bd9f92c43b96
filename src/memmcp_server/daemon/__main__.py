"""``python -m memmcp_server.daemon --data-dir DIR``: what a bridge starts when no daemon is there."""

import sys

from .start import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

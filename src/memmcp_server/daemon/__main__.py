"""``python -m memmcp_server.daemon --data-dir DIR``: what a bridge starts when no daemon is there."""

import sys

from .leaving import Leave

if __name__ == "__main__":
    leave = Leave()
    from .late_models import make_models_late

    make_models_late()
    from .start import main  # not before: it brings the first models

    leave.code = main(sys.argv[1:])
    sys.exit(leave.code)

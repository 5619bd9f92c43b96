"""``memmcp stdio`` over the control daemon."""

import sys
from pathlib import Path

from memmcp_server.daemon.bridge import main

ROOT = Path(__file__).resolve().parents[2]
DAEMON = (
    f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.system.premature_daemon import run; sys.exit(run())"
)
"""A daemon starts in its data directory, from where the tests cannot be imported by name."""

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], (sys.executable, "-c", DAEMON)))

"""What a daemon does not load before it needs it."""

import subprocess
import sys

import pytest


@pytest.mark.requirement("Q6")
def test_a_daemon_without_parquet_files_does_not_hold_their_library() -> None:
    code = "import sys, trading.feeds.replay, trading.feeds.bar_store; print('pyarrow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"

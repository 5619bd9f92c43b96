"""The limit of open files is raised as far as the streams need it, in a process of its own: it cannot be put back."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")

SCRIPT = """
import logging, resource, sys
logging.basicConfig(format="%(levelname)s", stream=sys.stdout)
soft, hard, streams = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
from memmcp_server.daemon.descriptors import allow_descriptors
print(allow_descriptors(streams), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "streams", "said"),
    [
        (256, 4_096, 200, "712 712 4096"),
        (1_024, 4_096, 200, "1024 1024 4096"),
        (256, 600, 200, "WARNING\n600 600 600"),
    ],
    ids=["raised", "enough already", "as far as it may"],
)
def test_what_is_allowed_is_raised_to_what_is_needed(soft: int, hard: int, streams: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(soft), str(hard), str(streams)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == said

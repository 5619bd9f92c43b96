"""What a daemon does not load before it needs it."""

import subprocess
import sys
from typing import Final

import pytest

LATE: Final = (
    *("alembic", "apprise", "ccxt", "detect_secrets", "fastembed", "huggingface_hub", "jinja2", "jwt", "langfuse"),
    *("mako", "numba", "numpy", "onnxruntime", "optuna", "pandas", "prometheus_client", "psycopg", "pyarrow"),
    *("qdrant_client", "qdrant_edge", "requests", "rich", "scipy", "solders", "trading", "typer", "web3", "yaml"),
)
"""The desk is among them: it is imported in a thread, when agents are served already."""


@pytest.mark.requirement("Q6")
def test_a_daemon_serves_before_it_has_loaded_what_only_some_calls_need() -> None:
    code = (
        "import sys, memmcp_server.daemon.start, memmcp_server.daemon.host, memmcp_server.daemon.late_models\n"
        "print([each for each in sys.argv[1:] if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, *LATE], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"

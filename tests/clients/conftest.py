"""One daemon with a trading desk for all clients, and the npm clients that `make test` installs."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.agents import ROOT, Agent, data_directory, environment, http_client, until

HERE = Path(__file__).resolve().parent
DESK_TIMEOUT_S = 60
CLIENT_TIMEOUT_S = 60


@dataclass(frozen=True)
class Daemon:
    """``stdio`` is what a client's configuration would name; ``url`` is without a trailing slash."""

    data_dir: Path
    url: str
    environ: dict[str, str]

    @property
    def stdio(self) -> list[str]:
        return [sys.executable, "-m", "memmcp_server", "stdio", "--data-dir", str(self.data_dir)]

    def target(self, transport: str) -> list[str]:
        return self.stdio if transport == "stdio" else [self.url]


@pytest.fixture(scope="session")
def daemon() -> Iterator[Daemon]:
    """A daemon that trades the synthetic market; it was started by an agent, as at a user's desk."""
    environ = environment({"MEMMCP_TRADING__ENABLED": "true", "MEMMCP_TRADING__FEED": "synthetic"})
    with data_directory() as data_dir:
        agent = Agent(data_dir, environ=environ)
        try:
            agent.initialize(DESK_TIMEOUT_S)
            status = http_client(data_dir).get("/admin/status")
            until(lambda: http_client(data_dir).get("/admin/status")["trading"].get("run_id"), DESK_TIMEOUT_S)
            yield Daemon(data_dir, str(status["http"]).rstrip("/"), environ)
        finally:
            agent.close()


@pytest.fixture(scope="session")
def node() -> str:
    """Node.js as set-up found or installed it; without the npm clients the message says what to run."""
    if not (HERE / "node_modules").is_dir():
        pytest.fail(f"{HERE.relative_to(ROOT)}/node_modules is missing: run make clients (or npm ci there)")
    found = shutil.which("node") or shutil.which("node", path=str(Path(sys.executable).parent))
    if found is None:
        pytest.fail("there is no Node.js: run make clients, which installs one into .venv")
    return found


def run_node(node: str, *command: str, daemon: Daemon) -> subprocess.CompletedProcess[str]:
    """Run a program of the npm clients beside the daemon; what it printed is in the result."""
    return subprocess.run(
        [node, *command],
        cwd=HERE,
        env=daemon.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=CLIENT_TIMEOUT_S,
        check=False,
    )

"""One daemon with a trading desk for all clients, and the npm clients that `make test` installs."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from memmcp_server.errors import MemoryServerError
from tests.support.agents import ROOT, data_directory, environment, http_client, until
from tests.support.daemons import served

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
    """A daemon as a person starts it, trading the synthetic market at twenty minutes a second.

    It has sold something within ten seconds. More would keep a processor from the clients for as long as they run.
    """
    environ = environment({"MEMMCP_TRADING__ENABLED": "true", "TRADING_PAPER__SPEED": "1200"})
    with data_directory() as data_dir, served(data_dir, "--feed", "synthetic", environ=environ):
        until(lambda: is_trading(data_dir), DESK_TIMEOUT_S)
        url = str(http_client(data_dir).get("/admin/status")["http"]).rstrip("/")
        yield Daemon(data_dir, url, environ)


def is_trading(data_dir: Path) -> bool:
    """Return whether the daemon answers and its desk is up."""
    try:
        return bool(http_client(data_dir).get("/admin/status")["trading"].get("run_id"))
    except MemoryServerError:
        return False


@pytest.fixture(scope="session")
def node() -> str:
    """The Node.js that set-up installed beside the npm clients: the Inspector needs a newer one than many machines."""
    bundled = HERE / "node_modules" / ".bin" / "node"
    if not bundled.exists():
        pytest.fail(f"{bundled.relative_to(ROOT)} is missing: run make clients (or npm ci in tests/clients)")
    return str(bundled)


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

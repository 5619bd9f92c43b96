"""The official MCP conformance suite, every scenario of both protocol eras, against the daemon's own application.

Nothing is excused. The suite's fixtures (``tests/support/conformance.py``) are added to the server before it is served;
``test_a_plain_daemon`` runs what needs none of them against a daemon as it is.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from memmcp_server.tools.server import MemoryServer
from memmcp_server.web.app import McpDoor
from tests.support.agents import ROOT
from tests.support.conformance import Resumable, add_fixtures
from tests.support.stage import served, staged

from .conftest import Daemon

pytestmark = [pytest.mark.system, pytest.mark.requirement("A3")]
HERE = Path(__file__).resolve().parent
SUITE_TIMEOUT_S = 180
PASSED = {"2025-11-25": 84, "2026-07-28": 152}
"""How many checks there are, so that a suite that ran less is noticed."""
WITHOUT_FIXTURES = (
    "server-initialize",
    "server-session-lifecycle",
    "ping",
    "tools-list",
    "resources-list",
    "prompts-list",
    "dns-rebinding-protection",
)


@dataclass(frozen=True)
class Outcome:
    """Checks of a run by what came of them; ``failed`` names scenario, check and error."""

    passed: int
    failed: tuple[str, ...]


def run_suite(node: str, url: str, place: Path, *options: str) -> Outcome:
    """Run the suite against a server and read every check that it wrote down."""
    command = [node, "node_modules/.bin/conformance", "server", "--url", f"{url}/mcp", "-o", str(place), *options]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=SUITE_TIMEOUT_S, check=False)
    passed, failed = 0, []
    for file in sorted(place.rglob("checks.json")):
        for check in json.loads(file.read_text()):
            if check["status"] == "SUCCESS":
                passed += 1
            elif check["status"] in ("FAILURE", "WARNING"):
                told = check.get("errorMessage") or json.dumps(check.get("details"))[:300]
                failed.append(f"{file.parent.name}: {check['id']} ({check['status']}): {told}")
    if done.returncode and not failed:
        failed.append(f"exit code {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
    return Outcome(passed, tuple(failed))


@pytest.mark.anyio
@pytest.mark.parametrize("version", sorted(PASSED))
async def test_every_scenario_of_the_era_passes(version: str, node: str, tmp_path: Path) -> None:
    def as_door(server: MemoryServer) -> McpDoor:
        add_fixtures(server)
        return Resumable(server)

    async with staged(tmp_path / "data", as_door=as_door) as stage, served(stage.app) as url:
        options = ("--suite", "all", "--spec-version", version)
        outcome = await anyio.to_thread.run_sync(run_suite, node, url, tmp_path / "checks", *options)
    assert outcome.failed == ()
    assert outcome.passed == PASSED[version]


@pytest.mark.parametrize("scenario", WITHOUT_FIXTURES)
def test_a_plain_daemon_passes_what_needs_no_fixture(scenario: str, daemon: Daemon, node: str, tmp_path: Path) -> None:
    outcome = run_suite(node, daemon.url, tmp_path, "--scenario", scenario)
    assert outcome.failed == ()
    assert outcome.passed > 0


def test_the_suite_is_the_pinned_one() -> None:
    wanted = json.loads((HERE / "package.json").read_text())["dependencies"]["@modelcontextprotocol/conformance"]
    found = json.loads((HERE / "node_modules/@modelcontextprotocol/conformance/package.json").read_text())["version"]
    assert wanted == found
    assert (ROOT / "tests/clients/package-lock.json").exists()

"""Both generations of the TypeScript SDK over every transport; they check each answer against its output schema."""

import json

import pytest

from memmcp_server.tools.server import tool_specs

from .conftest import Daemon, run_node

pytestmark = pytest.mark.system


@pytest.mark.requirement("A3")
@pytest.mark.parametrize("transport", ["stdio", "http", "sse"])
@pytest.mark.parametrize("generation", ["sdk", "client"])
def test_the_typescript_client_lists_and_calls_the_tools(
    daemon: Daemon, node: str, generation: str, transport: str
) -> None:
    done = run_node(node, "use_memory.mjs", generation, transport, *daemon.target(transport), daemon=daemon)
    assert done.returncode == 0, done.stderr
    saw = json.loads(done.stdout)
    assert saw["server"]["name"] == "memmcp"
    assert saw["tools"] == [spec.name for spec in tool_specs()]
    assert "telemetry://latest" in saw["resources"]
    assert saw["templates"] >= 5
    hits = {hit["id"]: hit for hit in saw["found"]["hits"]}
    assert hits[saw["written"]["id"]]["agent"] == f"ts-{generation}-{transport}"
    assert saw["written"]["id"] in saw["foundText"]
    assert saw["state"]["money"] == saw["latest"]["money"] == "paper"
    assert saw["refused"]["isError"] is True
    assert "limit" in saw["refused"]["text"]

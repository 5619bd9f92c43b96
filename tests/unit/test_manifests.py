"""What registries and desktop clients read: made from the code, and the same version everywhere."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from scripts import bundle, manifests

from memmcp_server import __version__
from memmcp_server.cli.client_files import cursor_link
from memmcp_server.tools.server import tool_specs

README = (manifests.ROOT / "README.md").read_text("utf-8")


def test_the_registry_entry_is_what_the_code_says() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "scripts.manifests", "--check"], cwd=manifests.ROOT, capture_output=True, text=True
    )
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.requirement("A4")
def test_the_registry_entry_keeps_to_the_rules_of_the_registry() -> None:
    """The rules of the schema of 2025-12-11 that an entry of this kind can break."""
    entry: dict[str, Any] = json.loads(manifests.SERVER_JSON.read_text("utf-8"))
    assert entry["$schema"].endswith("/2025-12-11/server.schema.json")
    assert re.fullmatch(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", entry["name"])
    assert 3 <= len(entry["name"]) <= 200
    assert 1 <= len(entry["description"]) <= 100
    assert 1 <= len(entry["title"]) <= 100
    assert set(entry) == {"$schema", "name", "title", "description", "version", "packages"}
    [package] = entry["packages"]
    assert {"registryType", "identifier", "version", "transport"} <= set(package)
    assert package["transport"] == {"type": "stdio"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"])  # neither "latest" nor a range
    assert all(argument["type"] == "positional" and argument["value"] for argument in package["packageArguments"])
    for variable in package["environmentVariables"]:
        assert variable["name"]
        assert variable["format"] in ("string", "number", "boolean", "filepath")


def test_the_version_and_the_name_are_one() -> None:
    entry = json.loads(manifests.SERVER_JSON.read_text("utf-8"))
    versions = {
        "package": __version__,
        "pyproject.toml": manifests.project()["version"],
        "server.json": entry["version"],
        "server.json, package": entry["packages"][0]["version"],
        "bundle": manifests.bundle_manifest()["version"],
    }
    assert set(versions.values()) == {__version__}, versions
    assert entry["packages"][0]["identifier"] == manifests.project()["name"]
    assert f"<!-- mcp-name: {entry['name']} -->" in README


def test_the_bundle_names_every_tool_and_starts_the_bridge() -> None:
    manifest = manifests.bundle_manifest()
    assert [tool["name"] for tool in manifest["tools"]] == [spec.name for spec in tool_specs()]
    assert manifest["server"]["mcp_config"]["args"][-1] == manifest["server"]["entry_point"] == "server.py"
    assert '"stdio"' in bundle.ENTRY


def test_the_button_for_cursor_starts_the_bridge() -> None:
    query = cursor_link({"command": "memmcp", "args": ["stdio"]}).partition("?")[2]
    assert (
        f"https://cursor.com/en/install-mcp?{query}" in README
    )  # a page of cursor: is no link where READMEs are shown

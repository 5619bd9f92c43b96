"""What registries and desktop clients read about memMCP, made from the code: ``server.json`` and the bundle's manifest.

``python scripts/manifests.py`` writes server.json, ``--check`` only compares.
"""

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

from memmcp_server import __version__
from memmcp_server.tools.server import tool_specs

ROOT = Path(__file__).resolve().parent.parent
SERVER_JSON = ROOT / "server.json"
REGISTRY_NAME = "io.github.memmcp/memmcp"
"""The name in the MCP registry; its owner has to be the account that publishes. README.md repeats it."""

SHORT = "One shared memory and one Solana trading desk (paper by default) for all of a person's agents."
LONG = (
    "What one agent writes, every other finds at once, by meaning and by words. A trading loop runs inside the server, "
    "on paper unless a person arms it on a terminal; every signal, verdict and fill goes into that memory, so that an "
    "agent can ask why. All clients of a machine share one daemon, which the first of them starts."
)


def project() -> dict[str, Any]:
    document: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return document


def server_json() -> dict[str, Any]:
    """Return the entry for the MCP registry (schema of 2025-12-11)."""
    data_dir = {
        "name": "MEMMCP_DATA_DIR",
        "description": "Where memory and desk lie; the same for all clients. Default: the user's data folder.",
        "format": "filepath",
        "isRequired": False,
    }
    package = {
        "registryType": "pypi",
        "identifier": project()["name"],
        "version": __version__,
        "runtimeHint": "uvx",
        "packageArguments": [{"type": "positional", "value": "stdio"}],
        "transport": {"type": "stdio"},
        "environmentVariables": [data_dir],
    }
    return {
        "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
        "name": REGISTRY_NAME,
        "title": "memMCP",
        "description": SHORT,
        "version": __version__,
        "packages": [package],
    }


def bundle_manifest() -> dict[str, Any]:
    """Return the manifest of the bundle for desktop clients (manifest version 0.4, run by uv).

    There is no setting in it: the bundle uses the data directory that every other client uses, so that the memory is
    one.
    """
    own = project()
    return {
        "manifest_version": "0.4",
        "name": "memmcp",
        "display_name": "memMCP",
        "version": __version__,
        "description": SHORT,
        "long_description": LONG,
        "author": {"name": "The memMCP authors"},
        "license": own["license"],
        "keywords": own["keywords"],
        "server": {
            "type": "uv",
            "entry_point": "server.py",
            "mcp_config": {"command": "uv", "args": ["run", "--directory", "${__dirname}", "server.py"]},
        },
        "tools": [{"name": spec.name, "description": spec.description} for spec in tool_specs()],
        "prompts_generated": True,
        "compatibility": {"platforms": ["darwin", "linux"], "runtimes": {"python": own["requires-python"]}},
    }


def dumped(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    text = dumped(server_json())
    if arguments == ["--check"]:
        if SERVER_JSON.read_text("utf-8") != text:
            print("server.json is not what the code says: run `make docs`", file=sys.stderr)
            return 1
        return 0
    SERVER_JSON.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

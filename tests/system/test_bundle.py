"""The bundle for desktop clients: valid and packed for the official tool, and what is in it speaks MCP."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from scripts import bundle
from tests.support.agents import Agent, data_directory, environment

pytestmark = pytest.mark.system


@pytest.mark.requirement("A4")
def test_the_official_tool_takes_the_bundle_and_its_entry_speaks_mcp(tmp_path: Path) -> None:
    folder, packed = tmp_path / "memmcp", tmp_path / "memmcp.mcpb"
    folder.mkdir()
    bundle.lay_out(folder)
    (folder / "pyproject.toml").write_text(bundle.pyproject("memmcp_server-0.1.0-py3-none-any.whl"))
    assert "validation passes" in bundle.run_tool("validate", folder / "manifest.json")
    bundle.run_tool("pack", folder, packed)
    with zipfile.ZipFile(packed) as archive:
        assert {"manifest.json", "server.py", "pyproject.toml", "LICENSE"} <= set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    entry = tmp_path / "installed" / "server.py"
    with data_directory() as directory:
        own = environment({"MEMMCP_DATA_DIR": str(directory)})
        agent = Agent(directory, command=[sys.executable, str(entry)], environ=own)
        try:
            assert agent.initialize()["result"]["serverInfo"]["name"] == "memmcp"
        finally:
            agent.close()


def test_a_manifest_that_is_wrong_is_refused(tmp_path: Path) -> None:
    bundle.lay_out(tmp_path)
    file = tmp_path / "manifest.json"
    file.write_text(file.read_text().replace('"type": "uv"', '"type": "snake"'))
    with pytest.raises(subprocess.CalledProcessError):
        bundle.run_tool("validate", file)

"""Make ``dist/memmcp.mcpb``: the wheel and a manifest, validated and packed by the official tool.

The bundle holds our wheel, so nothing of ours has to be published for it; uv fetches what the wheel needs when the
client starts it for the first time.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts import set_up  # noqa: E402 - found beside this file when it is run as a program
from scripts.manifests import bundle_manifest, dumped, project  # noqa: E402

OUT = ROOT / "dist" / "memmcp.mcpb"
TIMEOUT_S = 600
ENTRY = '''\
"""What the desktop client starts: the bridge to the one daemon of this machine."""

import sys

from memmcp_server.__main__ import main

if __name__ == "__main__":
    sys.argv[1:] = ["stdio"]
    main()
'''


def build_wheel(folder: Path) -> Path:
    """Build the wheel into the folder. Raises: CalledProcessError."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, timeout=TIMEOUT_S)
    [wheel] = folder.glob("*.whl")
    return wheel


def pyproject(wheel: str) -> str:
    """Return the project file of the bundle, whose one requirement is the wheel beside it."""
    own = project()
    lines = [
        *("[project]", 'name = "memmcp-bundle"', f'version = "{own["version"]}"'),
        *(f'requires-python = "{own["requires-python"]}"', f'dependencies = ["{own["name"]}"]', ""),
        *("[tool.uv]", "package = false", "", "[tool.uv.sources]", f'{own["name"]} = {{ path = "{wheel}" }}'),
    ]
    return "\n".join(lines) + "\n"


def lay_out(folder: Path) -> None:
    """Put everything but the wheel into the folder."""
    (folder / "manifest.json").write_text(dumped(bundle_manifest()), "utf-8")
    (folder / "server.py").write_text(ENTRY, "utf-8")
    shutil.copy(ROOT / "LICENSE", folder)


def run_tool(*arguments: str | Path) -> str:
    """Run the official tool and return what it printed. Raises: CalledProcessError with that."""
    node, _ = set_up.node_tools()
    command = [str(node), str(set_up.BUNDLE / "node_modules/@anthropic-ai/mcpb/dist/cli/cli.js"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return done.stdout


def main() -> int:
    set_up.provide_bundle_tool()
    OUT.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="memmcp-bundle-") as directory:
        folder = Path(directory) / "memmcp"
        folder.mkdir()
        lay_out(folder)
        wheel = build_wheel(folder)
        (folder / "pyproject.toml").write_text(pyproject(wheel.name), "utf-8")
        try:
            run_tool("validate", folder / "manifest.json")
            run_tool("pack", folder, OUT)
        except subprocess.CalledProcessError as error:
            print(f"{error.stdout}{error.stderr}", file=sys.stderr)
            return 1
    with zipfile.ZipFile(OUT) as packed:
        names = packed.namelist()
    tools = len(bundle_manifest()["tools"])
    print(f"[bundle] {OUT.relative_to(ROOT)}: {len(names)} files, {OUT.stat().st_size} bytes, {tools} tools, valid")
    return 0


if __name__ == "__main__":
    sys.exit(main())

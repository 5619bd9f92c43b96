"""web3.py takes a second to import and is an extra: only who opens an EVM chain loads it."""

import ast
from pathlib import Path

SRC = Path(__file__).resolve().parents[2] / "src"
HOME = SRC / "trading" / "adapters" / "evm"
SLOW = {"web3", "eth_account", "eth_abi", "eth_utils", "eth_typing", "hexbytes"}


def imported(nodes: list[ast.stmt]) -> set[str]:
    """Return the modules that statements import, those of blocks and branches among them, functions left out."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for inner in ("body", "orelse", "handlers", "finalbody"):
                found |= imported(getattr(node, inner, []))
    return found


def test_the_slow_libraries_are_imported_in_one_folder_only() -> None:
    found = [
        path.relative_to(SRC).as_posix()
        for path in sorted(SRC.rglob("*.py"))
        if HOME not in path.parents
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and {each.partition(".")[0] for each in imported([node])} & SLOW
    ]
    assert found == []


def test_that_folder_is_imported_by_nobody_before_it_is_used() -> None:
    found = [
        (path.relative_to(SRC).as_posix(), name)
        for path in sorted(SRC.rglob("*.py"))
        if HOME not in path.parents and "node_modules" not in path.parts
        for name in imported(ast.parse(path.read_text("utf-8")).body)
        if name.startswith("trading.adapters.evm")
    ]
    assert found == []


def test_the_check_sees_an_import_inside_a_branch_and_none_inside_a_function() -> None:
    parts = ["try:", " import web3", "except ImportError:", " import eth_abi", "def f():", " import hexbytes"]
    parts += ["if TYPE_CHECKING:", " import rlp"]
    assert imported(ast.parse("\n".join(parts)).body) == {"web3", "eth_abi"}

"""web3.py takes a second to import and is an extra: only who opens an EVM chain loads it."""

import ast
from collections.abc import Iterator
from pathlib import Path

SRC = Path(__file__).resolve().parents[2] / "src"
HOME = SRC / "trading" / "adapters" / "evm"
PACKAGE = "trading.adapters.evm"
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


def sources(*words: str) -> Iterator[tuple[str, ast.Module]]:
    """Yield what stands outside of the folder and has one of the words, so that few files are parsed."""
    for path in sorted(SRC.rglob("*.py")):
        text = "" if HOME in path.parents or "node_modules" in path.parts else path.read_text("utf-8")
        if any(word in text for word in words):
            yield path.relative_to(SRC).as_posix(), ast.parse(text)


def test_the_slow_libraries_are_imported_in_one_folder_only() -> None:
    found = [
        name
        for name, tree in sources(*SLOW)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        and {each.partition(".")[0] for each in imported([node])} & SLOW
    ]
    assert found == []


def test_that_folder_is_imported_by_nobody_before_it_is_used() -> None:
    seen = list(sources("adapters.evm"))
    found = [(name, each) for name, tree in seen for each in imported(tree.body) if each.startswith(PACKAGE)]
    assert seen
    assert found == []


def test_the_check_sees_an_import_inside_a_branch_and_none_inside_a_function() -> None:
    parts = ["try:", " import web3", "except ImportError:", " import eth_abi", "def f():", " import hexbytes"]
    parts += ["if TYPE_CHECKING:", " import rlp"]
    assert imported(ast.parse("\n".join(parts)).body) == {"web3", "eth_abi"}

"""The requirements table and the tests agree, in both directions."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.requirements import REQUIREMENTS

TESTS = Path(__file__).resolve().parent.parent


def numbers_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "requirement":
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield argument.value


@pytest.fixture(scope="module")
def claimed() -> dict[str, set[str]]:
    """number -> the test files that carry it"""
    found: dict[str, set[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        if "node_modules" in path.parts:
            continue
        for number in numbers_in(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(number, set()).add(str(path.relative_to(TESTS)))
    return found


def test_every_requirement_marked_done_or_partly_has_a_test(claimed: dict[str, set[str]]) -> None:
    bare = sorted(n for n, r in REQUIREMENTS.items() if r.state != "planned" and n not in claimed)
    assert bare == []


def test_no_test_names_an_unknown_or_a_planned_requirement(claimed: dict[str, set[str]]) -> None:
    wrong = {n: files for n, files in claimed.items() if n not in REQUIREMENTS or REQUIREMENTS[n].state == "planned"}
    assert wrong == {}


def test_what_is_only_partly_true_says_what_is_missing() -> None:
    assert [n for n, r in REQUIREMENTS.items() if (r.state == "partly") != bool(r.missing)] == []

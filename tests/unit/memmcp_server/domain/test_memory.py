"""Which memories a filter lets through, and which namespaces are whose."""

import pytest
from tests.doubles.memories import a_memory

from memmcp_server.domain.memory import MemoryFilter, is_reserved, namespace_covers, was_current


@pytest.mark.parametrize(
    ("pattern", "namespace", "covered"),
    [
        ("team", "team", True),
        ("team", "team/a", False),
        ("team/", "team", True),
        ("team/", "team/a", True),
        ("team/", "team/a/b", True),
        ("team/", "teams", False),
        ("team/a/", "team", False),
    ],
)
def test_a_namespace_with_a_slash_at_its_end_covers_its_subtree(pattern: str, namespace: str, covered: bool) -> None:
    assert namespace_covers(pattern, namespace) is covered


@pytest.mark.requirement("M5")
def test_the_runtimes_namespaces_are_reserved_and_others_are_not() -> None:
    reserved = ["trading", "memory_bank", "strategies", "strategies/momentum"]
    free = ["default", "trading2", "team/trading", "agents/claude", "strategy"]
    assert [name for name in [*reserved, *free] if is_reserved(name)] == reserved


def test_a_version_is_current_from_its_commit_until_the_next() -> None:
    memory = a_memory("m", "text", known_at_ns=10, superseded_at_ns=20)
    assert [was_current(memory, at) for at in (9, 10, 19, 20, None)] == [False, True, True, False, False]
    assert was_current(a_memory("m", "text", known_at_ns=10), None)


def test_an_empty_filter_admits_what_is_current() -> None:
    assert MemoryFilter().admits(a_memory("m", "text"))
    assert not MemoryFilter().admits(a_memory("m", "text", superseded_at_ns=2**62))

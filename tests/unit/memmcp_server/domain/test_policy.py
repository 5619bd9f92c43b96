"""Policies of namespaces: what binds whom."""

from typing import Any

import pytest

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.memory import Trust
from memmcp_server.domain.policy import MERGE_COSINE_DEFAULT, Policy, PolicyBook, parse_policy
from memmcp_server.errors import InvalidInput

CLAUDE = Caller("claude", "", "memory_write", "agent", "stdio")
CURSOR = Caller("cursor", "", "memory_write", "agent", "stdio")
OPERATOR = Caller("cli", "", "cli", "operator", "cli")
BOOK = PolicyBook(
    {
        "team/": Policy(readers=("claude", "cursor"), writers=("claude",), retention_days=30),
        "team/secret": Policy(readers=("claude", "windsurf"), retention_days=7, trust=Trust.UNTRUSTED),
        "notes": Policy(merge_cosine=0.0),
    }
)


@pytest.mark.requirement("M5")
def test_all_covering_policies_bind_and_the_most_specific_one_wins_where_only_one_can() -> None:
    secret = BOOK.of("team/secret")
    assert secret.readers == ("claude",)
    assert secret.writers == ("claude",)
    assert (secret.retention_days, secret.trust) == (7, Trust.UNTRUSTED)
    assert BOOK.of("team").retention_days == 30
    assert BOOK.of("teams") == Policy(merge_cosine=MERGE_COSINE_DEFAULT)
    assert BOOK.of("notes").merge_cosine == 0


@pytest.mark.requirement("M5")
def test_who_may_not_read_sees_no_such_namespace_and_operators_see_all() -> None:
    assert BOOK.hidden_from(CLAUDE) == ()
    assert BOOK.hidden_from(CURSOR) == ("team/secret",)
    assert BOOK.hidden_from(Caller("x", "", "", "agent", "http")) == ("team/", "team/secret")
    assert BOOK.hidden_from(OPERATOR) == ()
    assert BOOK.may_read(CURSOR, "team/open")
    assert not BOOK.may_read(CURSOR, "team/secret")


@pytest.mark.requirement("M5")
def test_who_may_write() -> None:
    assert BOOK.may_write(CLAUDE, "team/any")
    assert not BOOK.may_write(CURSOR, "team/any")
    assert BOOK.may_write(OPERATOR, "team/any")
    assert BOOK.may_write(CURSOR, "elsewhere")
    assert not PolicyBook({"a": Policy(writers=())}).may_write(CLAUDE, "a")


def test_records_of_the_runtime_are_held_whatever_is_set() -> None:
    book = PolicyBook({"trading": Policy(legal_hold=False, merge_cosine=0.9, retention_days=1)})
    for namespace in ("trading", "strategies/momentum", "memory_bank"):
        assert book.of(namespace).holds
        assert book.of(namespace).merge_cosine == 0
    assert not book.of("default").holds


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"reader": ["a"]}, "policy.reader"),
        ({"readers": "claude"}, "policy.readers"),
        ({"writers": [""]}, "policy.writers"),
        ({"readers": ["a"] * 65}, "policy.readers"),
        ({"retention_days": 0}, "policy.retention_days"),
        ({"retention_days": True}, "policy.retention_days"),
        ({"half_life_days": 1.5}, "policy.half_life_days"),
        ({"merge_cosine": 0.5}, "policy.merge_cosine"),
        ({"merge_cosine": "0.9"}, "policy.merge_cosine"),
        ({"trust": "system"}, "policy.trust"),
        ({"legal_hold": "yes"}, "policy.legal_hold"),
    ],
)
def test_a_wrong_policy_names_its_field(document: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_policy("team", document)
    assert caught.value.field == field


@pytest.mark.parametrize("namespace", ["", "/", "Team", "a//b", "../etc", "a/"])
def test_a_policy_is_for_a_namespace_or_a_subtree(namespace: str) -> None:
    if namespace == "a/":
        assert parse_policy(namespace, {}) == Policy()
        return
    with pytest.raises(InvalidInput, match="namespace"):
        parse_policy(namespace, {})


def test_a_policy_comes_back_from_its_document() -> None:
    policy = Policy(("a",), (), Trust.UNTRUSTED, 30, 7, 0.9, True)
    assert parse_policy("team", policy.document()) == policy
    assert parse_policy("team", Policy().document()) == Policy()

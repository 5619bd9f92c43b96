"""Files as ``@modelcontextprotocol/server-memory`` 2026.8.31 writes them: no newline behind the last line."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from memmcp_server.adapters.importers import server_memory
from memmcp_server.adapters.importers.found import Damaged, Found, Item
from memmcp_server.adapters.importers.lines import Line, read_lines
from memmcp_server.adapters.importers.stores import open_store, recognise

WRITTEN = (
    '{"type":"entity","name":"Anna Müller","entityType":"person",'
    '"observations":["works at Acme","likes \\"tea\\"\\nand milk"]}\n'
    '{"type":"entity","name":"Acme","entityType":"company","observations":[]}\n'
    '{"type":"relation","from":"Anna Müller","to":"Acme","relationType":"works_at"}'
)


def items(text: str) -> list[Item]:
    return list(server_memory.read_graph(io.BytesIO(text.encode()), "graph"))


def line(**fields: Any) -> str:
    return json.dumps(fields) + "\n"


@pytest.mark.requirement("M9")
def test_each_observation_names_its_entity_and_a_relation_is_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "memory.jsonl"
    file.write_text(WRITTEN, encoding="utf-8")
    assert recognise(file) == "server-memory"
    with open_store(file, "server-memory") as opened:
        read = list(opened.items)
        assert opened.total == read[-1].done == len(WRITTEN.encode())
    person = {"entity": "Anna Müller", "entity_type": "person"}
    assert [(each.kind, each.content, each.metadata) for each in read if isinstance(each, Found)] == [
        ("observation", "Anna Müller (person): works at Acme", person),
        ("observation", 'Anna Müller (person): likes "tea"\nand milk', person),
        ("entity", "Acme (company)", {"entity": "Acme", "entity_type": "company"}),
        ("relation", "Anna Müller works at Acme", {"from": "Anna Müller", "relation": "works_at", "to": "Acme"}),
    ]
    assert {each.source for each in read if isinstance(each, Found)} == {"server-memory"}


@pytest.mark.requirement("M9")
def test_ids_depend_on_what_is_said_and_not_on_where_it_stands() -> None:
    first = {each.id: each.content for each in items(WRITTEN) if isinstance(each, Found)}
    turned = "\n".join(reversed(WRITTEN.split("\n")))
    assert {each.id: each.content for each in items(turned) if isinstance(each, Found)} == first
    assert len(first) == 4


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("{broken\n", "line 1", "not JSON"),
        ("[1]\n", "line 1", "not a JSON object"),
        ("\n" + "[" * 100_000 + "\n", "line 2", "not JSON"),
        (line(type="spell"), "line 1", "type is 'spell'"),
        (line(name="x"), "line 1", "type is None"),
        (line(type="entity", name="x", entityType=1, observations=[]), "line 1", "entityType: a text is needed"),
        (line(type="entity", name=" ", entityType="t", observations=[]), "line 1", "name: a text is needed"),
        (line(type="entity", name="x", entityType="t"), "line 1", "observations is no list"),
        (line(type="entity", name="x", entityType="t", observations=[7]), "line 1, observations[0]", "no text"),
        (line(type="relation", to="x"), "line 1", "from and relationType: a text is needed"),
    ],
)
def test_a_damaged_line_is_named_and_the_rest_is_read(text: str, place: str, reason: str) -> None:
    damaged, *rest = items(text + WRITTEN)
    assert isinstance(damaged, Damaged)
    assert damaged.place == place
    assert reason in damaged.reason
    assert len(rest) == 4
    assert all(isinstance(each, Found) for each in rest)


def test_a_line_that_is_too_long_is_passed_over_in_pieces() -> None:
    data = b'{"a": 1}\n' + b"x" * 3_000_000 + b'\n{"b": 2}'
    read = list(read_lines(io.BytesIO(data), "file", 1_000))
    assert read == [
        Line(1, 9, 9, {"a": 1}),
        Line(2, 3_000_010, 0, problem="longer than 1000 bytes"),
        Line(3, len(data), 8, {"b": 2}),
    ]


def test_a_file_of_ours_and_an_unknown_one_count_as_an_export(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for text in ("", "nonsense\n", '\n{"type": "memory"}\n', '{"type": "entity'):
        file.write_text(text)
        assert recognise(file) == "memmcp"

"""The file of ``@modelcontextprotocol/server-memory``: a graph as JSON lines, entities first, then relations.

``{"type": "entity", "name", "entityType", "observations": [...]}`` and ``{"type": "relation", "from", "to",
"relationType"}``. Each observation becomes one memory that names its entity, so that it is understood where it is found
alone; a relation becomes a sentence; an entity of which nothing was observed is a memory of its own.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO

from memmcp_server.domain.identifiers import Json, derived_id

from .found import Damaged, Found, Item
from .lines import Line, read_lines

STORE = "server-memory"
LINE_BYTES_MAX = 16 * 1024 * 1024
"""An entity is one line with all that was ever observed of it."""


def read_graph(file: BinaryIO, name: str) -> Iterator[Item]:
    """Yield what the file holds, in its order; ``done`` counts bytes. Raises: NotReadable."""
    for line in read_lines(file, name, LINE_BYTES_MAX):
        if line.document is None:
            yield Damaged(f"line {line.number}", line.problem, line.done)
        elif line.document.get("type") == "entity":
            yield from _entity(line, line.document)
        elif line.document.get("type") == "relation":
            yield _relation(line, line.document)
        else:
            kind = str(ascii(line.document.get("type")))[:80]
            yield Damaged(f"line {line.number}", f"type is {kind}; expected 'entity' or 'relation'", line.done)


def _entity(line: Line, document: dict[str, Any]) -> Iterator[Item]:
    place = f"line {line.number}"
    problem = _lacking(document, ("name", "entityType"))
    observations = document.get("observations")
    if not problem and not isinstance(observations, list):
        problem = "observations is no list"
    if problem or not isinstance(observations, list):
        yield Damaged(place, problem, line.done)
        return
    name, entity_type = document["name"], document["entityType"]
    metadata: dict[str, Json] = {"entity": name, "entity_type": entity_type}
    if not observations:
        yield _found(place, line.done, "entity", f"{name} ({entity_type})", (name, entity_type), metadata)
    for position, text in enumerate(observations):
        where = f"{place}, observations[{position}]"
        if isinstance(text, str):
            content = f"{name} ({entity_type}): {text}"
            yield _found(where, line.done, "observation", content, (name, entity_type, text), metadata)
        else:
            yield Damaged(where, "no text", line.done)


def _relation(line: Line, document: dict[str, Any]) -> Item:
    place = f"line {line.number}"
    problem = _lacking(document, ("from", "to", "relationType"))
    if problem:
        return Damaged(place, problem, line.done)
    begin, end, relation = document["from"], document["to"], document["relationType"]
    content = f"{begin} {relation.replace('_', ' ')} {end}"
    metadata: dict[str, Json] = {"from": begin, "relation": relation, "to": end}
    return _found(place, line.done, "relation", content, (begin, relation, end), metadata)


def _found(place: str, done: int, kind: str, content: str, says: tuple[str, ...], metadata: dict[str, Json]) -> Found:
    return Found(
        place=place,
        id=derived_id(STORE, kind, *says),
        content=content,
        kind=kind,
        source=STORE,
        done=done,
        tags=(STORE,),
        metadata=metadata,
    )


def _lacking(document: dict[str, Any], names: tuple[str, ...]) -> str:
    wrong = [name for name in names if not isinstance(document.get(name), str) or not document[name].strip()]
    return f"{' and '.join(wrong)}: a text is needed" if wrong else ""

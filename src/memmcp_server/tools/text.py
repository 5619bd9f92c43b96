"""The text mirror of a structured answer: the same facts in fewer tokens.

Clients differ in what the model sees (structured content, text, or both), so nothing may be in one only. One line per
field; a list of objects is a table with one heading and one row each. Strings that could be mistaken for structure
are JSON-quoted: stored text stays a quoted value and cannot pose as a field.
"""

import json
import re
from collections.abc import Mapping, Sequence

from memmcp_server.domain.identifiers import Json

PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/+@%-]*\Z")
"""Strings that read the same without quotes."""

WORDS_THAT_ARE_VALUES = frozenset({"null", "true", "false"})


def render(document: Mapping[str, Json]) -> str:
    """Return the document as lines. Absent (null) fields are left out; empty lists and objects are shown."""
    return "\n".join(_lines(document, ""))


def _lines(document: Mapping[str, Json], indent: str) -> list[str]:
    lines: list[str] = []
    for name, value in document.items():
        if value is None:
            continue
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            lines.extend(_table(name, [item for item in value if isinstance(item, dict)], indent))
        else:
            lines.append(f"{indent}{_scalar(name)}: {_inline(value)}")
    return lines


def _table(name: str, rows: Sequence[Mapping[str, Json]], indent: str) -> list[str]:
    columns = list(dict.fromkeys(column for row in rows for column, value in row.items() if value is not None))
    heading = " | ".join(_scalar(column) for column in columns)
    lines = [f"{indent}{_scalar(name)} ({len(rows)}): {heading}"]
    lines.extend(f"{indent}- " + " | ".join(_cell(row.get(column)) for column in columns) for row in rows)
    return lines


def _cell(value: Json) -> str:
    return "" if value is None else _inline(value)


def _inline(value: Json) -> str:
    if isinstance(value, dict):
        fields = [f"{_scalar(key)}={_inline(item)}" for key, item in value.items() if item is not None]
        return "{" + " ".join(fields) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    return _scalar(value)


def _scalar(value: Json) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    if PLAIN.match(value) and value not in WORDS_THAT_ARE_VALUES and not _reads_as_number(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    # "007" and "0.50" are texts (amounts); as bare words they read as what they are, a decimal.
    return not re.fullmatch(r"\d+(\.\d+)?", text)

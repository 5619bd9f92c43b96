"""A table of a TOML file, put in or taken out as text: every other line stays as it is, remarks included."""

import json
import re
from collections.abc import Mapping
from typing import Any

from .jsonc import newline_of

_HEADER = re.compile(r"^[ \t]*\[\[?\s*(?P<name>[^\]\r\n]+?)\s*\]\]?", re.MULTILINE)
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def put(text: str, path: tuple[str, ...], table: Mapping[str, Any]) -> str:
    """Return the text with the table in the place of the one that was there, else at the end."""
    nl = newline_of(text)
    body = nl.join(_dumped(path, table)) + nl
    spans = _spans(text, path)
    if spans:
        at = spans[0][0]
        rest = take(text, path)
        joint = "" if not rest[at:].strip() or rest[at:].startswith(("\n", "\r")) else nl
        return rest[:at] + body + joint + rest[at:]
    if not text.strip():
        return body
    return text + (nl if text.endswith("\n") else nl + nl) + body


def take(text: str, path: tuple[str, ...]) -> str:
    """Return the text without the table and those below it."""
    for start, end in reversed(_spans(text, path)):
        before, behind = text[:start], text[end:]
        for nl in ("\r\n", "\n"):
            if not behind.strip() and before.endswith(nl * 2):
                before = before.removesuffix(nl)  # the blank line that parted it from what is above
                break
        text = before + behind
    return text


def _spans(text: str, path: tuple[str, ...]) -> list[tuple[int, int]]:
    """Return where the table and its sub-tables stand; remarks and blank lines before the next header are not ours."""
    headers = list(_HEADER.finditer(text))
    found = []
    for number, header in enumerate(headers):
        if _name(header["name"])[: len(path)] != path:
            continue
        end = headers[number + 1].start() if number + 1 < len(headers) else len(text)
        lines = text[header.start() : end].splitlines(keepends=True)
        while len(lines) > 1 and number + 1 < len(headers) and _is_remark(lines[-1]):
            lines.pop()
        found.append((header.start(), header.start() + sum(map(len, lines))))
    return found


def _is_remark(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _name(header: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in header.split("."))


def _dumped(path: tuple[str, ...], table: Mapping[str, Any]) -> list[str]:
    lines = [f"[{'.'.join(map(_key, path))}]"]
    below: list[str] = []
    for name, value in table.items():
        if isinstance(value, Mapping):
            below += ["", *_dumped((*path, name), value)]
        else:
            lines.append(f"{_key(name)} = {_value(value)}")
    return lines + below


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return json.dumps(str(value), ensure_ascii=False)  # a basic string of TOML has the escapes of JSON

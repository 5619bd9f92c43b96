"""JSON with comments, changed in its text: what is not changed stays byte for byte, comments and commas included.

Editors keep their configuration as JSON with comments. Parsing and dumping it anew would lose them, the order that a
person chose, and the spacing; here a member is put in, replaced or taken out where it stands.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

DEPTH_MAX = 100
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_SCALAR = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null")
_TRIVIA = re.compile(r"(?:[ \t\r\n]+|//[^\r\n]*|/\*.*?\*/)*", re.DOTALL)
_SAME_LINE = re.compile(r"(?:[ \t]+|//[^\r\n]*|/\*[^\r\n]*?\*/)*")


class NotJson(ValueError):
    """The text is no JSON, even with comments allowed; the message names line and column."""


@dataclass
class Node:
    """A value and where it stands: ``text[start:end]``. ``members`` are there for an object only."""

    start: int
    end: int
    value: Any
    members: list["Member"] = field(default_factory=list)
    items: list["Node"] = field(default_factory=list)

    def member(self, key: str) -> "Member | None":
        return next((member for member in self.members if member.key == key), None)


@dataclass
class Member:
    """``comma`` is the index of the comma behind it, None when there is none."""

    key: str
    start: int
    node: Node
    comma: int | None = None


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def wrong(self, what: str) -> NotJson:
        line = self.text.count("\n", 0, self.at) + 1
        column = self.at - (self.text.rfind("\n", 0, self.at) + 1) + 1
        return NotJson(f"{what}, line {line} column {column}")

    def skip(self) -> None:
        match = _TRIVIA.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def peek(self) -> str:
        self.skip()
        return self.text[self.at : self.at + 1]

    def document(self) -> Node:
        self.skip()
        node = self.value(0)
        if self.peek():
            raise self.wrong("something stands behind the end")
        return node

    def value(self, depth: int) -> Node:
        if depth > DEPTH_MAX:
            raise self.wrong(f"more than {DEPTH_MAX} levels")
        sign = self.peek()
        if sign == "{":
            return self.object(depth)
        if sign == "[":
            return self.array(depth)
        start = self.at
        if sign == '"':
            text = self.string()
            return Node(start, self.at, text)
        match = _SCALAR.match(self.text, self.at)
        if not match:
            raise self.wrong("a value is missing" if not sign else "this is no value")
        self.at = match.end()
        return Node(start, self.at, json.loads(match.group()))

    def string(self) -> str:
        match = _STRING.match(self.text, self.at)
        if not match:
            raise self.wrong("a text in double quotes is missing or does not end")
        try:
            found: str = json.loads(match.group())
        except ValueError as error:
            raise self.wrong("a text holds a wrong escape") from error
        self.at = match.end()
        return found

    def object(self, depth: int) -> Node:
        node = Node(self.at, self.at, {})
        self.at += 1
        while self.peek() != "}":
            if node.members and node.members[-1].comma is None:
                raise self.wrong("a comma or } is missing")
            start = self.at
            key = self.string()
            if key in node.value:
                raise self.wrong(f"{key!r} stands there twice")
            if self.peek() != ":":
                raise self.wrong("a colon is missing")
            self.at += 1
            member = Member(key, start, self.value(depth + 1))
            node.members.append(member)
            node.value[key] = member.node.value
            if self.peek() == ",":
                member.comma = self.at
                self.at += 1
        self.at += 1
        node.end = self.at
        return node

    def array(self, depth: int) -> Node:
        node = Node(self.at, self.at, [])
        self.at += 1
        comma = True
        while self.peek() != "]":
            if not comma:
                raise self.wrong("a comma or ] is missing")
            item = self.value(depth + 1)
            node.items.append(item)
            node.value.append(item.value)
            comma = self.peek() == ","
            if comma:
                self.at += 1
        self.at += 1
        node.end = self.at
        return node


def parse(text: str) -> Node:
    """Return the value with its places. Comments and a comma behind the last member are allowed. Raises: NotJson."""
    return _Parser(text).document()


def put(text: str, path: tuple[str, ...], value: Any) -> str:
    """Return the text with ``value`` at ``path``, objects on the way made. Raises: NotJson, KeyError (no object)."""
    node = parse(text)
    for depth, key in enumerate(path):
        if not isinstance(node.value, dict):
            raise KeyError(path[:depth])
        member = node.member(key)
        if member is None:
            for name in reversed(path[depth + 1 :]):
                value = {name: value}
            return _inserted(text, node, key, value)
        node = member.node
    indent = _line_indent(text, node.start)
    return text[: node.start] + _dumped(text, value, indent) + text[node.end :]


def take(text: str, path: tuple[str, ...]) -> str:
    """Return the text without the member at ``path``; as it is when there is none. Raises: NotJson."""
    node = parse(text)
    for key in path[:-1]:
        found = node.member(key)
        if found is None:
            return text
        node = found.node
    member = node.member(path[-1])
    return text if member is None else _removed(text, node, node.members.index(member))


def _removed(text: str, node: Node, at: int) -> str:
    member = node.members[at]
    start = member.start
    end = member.node.end if member.comma is None else member.comma + 1
    line = text.rfind("\n", 0, start) + 1
    if not text[line:start].strip(" \t"):  # it has its line to itself: a remark behind it goes with it
        rest = _SAME_LINE.match(text, end)
        after = rest.end() if rest else end
        if text[after : after + 1] in ("\r", "\n") and line > 0:
            start = line - (2 if text[line - 2 : line] == "\r\n" else 1)
            end = after
    elif member.comma is not None:
        end += len(text[end:]) - len(text[end:].lstrip(" "))
    kept = text[:start] + text[end:]
    if at and member.comma is None:
        # The one before becomes the last, and had its comma for the sake of this one.
        comma = node.members[at - 1].comma
        assert comma is not None
        behind = text[comma + 1 : start]
        kept = text[:comma] + (behind if behind.strip() else behind.rstrip(" ")) + text[end:]
    if len(node.members) == 1:
        opened = node.start + 1
        closed = node.end - 1 - (len(text) - len(kept))
        if not kept[opened:closed].strip():
            kept = kept[:opened] + kept[closed:]
    return kept


def _inserted(text: str, node: Node, key: str, value: Any) -> str:
    name = json.dumps(key, ensure_ascii=False)
    close = node.end - 1
    if not node.members:
        outer = _line_indent(text, close)
        if _is_one_line(text) and node.start:
            return f"{text[: node.start + 1]}{name}: {_dumped(text, value, '')}{text[close:]}"
        inner, nl = outer + unit_of(text), newline_of(text)
        held = text[node.start + 1 : close].rstrip()
        body = f"{nl}{inner}{name}: {_dumped(text, value, inner)}{nl}{outer}"
        return f"{text[: node.start + 1]}{held}{body}{text[close:]}"
    last, first = node.members[-1], node.members[0]
    line = text.rfind("\n", 0, first.start) + 1
    own_lines = line > 0 and not text[line : first.start].strip(" \t")
    end = last.node.end
    tail = end if last.comma is None else last.comma + 1
    comma = "," if last.comma is None else ""
    trailing = "" if last.comma is None else ","
    if not own_lines:
        return f"{text[:end]}{comma}{text[end:tail]} {name}: {_dumped(text, value, '')}{trailing}{text[tail:]}"
    inner = text[line : first.start]
    rest = _SAME_LINE.match(text, tail)
    after = rest.end() if rest else tail
    if text[after : after + 1] not in ("\r", "\n"):
        after = tail  # a closing bracket stands on this line; a remark there stays where it is
    remark = text[tail:after].rstrip()
    body = f"{newline_of(text)}{inner}{name}: {_dumped(text, value, inner)}{trailing}"
    return f"{text[:end]}{comma}{text[end:tail]}{remark}{body}{text[after:]}"


def _dumped(text: str, value: Any, indent: str) -> str:
    if _is_one_line(text) and text.strip() != "{}":
        return json.dumps(value, ensure_ascii=False)
    dumped = json.dumps(value, ensure_ascii=False, indent=unit_of(text))
    return dumped.replace("\n", newline_of(text) + indent)


def _is_one_line(text: str) -> bool:
    return "\n" not in text.strip() and text.strip() != "{}"


def _line_indent(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def newline_of(text: str) -> str:
    """Return how lines end in the text."""
    return "\r\n" if "\r\n" in text else "\n"


def unit_of(text: str) -> str:
    """Return by how much the text indents, two spaces when it does not say."""
    found = re.search(r"\n([ \t]+)\"", text)
    return found.group(1) if found else "  "

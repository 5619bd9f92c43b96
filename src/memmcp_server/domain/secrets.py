"""What a secret in a text is, how it is cut out, and how a whole document is looked through.

The value of a secret is in nothing made here: a finding holds places and a kind, a path leaves out a key that is a
secret itself.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from memmcp_server.errors import InvalidInput

from .identifiers import Json

DOCUMENT_DEPTH_MAX = 32
PATH_KEY_LENGTH_MAX = 64
REDACTION_PASSES_MAX = 4
JOINED_ITEMS_MIN = 12
"""A list this long of short items is also read as one text: a seed phrase as a list of words, a key as numbers."""
JOINED_ITEM_LENGTH_MAX = 16
BETWEEN = " ~~ "
"""Stands between the strings of a document read as one text: no secret reaches over it, none is hidden by it."""

VALUE_KEYS = frozenset({"base58", "base64", "bytes", "content", "data", "hex", "raw", "text", "value"})
"""Keys that say nothing about their value: the key above them does."""


@dataclass(frozen=True, slots=True, order=True)
class SecretFinding:
    """The text from ``start`` to ``end`` (not included) is a secret of that kind."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class LocatedSecret:
    """A secret somewhere in a document: ``metadata.wallet.key``, ``tags[2]``."""

    path: str
    kind: str


Scan = Callable[[str], list[SecretFinding]]


def marker(kind: str) -> str:
    """Return what stands where a secret of that kind was."""
    return f"[secret removed: {kind}]"


def united(findings: Iterable[SecretFinding]) -> list[SecretFinding]:
    """Return the findings in order, overlapping ones as one that has the kind of the longest."""
    result: list[SecretFinding] = []
    longest = 0
    for finding in sorted(findings):
        length = finding.end - finding.start
        if result and finding.start < result[-1].end:
            last = result[-1]
            kind = finding.kind if length > longest else last.kind
            longest = max(longest, length)
            result[-1] = SecretFinding(last.start, max(last.end, finding.end), kind)
        else:
            longest = length
            result.append(finding)
    return result


def redact(text: str, findings: Iterable[SecretFinding]) -> str:
    """Return the text with a marker in place of each finding; everything else is as it was."""
    parts: list[str] = []
    place = 0
    for finding in united(findings):
        parts += text[place : finding.start], marker(finding.kind)
        place = finding.end
    parts.append(text[place:])
    return "".join(parts)


def redacted(text: str, scan: Scan) -> str:
    """Return the text without anything that the scanner finds, also not in what the cuts left side by side."""
    for _ in range(REDACTION_PASSES_MAX):
        findings = scan(text)
        if not findings:
            return text
        text = redact(text, findings)
    # Cuts that go on making new findings: nothing of such a text is worth the risk.
    return marker("text") if scan(text) else text


def looks_clean(document: Json, scan: Scan) -> bool:
    """Say whether nothing is found in all strings of the document read as one text, each value behind its key.

    One look instead of one for each string: what is found in a string is found in this text too. What is found only
    here, across two strings, makes it False, and ``secrets_in`` then says what there is.
    """
    lines: list[str] = []
    return _gather(document, "", lines, 0) and not scan(BETWEEN.join(lines))


def _gather(value: Json, label: str, lines: list[str], depth: int) -> bool:
    """Add the strings below a value to the lines; False when it is nested too deep."""
    if isinstance(value, str):
        lines.append(f"{label}: {value}" if label else value)
        return True
    if not isinstance(value, dict | list | tuple):
        return True
    if depth > DOCUMENT_DEPTH_MAX:
        return False
    if not isinstance(value, dict):
        _gather_joined(value, label, lines)
        return all(_gather(child, label, lines, depth + 1) for child in value)
    _gather_joined(value.values(), label, lines)
    for key, child in value.items():
        below = label if key.lower() in VALUE_KEYS else key
        if below is not key or not isinstance(child, str):
            lines.append(key)  # else it stands before its value
        if not _gather(child, below, lines, depth + 1):
            return False
    return True


def _gather_joined(items: Collection[Json], label: str, lines: list[str]) -> None:
    if len(items) >= JOINED_ITEMS_MIN and all(map(_is_short, items)):
        lines.append(f"{label}: [{', '.join(map(str, items))}]")


def secrets_in(document: Json, scan: Scan, path: str = "") -> list[LocatedSecret]:
    """Return every secret in the strings of a document, keys and values, in order.

    A value is read behind its key, so that ``{"private_key": "4f3c..."}`` is found; lists of numbers and of words are
    also read as one text. ``path`` names the document itself. Raises: InvalidInput when it is nested too deep.
    """
    found: list[LocatedSecret] = []
    _Walk(scan, found).clean(document, path, "", 0)
    return found


def redacted_document(document: Json, scan: Scan) -> tuple[Json, list[LocatedSecret]]:
    """Return a copy of the document without secrets, and what was cut out where. Raises: InvalidInput (depth)."""
    found: list[LocatedSecret] = []
    return _Walk(scan, found).clean(document, "", "", 0), found


class _Walk:
    """One walk through one document: returns cleaned copies, notes what was found."""

    def __init__(self, scan: Scan, found: list[LocatedSecret]) -> None:
        self._scan = scan
        self._found = found

    def clean(self, value: Json, path: str, label: str, depth: int) -> Json:
        if depth > DOCUMENT_DEPTH_MAX:
            msg = f"{path[:PATH_KEY_LENGTH_MAX]}... is nested deeper than {DOCUMENT_DEPTH_MAX} levels"
            raise InvalidInput(msg, field=path.split(".", 1)[0].split("[", 1)[0] or None)
        match value:
            case str():
                return self._text(value, path, label)
            case dict():
                return self._object(value, path, label, depth)
            case list() | tuple():
                whole = self._joined(value, path, label)
                if whole is not None:
                    return whole
                return [
                    self.clean(child, f"{path}[{position}]", label, depth + 1) for position, child in enumerate(value)
                ]
        return value

    def _text(self, text: str, path: str, label: str) -> str:
        prefix = f"{label}: " if label else ""
        inside = list(_shifted(self._scan(prefix + text), len(prefix)))
        self._found += [LocatedSecret(path, finding.kind) for finding in united(inside)]
        if not inside:
            return text
        return redacted(redact(text, inside), self._scan)

    def _object(self, value: Mapping[str, Json], path: str, label: str, depth: int) -> Json:
        whole = self._joined(list(value.values()), path, label)
        if whole is not None:
            return whole
        result: dict[str, Json] = {}
        for position, (key, child) in enumerate(value.items()):
            shown, below = key, key
            findings = united(self._scan(key))
            if findings:
                shown = f"[key {position}]"
                self._found += [LocatedSecret(_joined_path(path, shown), finding.kind) for finding in findings]
                below = ""
            elif key.lower() in VALUE_KEYS:
                below = label
            cleaned = redacted(key, self._scan) if findings else key
            # Two keys may become one and the same when their secrets are gone; none of the values is dropped.
            if cleaned in result or (findings and cleaned in value):
                cleaned = f"{cleaned} {position}"
            result[cleaned] = self.clean(child, _joined_path(path, shown), below, depth + 1)
        return result

    def _joined(self, items: Sequence[Json], path: str, label: str) -> str | None:
        if len(items) < JOINED_ITEMS_MIN or not all(_is_short(item) for item in items):
            return None
        text = f"{label}: [{', '.join(map(str, items))}]"
        findings = [finding for finding in self._scan(text) if finding.end > len(label) + 2]
        # Only what spans items: a secret inside of one is found where it is.
        spanning = [finding for finding in findings if "," in text[finding.start : finding.end]]
        if not spanning:
            return None
        self._found.append(LocatedSecret(path, spanning[0].kind))
        return marker(spanning[0].kind)


def _is_short(item: Json) -> bool:
    if isinstance(item, str):
        return len(item) <= JOINED_ITEM_LENGTH_MAX
    return isinstance(item, int) and not isinstance(item, bool) and abs(item) < 10**JOINED_ITEM_LENGTH_MAX


def _joined_path(path: str, key: str) -> str:
    short = key if len(key) <= PATH_KEY_LENGTH_MAX else f"{key[:PATH_KEY_LENGTH_MAX]}..."
    return f"{path}.{short}" if path else short


def _shifted(findings: Iterable[SecretFinding], by: int) -> Iterator[SecretFinding]:
    for finding in findings:
        if finding.end > by:
            yield SecretFinding(max(0, finding.start - by), finding.end - by, finding.kind)

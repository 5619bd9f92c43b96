"""What an importer yields: a memory of the other store, or the place of one that cannot be read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from memmcp_server.domain.identifiers import Json, derived_id

PART_BYTES_MAX = 60_000
"""Below the journal's default limit for a content, so that a long document arrives in parts instead of not at all."""


@dataclass(frozen=True, slots=True)
class Found:
    """``id`` depends on what the memory says and where it stands in the other store: a repeat gives the same one.

    ``done`` is how much of the store has been read with this one, in the unit of the store's ``total``.
    """

    place: str
    id: str
    content: str
    kind: str
    source: str
    done: int
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Damaged:
    """What stands at this place could not be read; the rest goes on."""

    place: str
    reason: str
    done: int


Item = Found | Damaged


class NotReadable(Exception):
    """The store as a whole cannot be read; the message says why, ``hint`` what to do."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def in_parts(found: Found) -> Iterator[Found]:
    """Yield the memory with its newlines as ours are, cut where it is longer than a memory may be."""
    text = found.content.replace("\r\n", "\n").replace("\r", "\n")
    parts = list(_cut(text))
    for number, part in enumerate(parts, 1):
        is_whole = len(parts) == 1
        yield Found(
            place=found.place,
            id=found.id if is_whole else derived_id(found.id, str(number)),
            content=part,
            kind=found.kind,
            source=found.source,
            done=found.done,
            tags=found.tags,
            metadata=found.metadata if is_whole else {**found.metadata, "part": f"{number} of {len(parts)}"},
        )


def _cut(text: str) -> Iterator[str]:
    """Cut behind the last blank that fits, or in the middle of a word that is longer than a part."""
    while len(text) > PART_BYTES_MAX // 4 and len(text.encode("utf-8", "surrogatepass")) > PART_BYTES_MAX:
        head = text.encode("utf-8", "surrogatepass")[:PART_BYTES_MAX].decode("utf-8", "ignore")
        blank = max(head.rfind(" "), head.rfind("\n"))
        size = blank + 1 if blank > len(head) // 2 else len(head)
        yield text[:size]
        text = text[size:]
    yield text

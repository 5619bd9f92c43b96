"""Cursors of a search: opaque to callers, bound to what was asked and to the moment of the first page.

Later pages are answered as of that moment, so that what is written meanwhile neither shifts nor repeats a hit.
"""

import hashlib
import re
from dataclasses import dataclass

from memmcp_server.errors import InvalidInput

from .memory import MemoryFilter
from .times import NS_MAX

_FORM = re.compile(r"s1\.(\d{1,3})\.(\d{1,19})\.([0-9a-f]{12})")


@dataclass(frozen=True, slots=True)
class SearchCursor:
    offset: int
    as_of_ns: int

    def text(self, query: str, where: MemoryFilter) -> str:
        """Return the cursor for the next page of this question."""
        return f"s1.{self.offset}.{self.as_of_ns}.{_digest(query, where)}"


def parse_search_cursor(cursor: str, query: str, where: MemoryFilter, offset_max: int) -> SearchCursor:
    """Return what a cursor says.

    Raises: InvalidInput (not a cursor of ours, or one of another question).
    """
    found = _FORM.fullmatch(cursor)
    if found is None or not 0 < int(found[1]) <= offset_max or int(found[2]) > NS_MAX:
        msg = f"cursor is {cursor[:64]!a}, which is no next_cursor of a search"
        raise InvalidInput(
            msg, field="cursor", hint="pass the next_cursor of the last answer unchanged, or leave it out"
        )
    if found[3] != _digest(query, where):
        msg = "cursor belongs to another question: query or filters are not those of the page it came from"
        raise InvalidInput(msg, field="cursor", hint="repeat the same query and filters, or leave the cursor out")
    return SearchCursor(int(found[1]), int(found[2]))


def _digest(query: str, where: MemoryFilter) -> str:
    asked = (query, where.namespace, where.kinds, where.tags, where.agent, where.since_ns, where.until_ns)
    more = (where.as_of_ns, where.trajectory_id, where.valid_at_ns)
    return hashlib.blake2b(repr((asked, more)).encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()

"""What hits bring along, kept once read: a search finds some hundred points, and reading their payload took longer than
finding them (5 of 9 ms in a namespace of 2,000).

The engine's own filter decides what is found; a payload only says which version of which memory a point is and since
when, which no write changes but the engine's own, and those are forgotten here. Used from two threads.
"""

import threading
from collections.abc import Callable, Mapping, Sequence

from memmcp_server.domain.identifiers import Json

KNOWN_LEN_MAX = 50_000
"""Payloads kept, about half a kilobyte each. When they are this many, the oldest half goes."""

Payload = Mapping[str, Json]


class KnownPayloads:
    """``read`` fetches the payloads of those of the points that exist, by id. Raises: what ``read`` raises."""

    def __init__(self, read: Callable[[Sequence[str]], Mapping[str, Payload]], len_max: int = KNOWN_LEN_MAX) -> None:
        self._read = read
        self._len_max = len_max
        self._lock = threading.Lock()
        self._known: dict[str, Payload] = {}
        self._changes = 0

    def of(self, point_ids: Sequence[str]) -> dict[str, Payload]:
        """Return the payload of each point that exists."""
        with self._lock:
            found = {point_id: self._known[point_id] for point_id in point_ids if point_id in self._known}
            changes = self._changes
        unknown = [point_id for point_id in point_ids if point_id not in found]
        if unknown:
            read = self._read(unknown)
            self._keep(read, changes)
            found.update(read)
        return found

    def forget(self, point_ids: Sequence[str] | None = None) -> None:
        """Forget these, or all: they are being written."""
        with self._lock:
            self._changes += 1
            for point_id in list(self._known) if point_ids is None else point_ids:
                self._known.pop(point_id, None)

    def _keep(self, read: Mapping[str, Payload], changes: int) -> None:
        with self._lock:
            if changes != self._changes:
                return  # something was written meanwhile: what was read may be what it was before
            self._known.update(read)
            if len(self._known) > self._len_max:
                for point_id in list(self._known)[: len(self._known) - self._len_max // 2]:
                    del self._known[point_id]

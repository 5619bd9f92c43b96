"""A shard made anew beside the one in use, point by point, so that nothing of removed points is in its files.

Removing a point only marks it: found by experiment, its payload, vector and id stay in the files of the segment and the
whole upsert in the write-ahead log, through flush, ``optimize`` and a new opening alike. Only the living points are
copied, a slice at a time; what is written meanwhile goes to both. Then the copy takes the place by renaming:

    shard.new      the copy while it is filled; worth nothing after a crash
    shard.copied   complete and flushed; a crash from here on is completed at the next opening
    shard.old      what it replaced, about to be removed
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from memmcp_server.domain.identifiers import JsonObject

POINTS_AT_ONCE = 64
SLICE_S = 0.25
"""A slice holds up writes that long, and searches for one batch of points at a time."""

PLACE, DRAFT, COPIED, OLD = "shard", "shard.new", "shard.copied", "shard.old"


class ShardCopy:
    """``make`` makes an empty shard at a path, with the payload indexes. Not for several threads at once."""

    def __init__(self, directory: Path, make: Callable[[Path], Any]) -> None:
        self._directory = directory
        self._offset: Any = None
        draft = directory / DRAFT
        _remove(draft)
        draft.mkdir()
        self._shard = make(draft)
        self._is_complete = False

    def copy_slice(self, scroll: Callable[[Any], tuple[Any, Any]]) -> bool:
        """Copy points for about ``SLICE_S``; return whether all are there. ``scroll`` asks the shard in use."""
        ends_s = time.monotonic() + SLICE_S
        while not self._is_complete:
            asked = edge.ScrollRequest(limit=POINTS_AT_ONCE, offset=self._offset, with_payload=True, with_vector=True)
            records, self._offset = scroll(asked)
            if records:
                points = [edge.Point(record.id, dict(record.vector or {}), record.payload or {}) for record in records]
                self._shard.update(edge.UpdateOperation.upsert_points(points))
            self._is_complete = self._offset is None
            if time.monotonic() >= ends_s:
                break
        return self._is_complete

    def follow(self, operation: Any) -> None:
        """Do what was just done to the shard in use. A point that was not copied yet is copied as it is by then."""
        self._shard.update(operation)

    def follow_payload(self, point_id: str, changes: JsonObject) -> None:
        """As ``follow``, for a point that may not be here yet."""
        those = edge.Filter(must=[edge.HasIdCondition({point_id})])
        self._shard.update(edge.UpdateOperation.set_payload_by_filter(those, changes))

    def complete(self) -> None:
        """Make the copy durable. The next thing is ``take_place``, with nothing written in between."""
        self._shard.flush()
        self.close()
        (self._directory / DRAFT).replace(self._directory / COPIED)

    def close(self) -> None:
        shard, self._shard = self._shard, None
        if shard is not None:
            shard.close()


def take_place(directory: Path) -> None:
    """Put a complete copy, if there is one, in the place of the shard, which must be closed.

    A crash at any point leaves what the next call completes.
    """
    copied = directory / COPIED
    if copied.exists():
        if (directory / PLACE).exists():
            _remove(directory / OLD)
            (directory / PLACE).replace(directory / OLD)
        copied.replace(directory / PLACE)


def sweep(directory: Path) -> None:
    """Remove what ``take_place`` has replaced, and what a crash left of a copy that was being filled."""
    for name in (OLD, DRAFT):
        _remove(directory / name)


def _remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)

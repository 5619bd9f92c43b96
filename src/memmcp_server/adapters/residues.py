"""Search files for many short pieces of text at once, at about the speed of reading them."""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from memmcp_server.domain.residues import SHORT_WINDOW_BYTES, WINDOW_BYTES

CHUNK_BYTES = 4 * 1024 * 1024
HEAD_BYTES = 8
OVERLAP_BYTES = WINDOW_BYTES - 1
"""By so much the chunks of a file overlap, so that no window is cut in two."""

SLOT_BITS = 20
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_SPREAD_TAILS = np.uint64(0xC2B2AE3D27D4EB4F)
_SHIFT = np.uint64(64 - SLOT_BITS)

Words = np.ndarray[tuple[int], np.dtype[np.uint64]]


@dataclass(slots=True)
class Findings:
    """What was searched, and which windows stand there."""

    files: int = 0
    bytes_read: int = 0
    found: set[bytes] = field(default_factory=set)


class Sought:
    """Windows of ``WINDOW_BYTES`` or ``SHORT_WINDOW_BYTES`` made ready to be looked for."""

    def __init__(self, windows: Collection[bytes]) -> None:
        self.windows = frozenset(windows)
        wrong = {len(window) for window in self.windows} - {WINDOW_BYTES, SHORT_WINDOW_BYTES}
        if wrong:
            msg = f"windows have {WINDOW_BYTES} or {SHORT_WINDOW_BYTES} bytes, not {min(wrong)}"
            raise ValueError(msg)
        short = [window for window in self.windows if len(window) == SHORT_WINDOW_BYTES]
        long = [window for window in self.windows if len(window) == WINDOW_BYTES]
        heads, tails = (
            _words([window[:HEAD_BYTES] for window in long]),
            _words([window[HEAD_BYTES:] for window in long]),
        )
        self._short = np.unique(_words(short))
        self._long = np.unique(_mixed(heads, tails))
        self._slots = np.zeros(1 << SLOT_BITS, dtype=bool)
        self._slots[_slots_of(heads)] = True
        self._slots[_slots_of(self._short)] = True

    def found_in(self, data: bytes) -> set[bytes]:
        """Return the windows that stand in the data, at whatever offset."""
        found: set[bytes] = set()
        for shift in range(min(HEAD_BYTES, max(0, len(data) - HEAD_BYTES + 1))):
            words = np.frombuffer(data, "<u8", count=(len(data) - shift) // HEAD_BYTES, offset=shift)
            # A table of a million bits first: it lets through what begins like a window, and little else.
            places = np.flatnonzero(self._slots[_slots_of(words)])
            heads = words[places]
            is_short = _among(heads, self._short)
            starts = _firsts(heads[is_short], places[is_short])
            found |= self._known(data[start : start + SHORT_WINDOW_BYTES] for start in shift + HEAD_BYTES * starts)
            places = places[places + 1 < len(words)]
            pairs = _mixed(words[places], words[places + 1])
            is_long = _among(pairs, self._long)
            starts = _firsts(pairs[is_long], places[is_long])
            found |= self._known(data[start : start + WINDOW_BYTES] for start in shift + HEAD_BYTES * starts)
        return found

    def _known(self, pieces: Iterable[bytes]) -> set[bytes]:
        return {piece for piece in pieces if piece in self.windows}

    def search(self, paths: Collection[Path], findings: Findings) -> None:
        """Search the files; one that is gone by now holds nothing. Raises: OSError."""
        for path in paths:
            try:
                handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            except FileNotFoundError:
                continue
            try:
                self.search_open(handle, findings)
            finally:
                os.close(handle)

    def search_open(self, handle: int, findings: Findings) -> None:
        """Search an open file from its beginning. Raises: OSError."""
        findings.files += 1
        for chunk, fresh in _chunks(handle, OVERLAP_BYTES):
            findings.bytes_read += fresh
            if chunk.count(0) != len(chunk):  # the engine's files are sparse: most of them was never written
                findings.found |= self.found_in(chunk)


def _chunks(handle: int, overlap: int) -> Iterator[tuple[bytes, int]]:
    """Yield (chunk, how many of its bytes are new)."""
    os.lseek(handle, 0, os.SEEK_SET)
    tail = b""
    while fresh := os.read(handle, CHUNK_BYTES):
        yield tail + fresh, len(fresh)
        tail = (tail + fresh)[-overlap:]


def _words(pieces: Sequence[bytes]) -> Words:
    return np.array([int.from_bytes(piece, "little") for piece in pieces], dtype=np.uint64)


def _slots_of(words: Words) -> Words:
    return (words * _SPREAD) >> _SHIFT


def _mixed(heads: Words, tails: Words) -> Words:
    """Return one number for both halves of a window; what shares it is compared byte by byte."""
    return (heads * _SPREAD) ^ (tails * _SPREAD_TAILS)


def _among(values: Words, ordered: Words) -> "np.ndarray[tuple[int], np.dtype[np.bool]]":
    """Say of each value whether it is one of the ordered ones."""
    if not len(ordered):
        return np.zeros(len(values), dtype=bool)
    places = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return np.asarray(ordered[places] == values)


def _firsts(values: Words, places: "np.ndarray[tuple[int], np.dtype[np.intp]]") -> Any:
    """Return one place of each distinct value: a text that stands there a million times is looked at once."""
    return places[np.unique(values, return_index=True)[1]]

"""What the soak tells its daemon while it runs, and the daemon it: how far the wall clock is off, whether the feed is
silent, what was given back and what lives."""

import mmap
import struct
from pathlib import Path
from typing import Final, Self

VARIABLE: Final = "SOAK_CONTROL"
_NUMBER: Final = struct.Struct("<q")
_NUMBERS: Final = 6


class _Number:
    """One number of the file, by its place."""

    def __init__(self, place: int) -> None:
        self._at = place * _NUMBER.size

    def __get__(self, control: "Control", _owner: type | None = None) -> int:
        return int(_NUMBER.unpack_from(control.memory, self._at)[0])

    def __set__(self, control: "Control", value: int) -> None:
        _NUMBER.pack_into(control.memory, self._at, value)


class Control:
    """A file that several processes have in memory; each number is written by one and read by others.

    ``offset_ns`` is added to the machine's wall clock; ``is_silent`` (0 or 1) stops the feed. ``tidied`` and
    ``worker_tidied`` count the times that the daemon and its index worker have given back what they had freed;
    ``blocks`` (of Python's objects) and ``heap_bytes`` (given out by the C allocator, 0 where it cannot say) are what
    the daemon held then.
    """

    offset_ns = _Number(0)
    is_silent = _Number(1)
    tidied = _Number(2)
    worker_tidied = _Number(3)
    blocks = _Number(4)
    heap_bytes = _Number(5)

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_NUMBERS * _NUMBER.size))
        with path.open("r+b") as file:
            self.memory = mmap.mmap(file.fileno(), _NUMBERS * _NUMBER.size)

    @classmethod
    def at(cls, path: str) -> Self:
        return cls(Path(path))

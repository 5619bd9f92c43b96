"""What the soak tells its daemon while it runs: how far the wall clock is off, and whether the feed is silent."""

import mmap
import struct
from pathlib import Path
from typing import Final, Self

VARIABLE: Final = "SOAK_CONTROL"
_LAYOUT: Final = struct.Struct("<qqqqqq")


class Control:
    """A file that both processes have in memory; written by one, read by the other. ``tidied`` and ``worker_tidied``
    count the times that the daemon and its index worker have given back what they did not need; ``blocks`` and
    ``heap_bytes`` say what the daemon held then."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(_LAYOUT.pack(0, 0, 0, 0, 0, 0))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _LAYOUT.size)

    @classmethod
    def at(cls, path: str) -> Self:
        return cls(Path(path))

    @property
    def offset_ns(self) -> int:
        """What is added to the machine's wall clock."""
        return int(struct.unpack_from("<q", self._memory, 0)[0])

    @offset_ns.setter
    def offset_ns(self, value: int) -> None:
        struct.pack_into("<q", self._memory, 0, value)

    @property
    def is_silent(self) -> bool:
        return bool(struct.unpack_from("<q", self._memory, 8)[0])

    @is_silent.setter
    def is_silent(self, value: bool) -> None:
        struct.pack_into("<q", self._memory, 8, int(value))

    @property
    def tidied(self) -> int:
        return int(struct.unpack_from("<q", self._memory, 16)[0])

    @tidied.setter
    def tidied(self, value: int) -> None:
        struct.pack_into("<q", self._memory, 16, value)

    @property
    def worker_tidied(self) -> int:
        return int(struct.unpack_from("<q", self._memory, 24)[0])

    @worker_tidied.setter
    def worker_tidied(self, value: int) -> None:
        struct.pack_into("<q", self._memory, 24, value)

    @property
    def blocks(self) -> int:
        """Blocks of memory that objects of Python live in."""
        return int(struct.unpack_from("<q", self._memory, 32)[0])

    @blocks.setter
    def blocks(self, value: int) -> None:
        struct.pack_into("<q", self._memory, 32, value)

    @property
    def heap_bytes(self) -> int:
        """Bytes that the C allocator has given out and not got back; 0 where it cannot say."""
        return int(struct.unpack_from("<q", self._memory, 40)[0])

    @heap_bytes.setter
    def heap_bytes(self, value: int) -> None:
        struct.pack_into("<q", self._memory, 40, value)

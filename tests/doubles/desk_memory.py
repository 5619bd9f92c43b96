"""A body of trading's ``ports.Memory`` that keeps records in a list, and can be down, slow or forgetful on purpose."""

from collections.abc import Sequence

import anyio
import anyio.lowlevel

from trading.errors import MemoryUnavailable
from trading.ports import MemoryRecord


class ListMemory:
    """Keeps each key once, as the real memory does. ``is_down`` refuses, ``is_stuck`` never answers."""

    def __init__(self) -> None:
        self.records: list[MemoryRecord] = []
        self.is_down = False
        self.is_stuck = False
        self.writes = 0
        self.repeats = 0
        self._keys: set[str] = set()

    async def write(self, records: Sequence[MemoryRecord]) -> None:
        self.writes += 1
        if self.is_stuck:
            await anyio.sleep_forever()
        if self.is_down:
            msg = "memory is down on purpose"
            raise MemoryUnavailable(msg)
        await anyio.lowlevel.checkpoint()
        for record in records:
            if record.key in self._keys:
                self.repeats += 1
                continue
            self._keys.add(record.key)
            self.records.append(record)

    def of(self, action: str) -> list[MemoryRecord]:
        return [record for record in self.records if record.action == action]

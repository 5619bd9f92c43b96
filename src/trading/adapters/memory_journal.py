"""A journal that lives in this process: for backtests, whose truth is their inputs, and for tests."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trading.errors import JournalUnavailable
from trading.ports import JournalRow

from .canonical import RowHash, canonical_json


class MemoryJournal:
    """Rows in a list, in the order of ``append``; a row is visible from ``commit`` on, as in every other body."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, int, str, bytes]] = []
        self._committed = 0
        self._hash = RowHash()
        self._is_open = True

    def append(self, ts_ns: int, kind: str, body: Mapping[str, Any], *, is_plain: bool = False) -> int:
        return self.append_canonical(ts_ns, kind, canonical_json(body, is_plain=is_plain))

    def append_canonical(self, ts_ns: int, kind: str, body: bytes) -> int:
        if not self._is_open:
            msg = "the journal is closed"
            raise JournalUnavailable(msg)
        seq = len(self._rows) + 1
        self._rows.append((seq, ts_ns, kind, body))
        return seq

    def commit(self) -> None:
        if not self._is_open:
            msg = "the journal is closed"
            raise JournalUnavailable(msg)
        self._hash.add_all(self._rows[self._committed :])
        self._committed = len(self._rows)

    def rows(
        self,
        *,
        after: int = 0,
        kinds: Sequence[str] = (),
        since_ns: int | None = None,
        until_ns: int | None = None,
    ) -> Iterator[JournalRow]:
        wanted = frozenset(kinds)
        for position in range(after, self._committed):
            row = self._rows[position]
            if (
                (not wanted or row[2] in wanted)
                and (since_ns is None or row[1] >= since_ns)
                and (until_ns is None or row[1] <= until_ns)
            ):
                yield JournalRow(*row)

    def newest(self, kinds: Sequence[str] = (), *, before: int | None = None, limit: int = 1) -> list[JournalRow]:
        wanted = frozenset(kinds)
        end = self._committed if before is None else min(self._committed, before - 1)
        found: list[JournalRow] = []
        for position in range(end - 1, -1, -1):
            if len(found) >= limit:
                break
            if not wanted or self._rows[position][2] in wanted:
                found.append(JournalRow(*self._rows[position]))
        return found

    def horizon(self) -> int:
        return self._committed

    def sha256(self) -> str:
        return self._hash.hexdigest()

    def close(self) -> None:
        self._is_open = False

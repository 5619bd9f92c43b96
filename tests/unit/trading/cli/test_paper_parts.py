"""The parts of a paper session that need no desk: its memory on disk, and when it is over."""

from pathlib import Path

import orjson
import pytest

from trading.cli.paper import FileMemory, _is_over
from trading.errors import MemoryUnavailable, Unavailable
from trading.ports import MemoryRecord

pytestmark = pytest.mark.anyio


def record(key: str) -> MemoryRecord:
    return MemoryRecord("note", key, 1, "trading", "signal", "not acted on", metadata={"reason": "cooldown"})


async def test_records_are_lines_in_order_and_are_added_to_what_is_there(tmp_path: Path) -> None:
    memory = FileMemory(tmp_path / "memory.jsonl")
    await memory.write([record("a"), record("b")])
    await FileMemory(tmp_path / "memory.jsonl").write([record("c")])
    lines = [orjson.loads(line) for line in (tmp_path / "memory.jsonl").read_bytes().splitlines()]
    assert [line["key"] for line in lines] == ["a", "b", "c"]
    assert lines[0]["metadata"] == {"reason": "cooldown"}


async def test_a_memory_that_cannot_be_written_is_unavailable_so_that_the_relay_tries_again(tmp_path: Path) -> None:
    with pytest.raises(MemoryUnavailable, match="cannot be written"):
        await FileMemory(tmp_path / "no" / "memory.jsonl").write([record("a")])


def test_a_session_is_over_when_its_feed_has_ended_or_the_cycles_are_reached() -> None:
    begun = {"last_event": "2025-12-31T23:55:00+00:00"}
    running = {"state_reason": "", "next_evaluation": "2026-01-01T00:00:00+00:00", "cycle": 7, "feed": begun}
    assert not _is_over(running, None)
    assert not _is_over(running, 8)
    assert _is_over(running, 7)
    assert _is_over({**running, "next_evaluation": None}, None)
    starting = {**running, "next_evaluation": None, "feed": {"last_event": None}, "cycle": 0}
    assert not _is_over(starting, None)
    with pytest.raises(Unavailable, match="the desk stopped: disk on fire"):
        _is_over({**running, "state_reason": "the desk stopped: disk on fire"}, None)

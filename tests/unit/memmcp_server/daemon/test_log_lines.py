"""The log read back: JSON lines, the text lines of before, rotation, and what is asked for."""

import json
from pathlib import Path

import pytest

from memmcp_server.daemon.log_lines import Follower, Wanted, entries, newest


def line(number: int, level: str = "info", **more: str) -> str:
    told = {"ts": f"2026-11-27T10:00:{number:02d}.000Z", "level": level, "logger": "n", "message": f"m{number}"}
    return json.dumps(told | more)


OLD = (
    "2026-11-26T10:00:00Z INFO memmcp: as it was",
    "2026-11-26T10:00:01Z ERROR memmcp: it failed",
    "Traceback (most recent call last):",
    "ValueError: why",
)


def test_json_lines_and_old_text_lines_stand_side_by_side() -> None:
    found = list(entries([*OLD, line(2, "warning", request="r1", tool="why")]))
    assert [(each.level, each.message) for each in found] == [
        ("info", "as it was"),
        ("error", "it failed"),
        ("warning", "m2"),
    ]
    assert found[1].more.endswith("ValueError: why")
    assert (found[2].request, found[2].tool) == ("r1", "why")


def test_what_nobody_can_read_is_told_as_it_stands() -> None:
    found = list(entries(["{half a line", "[1, 2]", "{}"]))
    assert [each.level for each in found] == ["", ""]
    assert found[0].raw == "{half a line\n[1, 2]"


def test_the_newest_come_over_rotated_files_and_in_order(tmp_path: Path) -> None:
    log = tmp_path / "daemon.log"
    log.write_text("".join(f"{line(number)}\n" for number in (5, 6)))
    (tmp_path / "daemon.log.1").write_text("".join(f"{line(number)}\n" for number in (3, 4)))
    (tmp_path / "daemon.log.2").write_text("".join(f"{each}\n" for each in OLD))
    assert [each.message for each in newest(log, 3, Wanted())] == ["m4", "m5", "m6"]
    assert [each.message for each in newest(log, 100, Wanted())][:2] == ["as it was", "it failed"]
    assert newest(tmp_path / "none.log", 3, Wanted()) == []


@pytest.mark.parametrize(
    ("wanted", "messages"),
    [
        (Wanted(level="warning"), ["m2", "m4"]),
        (Wanted(level="error"), ["m4"]),
        (Wanted(request="req-"), ["m3"]),
        (Wanted(since_ts="2026-11-27T10:00:03"), ["m3", "m4"]),
        (Wanted(level="error", since_ts="2026-11-27T10:00:05"), []),
    ],
)
def test_only_what_is_wanted_comes(tmp_path: Path, wanted: Wanted, messages: list[str]) -> None:
    log = tmp_path / "daemon.log"
    lines = (line(1), line(2, "warning"), line(3, request="req-9"), line(4, "critical"))
    log.write_text("".join(f"{each}\n" for each in lines))
    assert [each.message for each in newest(log, 10, wanted)] == messages


def test_what_is_added_is_followed_over_a_rotation(tmp_path: Path) -> None:
    log = tmp_path / "daemon.log"
    log.write_text(f"{line(1)}\n")
    follower = Follower(log)
    with log.open("a") as file:
        file.write(f"{line(2)}\n{line(3)[:20]}")
        file.flush()
        assert [each.message for each in follower.poll()] == ["m2"]
        file.write(f"{line(3)[20:]}\n")
        file.flush()
    log.rename(tmp_path / "daemon.log.1")
    log.write_text(f"{line(4)}\n")
    assert [each.message for each in follower.poll()] == ["m3"]
    assert [each.message for each in follower.poll()] == ["m4"]
    follower.close()

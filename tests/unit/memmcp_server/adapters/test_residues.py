"""Searching files for pieces of text: every piece is found at every offset, and nothing else is."""

import os
import random
from pathlib import Path

import pytest
from tests.doubles.memories import a_memory

from memmcp_server.adapters import residues
from memmcp_server.adapters.residues import Findings, Sought
from memmcp_server.domain.residues import SHORT_WINDOW_BYTES, WINDOW_BYTES, said_in, windows_of

pytestmark = pytest.mark.requirement("M8")


def test_a_text_is_covered_from_end_to_end_by_windows() -> None:
    text = "".join(chr(97 + number % 26) + str(number) for number in range(200))
    raw = text.encode()
    windows = windows_of(text, 1_000)
    covered = bytearray(len(raw))
    for window in windows:
        start = raw.index(window)
        covered[start : start + WINDOW_BYTES] = b"\1" * WINDOW_BYTES
    assert all(covered)
    assert len(windows_of(text, 12)) == 12
    assert {raw[:WINDOW_BYTES], raw[-WINDOW_BYTES:]} <= windows_of(text, 12)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("", 0),
        ("short", 0),
        ("twelve bytes", SHORT_WINDOW_BYTES),
        ("sixteen bytes ok", 16),
        ("-" * 90, 0),
        ("ü" * 9, 0),
    ],
)
def test_what_says_too_little_has_no_windows(text: str, length: int) -> None:
    assert {len(window) for window in windows_of(text, 9)} == ({length} if length else set())


def test_what_a_memory_says_is_its_content_its_tags_and_its_metadata() -> None:
    metadata = {"who": "Ada", "list": ["a", {"deep": "b"}], "number": 3, "none": None}
    assert list(said_in(a_memory("m", "text", tags=("t",), metadata=metadata))) == [
        "text", "t", "who", "Ada", "list", "a", "deep", "b", "number", "none",
    ]  # fmt: skip


def test_windows_are_found_at_every_offset_and_over_the_edges_of_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(residues, "CHUNK_BYTES", 64)
    chance = random.Random(7)
    long, short = b"sixteen bytes ok", b"eight by"
    for offset in range(130):
        noise = bytes(chance.randrange(256) for _ in range(200))
        path = tmp_path / "file"
        path.write_bytes(noise[:offset] + long + noise[offset:] + short)
        findings = Findings()
        Sought({long, short, b"never to be seen"}).search([path, tmp_path / "gone"], findings)
        assert (findings.found, findings.files, findings.bytes_read) == ({long, short}, 1, 224), offset


def test_many_windows_in_a_file_full_of_their_beginnings_are_told_apart(tmp_path: Path) -> None:
    wanted = {f"prefix--{number:08d}".encode() for number in range(2_000)}
    present = {f"prefix--{number:08d}".encode() for number in range(0, 2_000, 3)}
    path = tmp_path / "file"
    path.write_bytes(b"prefix--nothing.".join([*sorted(present), b""]) + bytes(100_000) + os.urandom(100))
    findings = Findings()
    Sought(wanted).search([path], findings)
    assert findings.found == present


def test_windows_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="not 3"):
        Sought({b"abc"})


def test_nothing_to_look_for_finds_nothing() -> None:
    assert Sought(()).found_in(b"anything at all, at whatever length") == set()

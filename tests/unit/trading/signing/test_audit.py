"""The signer's record: what is written stays, and whatever else was done to it is noticed."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.signing import SetClock

from trading.errors import JournalUnavailable
from trading.signing.audit import AuditAltered, AuditLog

KEY = bytes(32)


def written(folder: Path, kinds: str = "abc") -> Path:
    log = AuditLog(folder, SetClock())
    log.unlock(KEY)
    for kind in kinds:
        log.append(kind, {"n": 1})
    log.close()
    return folder / "audit.jsonl"


def opened(folder: Path) -> list[str]:
    log = AuditLog(folder, SetClock())
    try:
        return [line.kind for line in log.unlock(KEY)]
    finally:
        log.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "signer"


def test_what_was_written_is_read_back_in_order(folder: Path) -> None:
    path = written(folder)
    assert opened(folder) == ["a", "b", "c"]
    assert path.stat().st_mode & 0o777 == 0o600


def drop_first(lines: list[str]) -> list[str]:
    return lines[1:]


def drop_middle(lines: list[str]) -> list[str]:
    return [lines[0], lines[2]]


def drop_last(lines: list[str]) -> list[str]:
    return lines[:-1]


def swap(lines: list[str]) -> list[str]:
    return [lines[1], lines[0], lines[2]]


def repeat(lines: list[str]) -> list[str]:
    return [*lines, lines[-1]]


def change_body(lines: list[str]) -> list[str]:
    return [lines[0], lines[1].replace('"n":1', '"n":2'), lines[2]]


def change_mac(lines: list[str]) -> list[str]:
    line = json.loads(lines[2])
    return [*lines[:2], json.dumps({**line, "mac": "00" * 32})]


def nonsense(lines: list[str]) -> list[str]:
    return [*lines, "{}"]


def nothing(_lines: list[str]) -> list[str]:
    return []


@pytest.mark.parametrize(
    "harm", [drop_first, drop_middle, drop_last, swap, repeat, change_body, change_mac, nonsense, nothing]
)
def test_a_record_that_was_altered_is_not_opened(folder: Path, harm: Callable[[list[str]], list[str]]) -> None:
    path = written(folder)
    path.write_text("".join(line + "\n" for line in harm(path.read_text().splitlines())))
    with pytest.raises(AuditAltered):
        opened(folder)


def test_a_rebuilt_chain_without_the_key_is_not_believed(folder: Path) -> None:
    written(folder)
    forged = folder.parent / "forged"
    log = AuditLog(forged, SetClock())
    log.unlock(bytes([1]) * 32)
    log.append("armed", {"n": 9})
    log.close()
    shutil.copy(forged / "audit.jsonl", folder / "audit.jsonl")
    with pytest.raises(AuditAltered, match="not written by it"):
        opened(folder)


def test_an_older_copy_of_the_record_is_noticed(folder: Path) -> None:
    path = written(folder)
    before = path.read_bytes()
    log = AuditLog(folder, SetClock())
    log.unlock(KEY)
    log.append("signed", {})
    log.close()
    path.write_bytes(before)
    with pytest.raises(AuditAltered, match="cut short"):
        opened(folder)


def test_a_head_that_is_gone_or_forged_is_noticed(folder: Path) -> None:
    written(folder)
    head = folder / "head.json"
    document = json.loads(head.read_text())
    head.write_text(json.dumps({**document, "seq": 1}))
    with pytest.raises(AuditAltered, match="not written by the signer"):
        opened(folder)
    head.unlink()
    with pytest.raises(AuditAltered, match="is gone"):
        opened(folder)


def test_a_line_that_a_dying_process_wrote_half_is_dropped(folder: Path) -> None:
    path = written(folder)
    with path.open("ab") as file:
        file.write(b'{"seq":4,"ts_')
    assert opened(folder) == ["a", "b", "c"]
    log = AuditLog(folder, SetClock())
    log.unlock(KEY)
    assert log.append("d", {}).seq == 4
    log.close()
    assert opened(folder) == ["a", "b", "c", "d"]


def test_two_signers_do_not_share_a_record(folder: Path) -> None:
    log = AuditLog(folder, SetClock())
    with pytest.raises(JournalUnavailable, match="another signer"):
        AuditLog(folder, SetClock())
    log.close()
    AuditLog(folder, SetClock()).close()


def test_lines_of_a_locked_signer_are_chained_but_not_sealed(folder: Path) -> None:
    log = AuditLog(folder, SetClock())
    log.append("passphrase_refused", {})
    log.unlock(KEY)
    log.append("unlocked", {})
    log.lock()
    log.append("passphrase_refused", {})
    sealed = [line.is_sealed for line in log.unlock(KEY)]
    log.close()
    assert sealed == [False, True, False]


@pytest.mark.parametrize("mode", [0o644, 0o660])
def test_a_record_that_others_may_touch_is_not_opened(folder: Path, mode: int) -> None:
    written(folder).chmod(mode)
    with pytest.raises(JournalUnavailable, match="nobody else"):
        opened(folder)


def test_a_link_or_a_pipe_is_no_record(folder: Path) -> None:
    path = written(folder)
    path.rename(folder / "real")
    path.symlink_to(folder / "real")
    with pytest.raises(JournalUnavailable, match="cannot be opened"):
        opened(folder)
    path.unlink()
    os.mkfifo(path, 0o600)
    with pytest.raises(JournalUnavailable):
        opened(folder)

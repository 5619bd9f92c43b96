"""A PIN is typed by a person on a terminal, twice and unseen, and kept as its salted hash alone."""

import os
import stat
from pathlib import Path

import pytest
from tests.support.terminal import Terminal

from memmcp_server.adapters.phone_files import PhoneFiles

pytestmark = [pytest.mark.system, pytest.mark.requirement("O4")]

PIN = "83-jkl-2"


@pytest.mark.skipif(os.name != "posix", reason="a terminal of this kind")
def test_a_pin_typed_twice_is_kept_as_a_hash_and_is_on_no_screen(tmp_path: Path) -> None:
    with Terminal("phone", "pin", "--data-dir", str(tmp_path), module="memmcp_server") as terminal:
        terminal.answer("new PIN: ", PIN)
        terminal.answer("the same again: ", PIN)
        terminal.expect("the PIN is set")
        assert terminal.end() == 0
        assert PIN not in terminal.seen
    [kept] = tmp_path.iterdir()
    assert PIN not in kept.read_text("utf-8")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    held = PhoneFiles(tmp_path).pin()
    assert held is not None
    assert (held.is_it(PIN), held.is_it("83-jkl-3")) == (True, False)


@pytest.mark.skipif(os.name != "posix", reason="a terminal of this kind")
def test_two_different_pins_set_none(tmp_path: Path) -> None:
    with Terminal("phone", "pin", "--data-dir", str(tmp_path), module="memmcp_server") as terminal:
        terminal.answer("new PIN: ", PIN)
        terminal.answer("the same again: ", "83-jkl-3")
        terminal.expect("both are not the same")
        assert terminal.end() == 2
    assert list(tmp_path.iterdir()) == []

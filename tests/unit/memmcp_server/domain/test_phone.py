"""What a text from a phone says, and how wrong PINs are counted."""

import pytest

from memmcp_server.domain.phone import (
    FAILURES_FREE,
    LOCK_S,
    LOCK_S_MAX,
    Confirmation,
    Pin,
    Tries,
    Wish,
    check_pin,
    understood,
)
from memmcp_server.errors import InvalidInput

pytestmark = pytest.mark.requirement("O4")

CHEAP = (16, 1, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/status", Wish("status")),
        (" /Flatten@desk_bot ", Wish("flatten")),
        ("/start", Wish("help")),
        ("/ack 0F3a-Alert", Wish("ack", "0F3a-Alert")),
        ("012345 a-pin-1", Confirmation("012345", "a-pin-1")),
        ("/flatten now", None),
        ("flatten", None),
        ("/resume", None),
        ("/buy", None),
        ("12345 a-pin-1", None),
        ("012345 a-pin-1 more", None),
        ("\N{ARABIC-INDIC DIGIT ONE}12345 a-pin-1", None),
        ("/status" + " " * 300, None),
        ("", None),
    ],
)
def test_a_text_is_one_of_few_commands_a_confirmation_or_nothing(text: str, said: object) -> None:
    assert understood(text) == said


def test_a_pin_is_in_no_repr() -> None:
    assert "a-pin-1" not in repr(understood("012345 a-pin-1"))


@pytest.mark.parametrize("pin", ["12345", "111111", "123456", "987654", "abcdef", "with space", "x" * 33, "päss-w1"])
def test_a_pin_that_is_tried_first_or_cannot_be_typed_is_refused(pin: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_pin(pin)
    assert refused.value.field == "pin"
    assert pin not in refused.value.message or pin == "123456"  # that one is the example of the message


def test_a_pin_is_known_by_its_salted_hash_alone() -> None:
    one, other = Pin.of("83-jkl-2", CHEAP), Pin.of("83-jkl-2", CHEAP)
    assert one.hash != other.hash
    assert (one.is_it("83-jkl-2"), one.is_it("83-jkl-3")) == (True, False)
    assert "83-jkl-2" not in repr(one)


def test_wrong_pins_lock_for_twice_as_long_each_time_up_to_a_day() -> None:
    tries, waits = Tries(), []
    at_s = 1_000
    for _ in range(16):
        tries = tries.failed(at_s)
        waits.append(tries.locked_s(at_s))
        at_s += waits[-1]
    assert waits[: FAILURES_FREE - 1] == [0] * (FAILURES_FREE - 1)
    assert waits[FAILURES_FREE - 1 : FAILURES_FREE + 2] == [LOCK_S, 2 * LOCK_S, 4 * LOCK_S]
    assert waits[-1] == LOCK_S_MAX


def test_a_new_pin_begins_with_no_wrong_tries() -> None:
    pin, tries = Pin.of("83-jkl-2", CHEAP), Tries(9, 10**12, "the salt of another")
    assert tries.at(pin) == Tries(salt=pin.salt)
    assert tries.at(pin).failed(5).at(pin).failures == 1

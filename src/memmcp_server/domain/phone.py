"""What the operator says from a phone, and the little that is kept of it. Times are the chat server's, in seconds.

A command that changes the desk takes two messages: the command, which the bot answers with what it will do and a code,
and then the code with the PIN. The code ties the PIN to this one act and moment; whoever has the phone has no PIN, and
whoever has seen the PIN has no phone.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Literal, get_args

from memmcp_server.errors import InvalidInput

Word = Literal["help", "status", "alerts", "ack", "stop", "flatten"]
Act = Literal["stop", "flatten"]
"""What changes the desk. All of it makes the desk safer; nothing here buys, resumes or arms."""

TEXT_CHARS_MAX: Final = 256
PIN_CHARS: Final = (6, 32)
CODE_DIGITS: Final = 6
FAILURES_FREE: Final = 3
LOCK_S: Final = 60
LOCK_S_MAX: Final = 86_400
SCRYPT: Final = (1 << 15, 8, 1)
"""The work of one guess, n, r and p: about a tenth of a second and 32 MiB."""
SCRYPT_BYTES_MAX: Final = 1 << 28

_WORDS: Final[tuple[Word, ...]] = get_args(Word)
_COMMAND: Final = re.compile(r"^\s*/([a-zA-Z]{1,16})(?:@\w{1,64})?(?:\s+(\S{1,128}))?\s*$", re.ASCII)
_CONFIRMATION: Final = re.compile(rf"^\s*(\d{{{CODE_DIGITS}}})\s+(\S{{1,{PIN_CHARS[1]}}})\s*$", re.ASCII)


@dataclass(frozen=True, slots=True)
class Message:
    """One that came. ``is_private``: from a person, written by that person, in a chat of the bot and nobody else."""

    chat: int
    user: int
    id: int
    sent_at_s: int
    is_private: bool
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Update:
    """``message`` None: something that no command can be in."""

    id: int
    message: Message | None


@dataclass(frozen=True, slots=True)
class Updates:
    """``served_at_s``: the chat server's clock when it answered; ours, where it told none."""

    updates: tuple[Update, ...]
    served_at_s: float


@dataclass(frozen=True, slots=True)
class Wish:
    word: Word
    argument: str = ""


@dataclass(frozen=True, slots=True)
class Confirmation:
    code: str
    pin: str = field(repr=False)


def understood(text: str) -> Wish | Confirmation | None:
    """Return what a text says, None where it says nothing that is known here."""
    if len(text) > TEXT_CHARS_MAX:
        return None
    confirmed = _CONFIRMATION.match(text)
    if confirmed is not None:
        return Confirmation(confirmed[1], confirmed[2])
    found = _COMMAND.match(text)
    if found is None:
        return None
    said = "help" if found[1].lower() == "start" else found[1].lower()  # what the app says to a bot that is new to it
    word = next((each for each in _WORDS if each == said), None)
    argument = found[2] or ""
    return None if word is None or (argument and word != "ack") else Wish(word, argument)


@dataclass(frozen=True, slots=True)
class Pin:
    """A PIN as it is kept: its salted scrypt hash, in hexadecimal."""

    salt: str
    hash: str
    n: int = SCRYPT[0]
    r: int = SCRYPT[1]
    p: int = SCRYPT[2]

    @classmethod
    def of(cls, pin: str, work: tuple[int, int, int] = SCRYPT) -> "Pin":
        """Return what is kept of a new PIN. Takes a tenth of a second. Raises: InvalidInput."""
        check_pin(pin)
        salt = secrets.token_hex(16)
        return cls(salt, _scrypt(pin, salt, *work), *work)

    def is_it(self, pin: str) -> bool:
        """Say whether this is the PIN, in a time that tells nothing of it."""
        return hmac.compare_digest(self.hash, _scrypt(pin, self.salt, self.n, self.r, self.p))


def check_pin(pin: str) -> None:
    """Raises: InvalidInput for a PIN that is too short, cannot be typed, or is the first that anybody would try."""
    least, most = PIN_CHARS
    if not least <= len(pin) <= most or not pin.isascii() or not pin.isprintable() or " " in pin:
        msg = f"the PIN has {least} to {most} letters, digits or signs of ASCII, and no space"
        raise InvalidInput(msg, field="pin")
    steps = {ord(after) - ord(before) for before, after in pairwise(pin)}
    if len(steps) == 1 and steps <= {-1, 0, 1}:
        msg = "the PIN is one character again and again, or a run such as 123456: the first that anybody would try"
        raise InvalidInput(msg, field="pin")


def _scrypt(pin: str, salt: str, n: int, r: int, p: int) -> str:
    return hashlib.scrypt(
        pin.encode("utf-8", "surrogatepass"), salt=bytes.fromhex(salt), n=n, r=r, p=p, maxmem=SCRYPT_BYTES_MAX
    ).hex()


def new_code() -> str:
    return f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}d}"


@dataclass(frozen=True, slots=True)
class Tries:
    """Wrong PINs in a row, kept over restarts. ``salt`` is the PIN's that they were tried at: a new one begins anew."""

    failures: int = 0
    locked_until_s: int = 0
    salt: str = ""

    def at(self, pin: Pin) -> "Tries":
        return self if self.salt == pin.salt else Tries(salt=pin.salt)

    def failed(self, at_s: int) -> "Tries":
        """One more. After the free ones each locks for twice as long as the one before."""
        failures = self.failures + 1
        over = failures - FAILURES_FREE
        lock_s = 0 if over < 0 else min(LOCK_S_MAX, LOCK_S * 2 ** min(over, 16))
        return Tries(failures, max(self.locked_until_s, at_s + lock_s) if lock_s else self.locked_until_s, self.salt)

    def locked_s(self, at_s: int) -> int:
        """Return for how long no PIN is looked at."""
        return min(LOCK_S_MAX, max(0, self.locked_until_s - at_s))


@dataclass(frozen=True, slots=True)
class Asked:
    """A command that waits for its code and the PIN."""

    code: str
    act: Act
    user: int
    at_s: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """An act that was confirmed: written down before it is carried out. ``key``: the desk does it once."""

    key: str
    act: Act
    user: int
    chat: int
    at_s: int


@dataclass(frozen=True, slots=True)
class PhoneState:
    """What outlives a restart. ``bot``: whose ``offset`` it is; ``offset``: the id of the next update, 0 for any."""

    bot: str = ""
    offset: int = 0
    offset_at_s: int = 0
    tries: Tries = Tries()
    asked: Asked | None = None
    accepted: tuple[Accepted, ...] = ()
    strangers: int = 0

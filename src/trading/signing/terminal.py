"""A passphrase, typed by a person on a terminal: no other way in."""

import os
import sys
from typing import Final

from trading.errors import InvalidInput

from .hardening import harden
from .secrets import Passphrase

_TTY: Final = "/dev/tty"
_HINT: Final = "run it in a terminal of your own; a passphrase is never taken from a pipe, a file or the environment"


def require_terminal() -> None:
    """Raises: InvalidInput unless standard input is the terminal that controls this process."""
    if not sys.stdin.isatty():
        msg = "standard input is not a terminal"
        raise InvalidInput(msg, field="terminal", hint=_HINT)
    try:
        handle = os.open(_TTY, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        msg = f"this process has no terminal ({error.strerror})"
        raise InvalidInput(msg, field="terminal", hint=_HINT) from error
    os.close(handle)
    try:
        os.tcgetpgrp(0)  # it answers for the controlling terminal alone
    except OSError as error:
        msg = "standard input is another terminal than the one that controls this process"
        raise InvalidInput(msg, field="terminal", hint=_HINT) from error


def ask_passphrase(prompt: str) -> Passphrase:
    """Return what was typed, unseen. Raises: InvalidInput where no person can type."""
    import getpass
    import warnings

    require_terminal()
    harden()  # before there is anything to see in this process
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)  # it would fall back to standard input, with echo
        try:
            return Passphrase(getpass.getpass(prompt))
        except (getpass.GetPassWarning, EOFError, OSError) as error:
            msg = "the passphrase could not be read unseen"
            raise InvalidInput(msg, field="terminal", hint=_HINT) from error


def ask_new_passphrase(prompt: str) -> Passphrase:
    """Ask twice. Raises: InvalidInput where both differ."""
    first, second = ask_passphrase(prompt), ask_passphrase("the same again: ")
    same = first.reveal() == second.reveal()
    second.wipe()
    if not same:
        msg = "both are not the same"
        raise InvalidInput(msg, field="passphrase")
    return first


def ask_yes(question: str) -> bool:
    """Return whether a person typed "yes" in full on the terminal. Raises: InvalidInput where there is none."""
    return ask_typed(f"{question} [yes/no] ") == "yes"


def ask_typed(prompt: str) -> str:
    """Return what a person typed on the terminal, seen. Raises: InvalidInput where there is none."""
    require_terminal()
    with open(_TTY, "r+b", buffering=0) as terminal:  # noqa: PTH123 - a device
        terminal.write(prompt.encode())
        return terminal.readline(64).decode(errors="replace").strip()

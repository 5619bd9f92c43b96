"""``memmcp stdio``: carry an agent's lines to the shared daemon and back.

What a client spawns must be there at once and cost nothing, so this is standard library only; see ``session`` for what
happens when the daemon ends.
"""

import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from .finding import LINE_BYTES_MAX, Finder
from .places import Places, resolve_data_dir
from .session import Session

DRAIN_TIMEOUT_S = 1.5


class Output:
    """stdout, whole lines from either thread. When the client is gone there is nobody left to serve."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()

    def __call__(self, data: bytes) -> None:
        view = memoryview(data)
        with self._lock:
            try:
                while view:
                    view = view[os.write(self._fd, view) :]
            except OSError:
                os._exit(0)


def read_lines(fd: int, take: Callable[[bytes], None], too_long: Callable[[], None]) -> None:
    """Hand over each line of ``fd`` until its end; a line beyond the bound is skipped and reported."""
    buffer = bytearray()
    is_skipping = False
    while chunk := os.read(fd, 65_536):
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            buffer += line
            if is_skipping or len(buffer) > LINE_BYTES_MAX:
                too_long()
            else:
                take(bytes(buffer))
            is_skipping = False
            buffer.clear()
        buffer += rest
        if len(buffer) > LINE_BYTES_MAX:
            is_skipping = True
            buffer.clear()
    if buffer and not is_skipping:
        take(bytes(buffer))


USAGE = """Usage: memmcp stdio [--data-dir DIR]

Speak MCP on stdin and stdout: finds the daemon of the data directory, or starts it, and carries the protocol.
Agents run this; `memmcp connect CLIENT` writes it into their configuration.

  --data-dir DIR  default: MEMMCP_DATA_DIR, else the platform's folder for user data
"""


def parse_arguments(arguments: Sequence[str]) -> tuple[Path | None, str | None]:
    """Return the data directory as given, and what is wrong."""
    rest = list(arguments)
    given: Path | None = None
    while rest:
        word = rest.pop(0)
        if word.startswith("--data-dir="):
            given = Path(word.partition("=")[2])
        elif word == "--data-dir" and rest:
            given = Path(rest.pop(0))
        elif word == "--data-dir":
            return None, "--data-dir needs a directory"
        else:
            return None, f"unknown argument {word!r}"
    return given, None


def main(arguments: Sequence[str], command: tuple[str, ...] = ()) -> int:
    """Run the bridge until its client closes stdin; return the exit code."""
    if "--help" in arguments or "-h" in arguments:
        print(USAGE, end="")  # noqa: T201
        return 0
    given, wrong = parse_arguments(arguments)
    if wrong is not None:
        print(f"memmcp stdio: {wrong}\n\n{USAGE}", end="", file=sys.stderr)  # noqa: T201
        return 2
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(0, os.O_BINARY)
        msvcrt.setmode(1, os.O_BINARY)
    else:
        # A client may hand over descriptors that it made non-blocking for itself.
        os.set_blocking(0, True)
        os.set_blocking(1, True)
    places = Places(resolve_data_dir(given, os.environ))
    uuid = os.urandom(16).hex()
    output = Output(1)
    session = Session(places, uuid, Finder(places, os.environ, uuid, command), output)
    threading.Thread(target=session.pump, name="pump", daemon=True).start()
    threading.Thread(target=session.watch, name="watch", daemon=True).start()
    try:
        read_lines(0, session.take, session.refuse_long_line)
        session.drain(DRAIN_TIMEOUT_S)
    except KeyboardInterrupt:
        return 130
    sys.stderr.flush()
    # The pump may be anywhere; nothing is left that an orderly end of the interpreter would do better.
    os._exit(0)

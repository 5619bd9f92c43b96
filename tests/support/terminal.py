"""A command on a terminal of its own, at which a test types."""

import fcntl
import os
import pty
import select
import subprocess
import sys
import termios
import time
from types import TracebackType
from typing import Final

DEADLINE_S: Final = 40.0


class Terminal:
    """Runs ``memmcp-trade``, or another module, with the given words until the block is left. What it wrote so far is
    ``seen``."""

    def __init__(self, *words: str, environment: dict[str, str] | None = None, module: str = "trading") -> None:
        self._words = (module, *words)
        self._environment = {**os.environ, "COLUMNS": "200", **(environment or {})}
        self.seen = ""

    def __enter__(self) -> "Terminal":
        self._master, slave = pty.openpty()

        def take_over() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [sys.executable, "-m", *self._words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=take_over,
            env=self._environment,
        )
        os.close(slave)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def expect(self, text: str) -> None:
        """Wait until it wrote this since the last time something was typed."""
        ends = time.monotonic() + DEADLINE_S
        while text not in self.seen:
            assert time.monotonic() < ends, self.seen
            if not self._read():
                assert text in self.seen, self.seen

    def answer(self, question: str, line: str) -> None:
        """Wait for a question and type a line."""
        self.expect(question)
        # A line that is typed before echo is off would be thrown away with what was typed ahead.
        ends = time.monotonic() + DEADLINE_S
        while termios.tcgetattr(self._master)[3] & termios.ECHO and "passphrase" in question:
            assert time.monotonic() < ends
            time.sleep(0.01)
        self.seen = ""
        os.write(self._master, line.encode() + b"\n")

    def end(self) -> int:
        """Read to the end, and return the exit code."""
        ends = time.monotonic() + DEADLINE_S
        while self._read():
            assert time.monotonic() < ends, self.seen
        return self.process.wait(DEADLINE_S)

    def _read(self) -> bool:
        """Take in what was written; False once nobody writes any more."""
        if not select.select([self._master], [], [], 0.2)[0]:
            return self.process.poll() is None
        try:
            piece = os.read(self._master, 65_536)
        except OSError:
            return False
        self.seen += piece.decode(errors="replace")
        return bool(piece)

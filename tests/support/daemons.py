"""A daemon as a person starts it: ``memmcp serve`` in the foreground."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from memmcp_server.cli.client import is_served
from memmcp_server.daemon.places import Places
from tests.support.agents import ROOT, daemon_pid, until


@contextlib.contextmanager
def served(
    data_dir: Path, *options: str, environ: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``memmcp serve`` with a free port until the block ends; it must then stop in time by SIGTERM."""
    command = [sys.executable, "-m", "memmcp_server", "serve", "--data-dir", str(data_dir), "--port", "0", *options]
    log = data_dir.parent / f"{data_dir.name}.serve.log"
    with log.open("wb") as output:
        daemon = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environ),
            cwd=ROOT,
        )
        try:
            until(lambda: _is_up(data_dir, daemon, log), 60)
            yield daemon
        finally:
            with contextlib.suppress(ProcessLookupError):
                daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(20)
            finally:
                daemon.kill()
                daemon.wait()
                log.unlink(missing_ok=True)


def _is_up(data_dir: Path, daemon: subprocess.Popen[bytes], log: Path) -> bool:
    assert daemon.poll() is None, f"memmcp serve ended with {daemon.returncode}:\n{log.read_text(errors='replace')}"
    return is_served(Places(data_dir)) and daemon_pid(data_dir) == daemon.pid

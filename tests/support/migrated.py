"""An empty journal, migrated already: the migrations have tests of their own, and take longer than many a test."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from memmcp_server.adapters.sql_journal.engines import open_engines, place_of
from memmcp_server.adapters.sql_journal.migrate import upgrade
from memmcp_server.config import JournalSection


def migrated(directory: Path) -> Path:
    """Give the directory a journal in a file, where it has none, and return it.

    It has no rows, so that whoever opens it makes an instance of its own.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = _made()
    if not (directory / made.name).exists():
        shutil.copy(made, directory / made.name)
    return directory


@cache
def _made() -> Path:
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    section = JournalSection()
    place = place_of(section, folder)
    engines = open_engines(place, section.readers, section.commit_timeout_s)
    with engines.writer.begin() as connection:
        upgrade(connection)
    engines.dispose()
    assert place.path is not None
    return place.path

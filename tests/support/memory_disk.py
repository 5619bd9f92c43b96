"""A directory that no disk is behind, where the system has one: a new shard takes a second on a busy disk."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")


@contextlib.contextmanager
def memory_directory() -> Iterator[Path]:
    """Yield an empty directory that is gone afterwards. What survives a loss of power cannot be asked there."""
    with tempfile.TemporaryDirectory(
        dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None,
        ignore_cleanup_errors=True,  # the engine's own thread may still write a file while the folder goes
    ) as directory:
        yield Path(directory)

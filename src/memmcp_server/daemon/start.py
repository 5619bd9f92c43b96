"""From an empty process to a served data directory: lease, sockets, record, and only then what is slow to import."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from memmcp_server import settings
from memmcp_server.adapters.garbage import uncollected
from memmcp_server.errors import LeaseHeld, MemoryServerError

from .doors import DEFAULT_FAMILY, BridgeFamily, open_doors
from .lease import Lease, Record
from .places import Places, resolve_data_dir

if TYPE_CHECKING:
    from memmcp_server.bootstrap import OpenJournal

Options = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True)
class Launch:
    """How a daemon came to be.

    ``by_bridge``: nobody watches this process; it takes no money setting from the environment, listens on any port
    when the configured one is taken, and ends when it is idle. ``open_journal`` None: the real one.
    """

    by_bridge: bool = False
    family: BridgeFamily = DEFAULT_FAMILY
    open_journal: "OpenJournal | None" = None


BY_PERSON = Launch()
BY_BRIDGE = Launch(by_bridge=True)


def serve(
    data_dir: Path,
    environ: Mapping[str, str],
    *,
    file: Path | None = None,
    options: Options | None = None,
    launch: Launch = BY_PERSON,
) -> int:
    """Own the data directory and serve it until told to stop; return the exit code.

    Raises: LeaseHeld, DataDirectoryError, InvalidInput and what opening the services raises.
    """
    lease = Lease.take(Places(data_dir))
    try:
        sections = settings.load(data_dir, environ, file=file, options=options, by_bridge=launch.by_bridge)
        with open_doors(lease, sections.http, any_port=launch.by_bridge, family=launch.family) as doors:
            lease.publish(Record(doors.http_url, doors.bridges_address, lease.token, datetime.now(UTC)))
            lease.clear_stopped()
            # A second of imports, while the first bridges already wait at an open door.
            with uncollected():
                from .host import run

            return run(sections, environ, lease, doors, launch)
    finally:
        lease.release()


def explain(error: MemoryServerError) -> str:
    """Return the error as a person reads it: what is wrong, then what to do."""
    return f"{error.message}\n{error.hint}" if error.hint else error.message


def main(arguments: Sequence[str], launch: Launch = BY_BRIDGE) -> int:
    """Be the daemon that a bridge started: ``--data-dir DIR`` and nothing else."""
    given = Path(arguments[1]) if len(arguments) == 2 and arguments[0] == "--data-dir" else None
    if given is None:
        sys.stderr.write("this module is started by `memmcp stdio`; a person runs `memmcp serve`\n")
        return 2
    try:
        return serve(resolve_data_dir(given, os.environ), dict(os.environ), launch=launch)
    except LeaseHeld as error:
        # Another one was faster: exactly what was wanted.
        sys.stderr.write(f"{explain(error)}\n")
        return 0
    except MemoryServerError as error:
        sys.stderr.write(f"{explain(error)}\n")
        return 1

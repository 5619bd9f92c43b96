"""What a server's journal needs before its first use: a schema, this daemon's sinks, and to be the one it was before.

A daemon may begin while the server is away, if it was here before: then this is made up for before the first read or
write that reaches the server. Files have no need of it.
"""

import json
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from memmcp_server.domain.outbox import SinkSpec
from memmcp_server.errors import DataDirectoryError, InvalidInput, JournalUnavailable
from memmcp_server.ports import Clock

from . import nodes, reads
from .engines import Engines, check_opens, make_private_file
from .migrate import migrate
from .nodes import Names
from .translate import of_os, opening

IDENTITY_FILE = "journal.identity.json"
AGAIN_S = 0.5
"""So long a failure is told again without asking: many wait for the same server."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Readiness:
    """Blocks: call it from threads. ``retire``: sinks that nobody has registered are dropped."""

    engines: Engines
    sinks: Sequence[SinkSpec]
    names: Names
    clock: Clock
    data_dir: Path
    retire: bool
    _ready: threading.Event = field(default_factory=threading.Event)
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _failed: tuple[float, JournalUnavailable] | None = None

    def begin(self) -> None:
        """Make it ready, or leave that for later where the server is away and this daemon has been there before.

        Raises: DataDirectoryError, JournalUnavailable (it was never here), JournalBusy, StorageFull.
        """
        try:
            self._write_identity(self._prepared())
            self._ready.set()
        except JournalUnavailable as error:
            if self._identity() is None:
                raise
            logger.warning("the daemon begins without the journal's server: %s", error.message)

    def ensure(self) -> None:
        """Return once the journal is ready. Raises: JournalUnavailable, JournalBusy, StorageFull."""
        if self._ready.is_set():
            return
        with self._turn:
            if self._ready.is_set():
                return
            if self._failed is not None and time.monotonic() - self._failed[0] < AGAIN_S:
                raise self._failed[1]
            try:
                self._make_up()
            except JournalUnavailable as error:
                self._failed = (time.monotonic(), error)
                raise

    def _make_up(self) -> None:
        try:
            found, known = self._prepared(), self._identity()
        except (DataDirectoryError, InvalidInput) as error:
            # Not for the caller to mend, and no reason to give up what is on its way.
            raise JournalUnavailable(error.message, hint=error.hint) from error
        if known is not None and found != known:
            msg = f"the server at {self.engines.place.shown} holds journal {found} now; this daemon's was {known}"
            raise JournalUnavailable(msg, hint="bring the journal back, or restart the daemon to go on with this one")
        self._ready.set()
        logger.info("the journal's server is there")

    def _prepared(self) -> str:
        """Make the schema and the sinks; return the journal's instance id."""
        shown = self.engines.place.shown
        check_opens(self.engines)
        migrate(self.engines.writer, shown, ())
        with opening(shown, is_file=False), self.engines.writer.begin() as connection:
            nodes.register(connection, self.sinks, self.names, self.clock.now_ns(), fills=False)
            if self.retire:
                nodes.drop_unregistered(connection)
            instance_id = reads.instance_id(connection)
        is_filled = False
        while not is_filled:
            with opening(shown, is_file=False), self.engines.writer.begin() as connection:
                is_filled = nodes.fill(connection, self.sinks, self.names, self.clock.now_ns())
        return instance_id

    def _identity(self) -> str | None:
        """Return the instance id of the journal at this address when it was last there, None where it never was."""
        try:
            document = json.loads((self.data_dir / IDENTITY_FILE).read_text(encoding="utf-8"))
            return str(document["instance_id"]) if document["journal"] == self.engines.place.shown else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write_identity(self, instance_id: str) -> None:
        path = self.data_dir / IDENTITY_FILE
        document = {"instance_id": instance_id, "journal": self.engines.place.shown}
        try:
            make_private_file(path)
            path.write_text(json.dumps(document) + "\n", encoding="utf-8")
        except OSError as error:
            raise of_os(error, str(path)) from error

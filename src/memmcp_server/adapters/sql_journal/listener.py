"""Hears of the commits of other daemons (LISTEN), and says now and then that this one is there. PostgreSQL only.

It asks besides how far the journal is, and whoever waits for a commit polls too, so that nothing rests on a
notification.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
from sqlalchemy import URL

from .engines import LIVELINESS
from .schema import CHANNEL

LOOK_S = 0.5
"""So often the thread looks whether it shall end, and how far the journal is: notifications can be lost without a word,
behind a pooler or on a connection that died, and nobody may be a second behind for that."""
PRESENT_S = 60.0
"""So often the daemon says that its sinks are served."""
RETRY_S_MAX = 5.0

_log = logging.getLogger(__name__)


class Listener:
    """``on_seq`` is called in the listener's thread with the seq of each commit, and with the horizon after an outage;
    ``on_present`` about once a minute."""

    def __init__(self, url: URL, on_seq: Callable[[int], None], on_present: Callable[[], None]) -> None:
        # As the other connections take it: an address may name several hosts, or settings with blanks in them, which
        # the driver would read otherwise.
        self._address: dict[str, Any] = {**url.get_dialect()().create_connect_args(url)[1]}
        self._on_seq = on_seq
        self._on_present = on_present
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal-listener", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """End the thread; idempotent. Blocks for at most that long."""
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        pause_s = LOOK_S
        while not self._ending.is_set():
            began_s = time.monotonic()
            try:
                self._listen()
            except (psycopg.Error, ValueError) as error:  # also a notification that is not ours
                _log.info("the journal's server tells of no commits now: %s", str(error).strip().partition("\n")[0])
            pause_s = LOOK_S if time.monotonic() - began_s > RETRY_S_MAX else min(2 * pause_s, RETRY_S_MAX)
            self._ending.wait(pause_s)

    def _listen(self) -> None:
        """Listen until the end or an error. Raises: psycopg.Error."""
        with psycopg.connect(
            **{**self._address, **LIVELINESS, "application_name": "memmcp (listener)"},
            autocommit=True,
        ) as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            self._tell_horizon(connection)
            present_at_s = time.monotonic() + PRESENT_S
            while not self._ending.is_set():
                for notified in connection.notifies(timeout=LOOK_S):
                    self._on_seq(int(notified.payload))
                self._tell_horizon(connection)
                if time.monotonic() >= present_at_s:
                    self._on_present()
                    present_at_s = time.monotonic() + PRESENT_S

    def _tell_horizon(self, connection: "psycopg.Connection[Any]") -> None:
        row = connection.execute("SELECT seq FROM head").fetchone()
        if row is not None:
            self._on_seq(int(row[0]))

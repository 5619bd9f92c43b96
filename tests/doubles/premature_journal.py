"""The control of every durability test: a journal that acknowledges before it commits.

It answers right except under a crash: killed between the answer and the commit it has lost what it acknowledged. A
checker that does not catch it proves nothing.
"""

import threading
from contextlib import AbstractAsyncContextManager

from memmcp_server.adapters.sql_journal import SqlJournal, open_journal
from memmcp_server.adapters.sql_journal.translate import translating
from memmcp_server.adapters.sql_journal.writer import Work, Writer
from memmcp_server.config import Sections
from memmcp_server.errors import MemoryServerError

from .clocks import SystemClock

COMMIT_DELAY_S = 0.2
"""How long an acknowledged batch stays uncommitted: long enough to be killed in."""


class PrematureWriter(Writer):
    """Tells the callers, waits, and commits only then."""

    def _settle(self, batch: list[Work]) -> None:
        is_told = False
        try:
            if self.before is not None:
                self.before()
            with translating(self._shown):
                if self._connection is None:
                    self._connection = self._engine.connect()
                with self._connection.begin():
                    self._tell(batch, self._apply(self._connection, batch))
                    is_told = True
                    threading.Event().wait(COMMIT_DELAY_S)
        except MemoryServerError as error:
            if not is_told:  # else its server was killed meanwhile, and what was told is lost
                self._tell(batch, [error] * len(batch))


class PrematureJournal(SqlJournal):
    writer_type = PrematureWriter


def open_premature_journal(sections: Sections) -> AbstractAsyncContextManager[SqlJournal]:
    """Open it as ``bootstrap`` opens the real one: pass this as ``journal_opener``."""
    return open_journal(sections.journal, sections.data_dir, SystemClock(), journal_type=PrematureJournal)

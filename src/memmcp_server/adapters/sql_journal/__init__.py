"""The journal on SQLite and PostgreSQL."""

from .journal import SqlJournal, open_journal

__all__ = ["SqlJournal", "open_journal"]

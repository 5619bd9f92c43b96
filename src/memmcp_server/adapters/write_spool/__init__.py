"""The spool of writes on SQLite: durable on this machine while the journal's server is away."""

from .spool import NAME, SqlSpool, open_spool

__all__ = ["NAME", "SqlSpool", "open_spool"]

"""The spool of writes on SQLite: durable on this machine while the journal's server is away."""

from .spool import NAME as SPOOL_NAME
from .spool import SqlSpool, open_spool

__all__ = ["SPOOL_NAME", "SqlSpool", "open_spool"]

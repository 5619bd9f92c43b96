"""The seams of the memory server. Every Protocol has a real body and a test body and one contract suite."""

from .desk import Approvals, TradingDesk
from .heartbeat import Beat, DeadMansSwitch
from .index import Embedder, GoldenStore, IndexHit, IndexPoint, IndexStatus, NextGeneration, VectorIndex
from .journal import BesideMemory, Clock, Journal, JournalCommand, LexicalScope, Purge
from .sinks import Messenger, RemoteSink, SecretScanner, Sink
from .spool import WriteSpool

__all__ = [
    "Approvals",
    "Beat",
    "BesideMemory",
    "Clock",
    "DeadMansSwitch",
    "Embedder",
    "GoldenStore",
    "IndexHit",
    "IndexPoint",
    "IndexStatus",
    "Journal",
    "JournalCommand",
    "LexicalScope",
    "Messenger",
    "NextGeneration",
    "Purge",
    "RemoteSink",
    "SecretScanner",
    "Sink",
    "TradingDesk",
    "VectorIndex",
    "WriteSpool",
]

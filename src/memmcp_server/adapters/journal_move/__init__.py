"""Move the journal from SQLite to PostgreSQL: copied in batches, restartable, with a proof that both are equal."""

from .move import Move, Moved, Progress
from .proof import Difference, TableProof
from .source import open_source
from .target import open_target

__all__ = ["Difference", "Move", "Moved", "Progress", "TableProof", "open_source", "open_target"]

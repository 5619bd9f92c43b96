"""What waits for a person among the nodes' intents, for ``runtime.reviewing``."""

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from trading.adapters.execution_schema import record
from trading.errors import InvalidInput
from trading.model.intent import IntentEvent

from .journal import StoredIntents

_TOLD: Final = ("halted", "needs_review", "looked")


class ReviewedIntents(StoredIntents):
    """Body of ``runtime.reviewing.MovedJournal``: of its record it tells what a person decides by, and nothing else."""

    @property
    def problem(self) -> str:
        """A database on a server is of no place that it could have been moved from."""
        return ""

    def accept(self, actor: str, reason: str) -> None:
        msg = f"item: the nodes' database waits for nothing, {actor}: {reason}"
        raise InvalidInput(msg, field="item")

    def events(self, after: int = 0, limit: int = 1_000) -> Sequence[IntentEvent]:
        query = sa.select(record).where(record.c.seq > after, record.c.kind.in_(_TOLD))
        with self._reading() as connection:
            return [IntentEvent(*row) for row in connection.execute(query.order_by(record.c.seq).limit(limit))]

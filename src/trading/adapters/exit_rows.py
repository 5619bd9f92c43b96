"""When the exits of a run were handed in and when the chain had them for good, from ``execution.db``."""

from pathlib import Path

import sqlalchemy as sa

from trading.model.intent import IntentState
from trading.model.time_to_flat import TimeToFlat

from .canonical import parse_json
from .execution_schema import STEPS, intents, record
from .sqlite import open_engine, translating

_OPENED = "opened"


def time_to_flat(path: Path, run_id: str) -> TimeToFlat | None:
    """Return how long exits of a run took on the wall's clock, shutting nobody out of the journal.

    None where the run has no order there. Raises: JournalUnavailable where the file is none of ours.
    """
    if not path.is_file():
        return None
    engine = open_engine(path, STEPS, connections=1)
    query = (
        sa.select(record.c.ts_ns, record.c.kind, record.c.wallet, intents.c.body)
        .join(intents, intents.c.id == record.c.intent_id)
        .where(record.c.kind.in_((_OPENED, IntentState.SETTLED.value)))
        .where(intents.c.key.startswith(f"{run_id}/", autoescape=True))
        .order_by(record.c.seq)
    )
    found = None
    try:
        with translating(path), engine.connect() as connection:
            for ts_ns, kind, wallet, body in connection.execute(query):
                found = found or TimeToFlat()
                intent = parse_json(body)
                if intent["is_exit"]:
                    tell = found.decided if kind == _OPENED else found.filled
                    tell((wallet, intent["in_mint"]), ts_ns)
            return found
    finally:
        engine.dispose()

"""On a server, snapshots and audit become tables of parts (see ``partitions``). Nothing is read or moved here.

What is there becomes the part that takes every row, so the change is as quick with a billion rows as with none, and a
daemon of the version before goes on with it. A unique constraint over all parts would have to hold their time: that a
desk's snapshot is stored once is ``keys``' to guard, which it always was.
"""

import time

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

HISTORY = {"snapshots": "recorded_at_ns", "audit": "at_ns"}
INDEXES = {
    "snapshots": {"snapshots_desk_time": ("desk_id", "ts_event_ns", "seq"), "snapshots_desk_seq": ("desk_id", "seq")},
    "audit": {"audit_memory": ("memory_id",), "audit_action": ("action", "seq")},
}
WHERE = {"audit_memory": " WHERE memory_id IS NOT NULL"}
ATTEMPTS_MAX = 60
LOCK_TIMEOUT_MS = 1_000
PAUSE_S = 0.5


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    _lock(connection)
    op.execute("ALTER TABLE snapshots DROP CONSTRAINT snapshots_desk_key")
    for table, column in HISTORY.items():
        first = f"{table}_first"
        op.execute(f"ALTER TABLE {table} RENAME TO {first}")
        op.execute(f"ALTER INDEX {table}_pkey RENAME TO {first}_pkey")
        for name, columns in INDEXES[table].items():
            # As the server itself names the index of a part.
            op.execute(f"ALTER INDEX {name} RENAME TO {first}_{'_'.join(columns)}_idx")
        op.execute(f"CREATE TABLE {table} (LIKE {first} INCLUDING DEFAULTS) PARTITION BY RANGE ({column})")
        for name, columns in INDEXES[table].items():
            op.execute(f"CREATE INDEX {name} ON {table} ({', '.join(columns)}){WHERE.get(name, '')}")
        op.execute(f"ALTER TABLE {table} ATTACH PARTITION {first} DEFAULT")


def _lock(connection: sa.Connection) -> None:
    """Lock both tables; who waits for a long reader lets go again and again, so that writers come through meanwhile."""
    for attempt in range(ATTEMPTS_MAX):
        try:
            with connection.begin_nested():
                connection.execute(sa.text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}"))
                connection.execute(sa.text("LOCK TABLE snapshots, audit IN ACCESS EXCLUSIVE MODE"))
                return
        except sa.exc.OperationalError:
            if attempt == ATTEMPTS_MAX - 1:
                raise
            time.sleep(PAUSE_S)

"""The first journal: memories, keys, trajectories, snapshots, outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SEQ = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    create_memories()
    create_keys()
    create_trajectories()
    create_snapshots()
    create_outbox()
    create_head()


def create_memories() -> None:
    op.create_table(
        "memories",
        sa.Column("seq", SEQ, primary_key=True, autoincrement=False),
        sa.Column("id", sa.String(128), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("namespace", sa.String(128), nullable=False),
        sa.Column("kind", sa.String(48), nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("metadata", sa.Text, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("session", sa.Text, nullable=False),
        sa.Column("tool", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("trust", sa.String(16), nullable=False),
        sa.Column("ts_event_ns", sa.BigInteger, nullable=False),
        sa.Column("known_at_ns", sa.BigInteger, nullable=False),
        sa.Column("superseded_at_ns", sa.BigInteger),
        sa.Column("expires_at_ns", sa.BigInteger),
        sa.Column("trajectory_id", sa.String(128)),
        sa.Column("embed", sa.Boolean, nullable=False),
        sa.UniqueConstraint("id", "version", name="memories_id_version"),
    )
    op.create_index("memories_namespace", "memories", ["namespace", "seq"])
    in_trajectory = sa.text("trajectory_id IS NOT NULL")
    op.create_index(
        "memories_trajectory",
        "memories",
        ["trajectory_id", "seq"],
        sqlite_where=in_trajectory,
        postgresql_where=in_trajectory,
    )


def create_keys() -> None:
    op.create_table(
        "keys",
        sa.Column("digest", sa.LargeBinary(16), primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary(32), nullable=False),
        sa.Column("memory_id", sa.String(128), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("known_at_ns", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )


def create_trajectories() -> None:
    op.create_table(
        "trajectories",
        sa.Column("id", sa.String(128), primary_key=True),
        sa.Column("namespace", sa.String(128), nullable=False),
        sa.Column("kind", sa.String(48), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("metadata", sa.Text, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("opened_at_ns", sa.BigInteger, nullable=False),
        sa.Column("closed_at_ns", sa.BigInteger),
        sa.Column("outcome", sa.Text),
        sa.Column("reward", sa.BigInteger),
        sa.Column("reward_unit", sa.String(64), nullable=False),
    )
    op.create_index("trajectories_opened", "trajectories", ["opened_at_ns", "id"])


def create_snapshots() -> None:
    op.create_table(
        "snapshots",
        sa.Column("seq", SEQ, primary_key=True, autoincrement=False),
        sa.Column("desk_id", sa.String(64), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("ts_event_ns", sa.BigInteger, nullable=False),
        sa.Column("recorded_at_ns", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.UniqueConstraint("desk_id", "key", name="snapshots_desk_key"),
    )
    op.create_index("snapshots_desk_time", "snapshots", ["desk_id", "ts_event_ns", "seq"])
    op.create_index("snapshots_desk_seq", "snapshots", ["desk_id", "seq"])


def create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", SEQ, primary_key=True, autoincrement=False),
        sa.Column("sink", sa.String(32), nullable=False),
        sa.Column("memory_id", sa.String(128), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("committed_at_ns", sa.BigInteger, nullable=False),
        sa.Column("due_at_ns", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("last_error", sa.Text, nullable=False),
        sa.Column("dead", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    alive = sa.text("NOT dead")
    op.create_index("outbox_live", "outbox", ["sink", "id"], sqlite_where=alive, postgresql_where=alive)
    op.create_table(
        "sinks",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("delivered", sa.BigInteger, nullable=False),
    )


def create_head() -> None:
    op.create_table(
        "head",
        sa.Column("one", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("instance_id", sa.String(36), nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("outbox_id", sa.BigInteger, nullable=False),
        sa.Column("known_at_ns", sa.BigInteger, nullable=False),
        sa.Column("memories", sa.BigInteger, nullable=False),
    )

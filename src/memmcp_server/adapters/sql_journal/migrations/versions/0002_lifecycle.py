"""Lifecycle: importance, pins, validity and threads of memories; links, marks, audit, policies, cursors."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

SEQ = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    widen_memories()
    create_links_and_marks()
    create_audit()
    create_policies_and_cursors()


def widen_memories() -> None:
    for column in (
        sa.Column("importance", sa.Integer, nullable=False, server_default="50"),
        sa.Column("pinned", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("valid_from_ns", sa.BigInteger),
        sa.Column("valid_to_ns", sa.BigInteger),
        sa.Column("thread", sa.String(128)),
        sa.Column("position", sa.BigInteger, nullable=False, server_default="0"),
    ):
        op.add_column("memories", column)
    op.drop_index("memories_trajectory", "memories")
    op.execute("UPDATE memories SET thread = trajectory_id, position = seq")
    _create_partial_index("memories_thread", "memories", ["thread", "position"])


def create_links_and_marks() -> None:
    op.create_table(
        "links",
        sa.Column("from_id", sa.String(128), primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("to_id", sa.String(128), primary_key=True),
        sa.Column("to_version", sa.Integer, nullable=False),
        sa.Column("trajectory_id", sa.String(128)),
        sa.Column("known_at_ns", sa.BigInteger, nullable=False),
        sa.Column("ended_at_ns", sa.BigInteger),
        sqlite_with_rowid=False,
    )
    op.create_index("links_to", "links", ["to_id", "kind"])
    _create_partial_index("links_trajectory", "links", ["trajectory_id"])
    op.create_table(
        "marks",
        sa.Column("memory_id", sa.String(128), primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("source", sa.String(200), primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.Column("known_at_ns", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )


def create_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", SEQ, primary_key=True, autoincrement=False),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("memory_id", sa.String(128)),
        sa.Column("namespace", sa.String(128)),
        sa.Column("kind", sa.String(48), nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    _create_partial_index("audit_memory", "audit", ["memory_id"])
    op.create_index("audit_action", "audit", ["action", "seq"])


def create_policies_and_cursors() -> None:
    op.create_table(
        "policies",
        sa.Column("namespace", sa.String(129), primary_key=True),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("updated_at_ns", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "cursors",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("updated_at_ns", sa.BigInteger, nullable=False),
    )


def _create_partial_index(name: str, table: str, columns: list[str]) -> None:
    where = sa.text(f"{columns[0]} IS NOT NULL")
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)

"""The journal's tables, the same on SQLite and PostgreSQL. Alembic makes them (``migrations``); a test compares both.

    memories      one row per version, append-only but for ``superseded_at_ns``, which is set once, from NULL, and for
                  what is forgotten, which is deleted
    keys          idempotency: digest of (namespace, agent, key) -> the first acknowledgement and what it was for
    trajectories  the head of each trajectory; its texts are memories, its steps too
    links         which memory supersedes, cites, contradicts or was kept for which
    marks         credit and confirmations of memories, one per (memory, kind, source)
    audit         what was done (forget, merge, restore, policy, back-up ...), in the journal's order, without content
    policies      what holds in a namespace
    cursors       how far a named reader of the changes has come
    snapshots     desks' snapshots, one per (desk, key)
    outbox        what a sink has not got yet: id, version and sink, never content
    sinks         the known sinks and how many entries each has been delivered; on a server also what each is given,
                  whose it is (an index inside of a daemon is that node's alone) and when a daemon last served it
    leases        on a server: which daemon does now what only one may do at a time
    head          one row: the last seq, outbox id and commit time, how many memories there are, the instance's id

The single row of ``head`` is read and written by each transaction that appends. On PostgreSQL its row lock makes
transactions of several daemons take turns, so that seqs are handed out in the order of commits. There ``snapshots`` and
``audit`` are kept in parts by the month (``partitions``).
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

REVISIONS = ("0001", "0002", "0003", "0004", "0005")
"""Schema revisions that this version knows, oldest first; the last is what it needs."""

HISTORY = {"snapshots": "recorded_at_ns", "audit": "at_ns"}
"""Tables that a server keeps in parts, by a time that never goes back (``partitions``). There they have no constraint
that spans the parts: seqs come from the head, and ``keys`` says which snapshot is there."""

CHANNEL = "memmcp"
"""On which a server notifies the daemons of each commit, with its last seq."""

metadata = MetaData()

memories = Table(
    "memories",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("id", String(128), nullable=False),
    Column("version", Integer, nullable=False),
    Column("namespace", String(128), nullable=False),
    Column("kind", String(48), nullable=False),
    Column("content", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("session", Text, nullable=False),
    Column("tool", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("trust", String(16), nullable=False),
    Column("ts_event_ns", BigInteger, nullable=False),
    Column("known_at_ns", BigInteger, nullable=False),
    Column("superseded_at_ns", BigInteger),
    Column("expires_at_ns", BigInteger),
    Column("trajectory_id", String(128)),
    Column("embed", Boolean, nullable=False),
    Column("importance", Integer, nullable=False, server_default="50"),
    Column("pinned", Boolean, nullable=False, server_default=false()),
    Column("valid_from_ns", BigInteger),
    Column("valid_to_ns", BigInteger),
    Column("thread", String(128)),
    Column("position", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("id", "version", name="memories_id_version"),
    Index("memories_namespace", "namespace", "seq"),
    # Finds steps too: the thread of a step is its trajectory.
    Index(
        "memories_thread",
        "thread",
        "position",
        sqlite_where=text("thread IS NOT NULL"),
        postgresql_where=text("thread IS NOT NULL"),
    ),
)

keys = Table(
    "keys",
    metadata,
    Column("digest", LargeBinary(16), primary_key=True),
    Column("fingerprint", LargeBinary(32), nullable=False),
    Column("memory_id", String(128), nullable=False),
    Column("version", Integer, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("known_at_ns", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

trajectories = Table(
    "trajectories",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("namespace", String(128), nullable=False),
    Column("kind", String(48), nullable=False),
    Column("title", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("opened_at_ns", BigInteger, nullable=False),
    Column("closed_at_ns", BigInteger),
    Column("outcome", Text),
    Column("reward", BigInteger),
    Column("reward_unit", String(64), nullable=False),
    Index("trajectories_opened", "opened_at_ns", "id"),
)

links = Table(
    "links",
    metadata,
    Column("from_id", String(128), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("to_id", String(128), primary_key=True),
    Column("to_version", Integer, nullable=False),
    Column("trajectory_id", String(128)),
    Column("known_at_ns", BigInteger, nullable=False),
    Column("ended_at_ns", BigInteger),
    Index("links_to", "to_id", "kind"),
    Index(
        "links_trajectory",
        "trajectory_id",
        sqlite_where=text("trajectory_id IS NOT NULL"),
        postgresql_where=text("trajectory_id IS NOT NULL"),
    ),
    sqlite_with_rowid=False,
)

marks = Table(
    "marks",
    metadata,
    Column("memory_id", String(128), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("source", String(200), primary_key=True),
    Column("value", BigInteger, nullable=False),
    Column("known_at_ns", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("action", String(32), nullable=False),
    Column("memory_id", String(128)),
    Column("namespace", String(128)),
    Column("kind", String(48), nullable=False),
    Column("agent", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Index(
        "audit_memory",
        "memory_id",
        sqlite_where=text("memory_id IS NOT NULL"),
        postgresql_where=text("memory_id IS NOT NULL"),
    ),
    Index("audit_action", "action", "seq"),
)

policies = Table(
    "policies",
    metadata,
    Column("namespace", String(129), primary_key=True),
    Column("policy", Text, nullable=False),
    Column("updated_at_ns", BigInteger, nullable=False),
)

cursors = Table(
    "cursors",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("updated_at_ns", BigInteger, nullable=False),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("desk_id", String(64), nullable=False),
    Column("key", String(200), nullable=False),
    Column("ts_event_ns", BigInteger, nullable=False),
    Column("recorded_at_ns", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("desk_id", "key", name="snapshots_desk_key"),
    Index("snapshots_desk_time", "desk_id", "ts_event_ns", "seq"),
    Index("snapshots_desk_seq", "desk_id", "seq"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("sink", String(32), nullable=False),
    Column("memory_id", String(128), nullable=False),
    Column("version", Integer, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("committed_at_ns", BigInteger, nullable=False),
    Column("due_at_ns", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_error", Text, nullable=False),
    Column("dead", Boolean, nullable=False, server_default=false()),
    Index("outbox_live", "sink", "id", sqlite_where=text("NOT dead"), postgresql_where=text("NOT dead")),
    Index("outbox_dead", "sink", "id", sqlite_where=text("dead"), postgresql_where=text("dead")),
)

sinks = Table(
    "sinks",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("delivered", BigInteger, nullable=False),
    Column("spec", Text),
    Column("node", String(32)),
    Column("seen_at_ns", BigInteger),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("until_ns", BigInteger, nullable=False),
)

head = Table(
    "head",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("instance_id", String(36), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("outbox_id", BigInteger, nullable=False),
    Column("known_at_ns", BigInteger, nullable=False),
    Column("memories", BigInteger, nullable=False),
)

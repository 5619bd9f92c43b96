"""The tables of ``execution.db``: intents, their attempts, halted wallets, and the record of everything."""

import sqlalchemy as sa

from .sqlite import Step, run_all

metadata = sa.MetaData()

fence = sa.Table(
    "fence",  # who opened the journal last: anybody else may not write any more
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("epoch", sa.BigInteger, nullable=False),
)
intents = sa.Table(
    "intents",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False, unique=True),
    sa.Column("key", sa.String, nullable=False, unique=True),
    sa.Column("wallet", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False, index=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("problem", sa.String, nullable=False),
    sa.Column("is_cancel_asked", sa.Boolean, nullable=False),
    sa.Column("settlement", sa.LargeBinary),
    sa.Column("approval", sa.LargeBinary),  # what the operator was asked about it, if anything
)
attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("intent_id", sa.ForeignKey("intents.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("signature", sa.String, nullable=False, unique=True),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    # Two attempts of one intent that may both land would be a double trade: the database itself refuses.
    sa.Index("one_alive_attempt", "intent_id", unique=True, sqlite_where=sa.text("state IN ('signed', 'landed')")),
)
wallets = sa.Table(
    "wallets",
    metadata,
    sa.Column("wallet", sa.String, primary_key=True),
    sa.Column("problem", sa.String, nullable=False),  # empty: it may trade
    sa.Column("cursor", sa.String),
)
home = sa.Table(
    "home",  # the directory that the journal was opened in last, and why it is not to be trusted
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("instance", sa.String, nullable=False),
    sa.Column("problem", sa.String, nullable=False),  # empty: it is
)
record = sa.Table(
    "record",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("ts_ns", sa.BigInteger, nullable=False),
    sa.Column("wallet", sa.String, nullable=False),
    sa.Column("intent_id", sa.String, nullable=False, index=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

_FIRST = (
    "CREATE TABLE fence (id INTEGER NOT NULL PRIMARY KEY, epoch BIGINT NOT NULL)",
    "INSERT INTO fence (id, epoch) VALUES (1, 0)",
    (
        "CREATE TABLE intents (id VARCHAR NOT NULL PRIMARY KEY, number INTEGER NOT NULL UNIQUE, "
        "key VARCHAR NOT NULL UNIQUE, wallet VARCHAR NOT NULL, state VARCHAR NOT NULL, body BLOB NOT NULL, "
        "problem VARCHAR NOT NULL, is_cancel_asked BOOLEAN NOT NULL, settlement BLOB)"
    ),
    "CREATE INDEX ix_intents_state ON intents (state)",
    (
        "CREATE TABLE attempts (intent_id VARCHAR NOT NULL REFERENCES intents (id), number INTEGER NOT NULL, "
        "signature VARCHAR NOT NULL UNIQUE, state VARCHAR NOT NULL, raw BLOB NOT NULL, body BLOB NOT NULL, "
        "PRIMARY KEY (intent_id, number))"
    ),
    "CREATE UNIQUE INDEX one_alive_attempt ON attempts (intent_id) WHERE state IN ('signed', 'landed')",
    "CREATE TABLE wallets (wallet VARCHAR NOT NULL PRIMARY KEY, problem VARCHAR NOT NULL, cursor VARCHAR)",
    (
        "CREATE TABLE record (seq INTEGER NOT NULL PRIMARY KEY, ts_ns BIGINT NOT NULL, wallet VARCHAR NOT NULL, "
        "intent_id VARCHAR NOT NULL, kind VARCHAR NOT NULL, body BLOB NOT NULL)"
    ),
    "CREATE INDEX ix_record_intent_id ON record (intent_id)",
    *(
        f"CREATE TRIGGER record_no_{verb.lower()} BEFORE {verb} ON record "
        "BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END"
        for verb in ("UPDATE", "DELETE")
    ),
    "CREATE TRIGGER attempts_no_delete BEFORE DELETE ON attempts BEGIN SELECT RAISE(ABORT, 'attempts stay'); END",
)

_HOME = (
    "CREATE TABLE home (id INTEGER NOT NULL PRIMARY KEY, instance VARCHAR NOT NULL, problem VARCHAR NOT NULL)",
    "INSERT INTO home (id, instance, problem) VALUES (1, '', '')",
)

_APPROVAL = ("ALTER TABLE intents ADD COLUMN approval BLOB",)

STEPS: tuple[Step, ...] = (run_all(_FIRST), run_all(_HOME), run_all(_APPROVAL))
"""Step n brings schema n-1 to n. A step that was released is never changed; the next one corrects it."""

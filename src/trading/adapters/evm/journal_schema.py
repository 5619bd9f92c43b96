"""The tables of ``evm.db``: intents on an EVM chain, their attempts, accounts, and the record of everything."""

import sqlalchemy as sa

from trading.adapters.sqlite import Step
from trading.model.evm import IN_FLIGHT

metadata = sa.MetaData()
_FLYING = ", ".join(f"'{each.value}'" for each in sorted(IN_FLIGHT))

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
    sa.Column("account", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False, index=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("problem", sa.String, nullable=False),
    sa.Column("is_cancel_asked", sa.Boolean, nullable=False),
    sa.Column("block_number", sa.BigInteger),
    sa.Column("block_hash", sa.String),
    sa.Column("is_buried", sa.Boolean, nullable=False),
    sa.Column("settlement", sa.LargeBinary),
    # Two intents of one account in flight could overtake each other: the database itself refuses.
    sa.Index("one_nonce_held", "account", unique=True, sqlite_where=sa.text(f"state IN ({_FLYING})")),
)
attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("intent_id", sa.ForeignKey("intents.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("account", sa.String, nullable=False),
    sa.Column("nonce", sa.BigInteger, nullable=False),
    sa.Column("tx_hash", sa.String, nullable=False, unique=True),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("account", sa.String, primary_key=True),
    sa.Column("problem", sa.String, nullable=False),  # empty: it may sign
)
record = sa.Table(
    "record",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("ts_ns", sa.BigInteger, nullable=False),
    sa.Column("account", sa.String, nullable=False),
    sa.Column("intent_id", sa.String, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)


def _first(connection: sa.Connection) -> None:
    metadata.create_all(connection)
    connection.execute(sa.insert(fence).values(id=1, epoch=0))


STEPS: tuple[Step, ...] = (_first,)

"""The tables that nodes share, beside those of every execution journal (``execution_schema``): one schema for all."""

from typing import Final

import sqlalchemy as sa

SCHEMA: Final = "trading_nodes"
REVISIONS: Final = ("0001", "0002")
"""All that this version knows, oldest first."""

metadata = sa.MetaData()
UNITS: Final = sa.Numeric(40, 0)
"""Base units of a token: beyond 63 bits."""

limits = sa.Table(
    "limits",  # one row: whoever claims holds it, so that no two claims count the same room
    metadata,
    sa.Column("one", sa.Integer, primary_key=True),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("exposure_lamports_max", sa.BigInteger, nullable=False),
    sa.Column("token_lamports_max", sa.BigInteger, nullable=False),
    sa.Column("entries_open_max", sa.BigInteger, nullable=False),
)
parents = sa.Table(
    "parents",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("key", sa.String, nullable=False, unique=True),
    sa.Column("token", sa.String, nullable=False),
    sa.Column("is_buy", sa.Boolean, nullable=False),
    sa.Column("planned_ns", sa.BigInteger, nullable=False),
)
children = sa.Table(
    "children",
    metadata,
    sa.Column("id", sa.String, primary_key=True),  # the intent's too
    sa.Column("parent_id", sa.ForeignKey("parents.id"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("wallet", sa.String, nullable=False),
    sa.Column("token", sa.String, nullable=False),
    sa.Column("is_buy", sa.Boolean, nullable=False),
    sa.Column("lamports", sa.BigInteger, nullable=False),  # what a purchase adds to the exposure
    sa.Column("due_ns", sa.BigInteger, nullable=False),
    sa.Column("until_ns", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("node", sa.String, nullable=False),
    sa.Column("problem", sa.String, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
nodes = sa.Table(
    "nodes",
    metadata,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("version", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("began_ns", sa.BigInteger, nullable=False),
    sa.Column("seen_ns", sa.BigInteger, nullable=False),
    sa.Column("told", sa.LargeBinary, nullable=False),
    sa.Column("process", sa.String, nullable=False, server_default=""),
)
leases = sa.Table(
    "leases",  # whoever writes for a wallet holds its row, so that all of that comes one after the other
    metadata,
    sa.Column("wallet", sa.String, primary_key=True),
    sa.Column("node", sa.String, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("until_ns", sa.BigInteger, nullable=False),
)
reservations = sa.Table(
    "reservations",  # one for each child that is open: what it may add, and which side of the token is taken
    metadata,
    sa.Column("child_id", sa.ForeignKey("children.id"), primary_key=True),
    sa.Column("wallet", sa.String, nullable=False),
    sa.Column("token", sa.String, nullable=False),
    sa.Column("is_buy", sa.Boolean, nullable=False),
    sa.Column("lamports", sa.BigInteger, nullable=False),
)
holdings = sa.Table(
    "holdings",  # what the fills left in each wallet, at cost
    metadata,
    sa.Column("wallet", sa.String, primary_key=True),
    sa.Column("token", sa.String, primary_key=True),
    sa.Column("units", UNITS, nullable=False),
    sa.Column("cost_lamports", sa.BigInteger, nullable=False),
)
fills = sa.Table(
    "fills",  # once for each child and once for each transaction: the database itself refuses a second
    metadata,
    sa.Column("child_id", sa.ForeignKey("children.id"), primary_key=True),
    sa.Column("signature", sa.String, nullable=False, unique=True),
    sa.Column("node", sa.String, nullable=False),
    sa.Column("wallet", sa.String, nullable=False),
    sa.Column("token", sa.String, nullable=False),
    sa.Column("is_buy", sa.Boolean, nullable=False),
    sa.Column("units", UNITS, nullable=False),
    sa.Column("lamports", sa.BigInteger, nullable=False),
    sa.Column("fee_lamports", sa.BigInteger, nullable=False),
    sa.Column("tip_lamports", sa.BigInteger, nullable=False),
    sa.Column("rent_lamports", sa.BigInteger, nullable=False),
    sa.Column("booked_ns", sa.BigInteger, nullable=False),
)
desks = sa.Table(
    "desks",  # desks that trade beside the nodes, and what each has told so far
    metadata,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("told", sa.BigInteger, nullable=False),
)
tallies = sa.Table(
    "tallies",  # how many of a node's children ended how, and what that cost: counted when they end
    metadata,
    sa.Column("node", sa.String, primary_key=True),
    sa.Column("state", sa.String, primary_key=True),
    sa.Column("many", sa.BigInteger, nullable=False),
    sa.Column("fee_lamports", sa.BigInteger, nullable=False),
    sa.Column("tip_lamports", sa.BigInteger, nullable=False),
    sa.Column("rent_lamports", sa.BigInteger, nullable=False),
)

"""Several daemons on one journal: what each sink is given and whose it is; leases."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    for column in (
        sa.Column("spec", sa.Text),
        sa.Column("node", sa.String(32)),
        sa.Column("seen_at_ns", sa.BigInteger),
    ):
        op.add_column("sinks", column)
    op.create_table(
        "leases",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("until_ns", sa.BigInteger, nullable=False),
    )

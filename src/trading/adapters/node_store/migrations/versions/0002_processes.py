"""A node's row knows by which process it was registered: the same one may say so again."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("ALTER TABLE nodes ADD COLUMN process VARCHAR NOT NULL DEFAULT ''")

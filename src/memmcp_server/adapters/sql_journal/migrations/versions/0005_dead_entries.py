"""Dead entries of the outbox have an index: what waits for one sink is counted without a look at what others wait for.

There are few of them, so that the index is small, and building it reads no table but the outbox.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    dead = sa.text("dead")
    op.create_index("outbox_dead", "outbox", ["sink", "id"], sqlite_where=dead, postgresql_where=dead)

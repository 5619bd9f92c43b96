"""Alembic's entry: runs on the connection that ``migrate`` hands over, within its transaction."""

from alembic import context

from memmcp_server.adapters.sql_journal.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()

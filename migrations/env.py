"""Runs the migrations over the connection that `server.store.migrate` hands in: one transaction, one lock, short waits."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()

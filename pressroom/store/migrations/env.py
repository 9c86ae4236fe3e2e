"""Run by Alembic. The connection comes from `pressroom.store.migrate`: there is no alembic.ini."""

from alembic import context

from pressroom.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_server_default=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()

"""Alembic's entry: the tables of all packages against the configured database."""

from alembic import context
from sqlalchemy import create_engine
from sqlmodel import SQLModel

from desk.store import sqlalchemy_url
from migrations import tables

target = SQLModel.metadata
assert set(target.tables) >= tables.ALL


def include(name: str | None, kind: str, parents: object) -> bool:
    """Tables of other owners (the job library's) are none of our business."""
    return kind != "table" or name in target.tables


engine = create_engine(sqlalchemy_url(context.config.get_main_option("sqlalchemy.url") or ""))
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=target,
        include_name=include,
        compare_type=True,
        compare_server_default=False,
    )
    with context.begin_transaction():
        # two processes may start at the same time: the second waits and then finds nothing to do
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('greenline migrations'))")
        context.run_migrations()
engine.dispose()

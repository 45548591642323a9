"""The schema: from nothing to head, back, and the same as the tables say."""

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, pool
from sqlmodel import SQLModel

import migrations
from desk.store import plain_url, sqlalchemy_url
from migrations import tables

FOREIGN = "procrastinate_"  # the job library owns its tables


def tables_in(url: str) -> set[str]:
    with psycopg.connect(plain_url(url)) as db:
        found = db.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return {row[0] for row in found}


@pytest.fixture
def empty(server: str) -> str:
    """A database without anything in it."""
    with psycopg.connect(plain_url(server), autocommit=True) as db:
        db.execute("DROP DATABASE IF EXISTS nothing WITH (FORCE)")
        db.execute("CREATE DATABASE nothing")
    base, _, options = server.partition("?")
    return f"{base.rsplit('/', 1)[0]}/nothing?{options}"


def test_from_nothing_to_head_and_back_leaves_nothing_of_ours(empty: str) -> None:
    config = migrations.configuration(empty)
    command.upgrade(config, "head")
    assert tables_in(empty) >= {*tables.ALL, "alembic_version", f"{FOREIGN}jobs"}
    command.upgrade(config, "head")  # again: nothing to do
    command.downgrade(config, "base")
    assert {name for name in tables_in(empty) if not name.startswith(FOREIGN)} == {"alembic_version"}


def test_there_is_one_line_of_migrations(empty: str) -> None:
    script = ScriptDirectory.from_config(migrations.configuration(empty))
    assert len(script.get_heads()) == 1 and len(script.get_bases()) == 1


def test_the_migrated_schema_is_what_the_tables_say(url: str) -> None:
    command.check(migrations.configuration(url))


def test_a_difference_would_be_found(url: str) -> None:
    engine = create_engine(sqlalchemy_url(url), poolclass=pool.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE contact ADD COLUMN nickname text")
        found = compare_metadata(MigrationContext.configure(connection), SQLModel.metadata)
        assert any("nickname" in str(difference) for difference in found)
    engine.dispose()


def test_processes_that_migrate_at_once_wait_for_each_other(empty: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with psycopg.connect(plain_url(empty)) as holder, ThreadPoolExecutor(1) as threads:
        holder.execute("SELECT pg_advisory_xact_lock(hashtext('greenline migrations'))")
        waiting = threads.submit(command.upgrade, migrations.configuration(empty), "head")
        with psycopg.connect(plain_url(empty), autocommit=True) as watch:
            while not watch.execute("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchall():
                assert not waiting.done()
        assert "contact" not in tables_in(empty)
        holder.rollback()
        waiting.result(timeout=30)
    assert "contact" in tables_in(empty)

"""The database schema and how to bring it up to date."""

import psycopg
from alembic import command
from alembic.config import Config

from desk import logs
from desk.errors import SetupError
from desk.store import plain_url


def upgrade(url: str) -> None:
    """Bring the schema up to date. Raises SetupError("database_unreachable")."""
    try:
        psycopg.connect(plain_url(url), connect_timeout=5).close()
    except psycopg.Error as error:
        problem = str(error).strip().splitlines()[-1]
        raise SetupError("database_unreachable", url=logs.mask(url), problem=logs.mask(problem)) from None
    command.upgrade(configuration(url), "head")


def configuration(url: str) -> Config:
    """Alembic without a file: the migrations of this installation on that database."""
    config = Config()
    config.set_main_option("script_location", "migrations:")
    config.set_main_option("sqlalchemy.url", plain_url(url).replace("%", "%%"))
    return config

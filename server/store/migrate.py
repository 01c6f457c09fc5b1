"""Brings a database to the newest schema: one at a time, in one transaction, without waiting long for anybody."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

if TYPE_CHECKING:
    from alembic.config import Config

FOLDER = Path(__file__).resolve().parents[2] / "migrations"
_LOCK = 7310000
_WAITS = "SET lock_timeout = '10s'; SET statement_timeout = '10min'"


def _config() -> Config:
    from alembic.config import Config  # noqa: PLC0415 (every process asks for `newest`, and few migrate)

    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("path_separator", "os")
    return config


def upgrade(database_url: str) -> tuple[str | None, str | None]:
    """Migrate to the newest revision; several processes may call it at once.

    Returns:
        The revision before and the one after.

    Raises:
        sqlalchemy.exc.DBAPIError: the server is away, or refuses a step; nothing has changed then.

    """
    from alembic import command  # noqa: PLC0415
    from alembic.migration import MigrationContext  # noqa: PLC0415

    engine = create_engine(database_url, poolclass=NullPool)
    try:
        with engine.connect() as connection, connection.begin():
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            connection.exec_driver_sql(_WAITS)
            before = MigrationContext.configure(connection).get_current_revision()
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            after = MigrationContext.configure(connection).get_current_revision()
        return before, after
    finally:
        engine.dispose()


def newest() -> str | None:
    """Return the newest revision that this version of Crossdock knows: the number in the name of its file."""
    return max((each.name.partition("_")[0] for each in (FOLDER / "versions").glob("[0-9]*.py")), default=None)

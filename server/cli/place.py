"""Where commands act when no CROSSDOCK_URL is set: the database and Redis of the settings, or of the server that runs here."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from server.cli.failing import BAD_SETTING, NOT_RUNNING
from server.config import Settings
from server.kernel.errors import Invalid, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping


def read_settings(env: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of this process.

    Raises:
        Invalid: BAD_SETTING.

    """
    try:
        return Settings.from_env(env)
    except ValueError as error:
        raise Invalid(str(error), code=BAD_SETTING, source="cli") from error


def local_settings(settings: Settings) -> Settings:
    """Return the settings with the addresses of the database and Redis, and with a key ring, made when there is none.

    Raises:
        Unavailable: NOT_RUNNING.
        Invalid: the key ring is malformed.

    """
    from server.runtime.keys import load_or_make_keys  # noqa: PLC0415 (see server/cli/__init__.py)

    return load_or_make_keys(with_servers(settings))


def with_servers(settings: Settings) -> Settings:
    """Return the settings with the addresses of the database and Redis.

    What `crossdock up` runs on this home counts for what the environment leaves open; what it may reach, we may.

    Raises:
        Unavailable: NOT_RUNNING.

    """
    from server.runtime.home import Home  # noqa: PLC0415 (see server/cli/__init__.py)
    from server.runtime.up import FILES, LOOPBACK  # noqa: PLC0415

    home = Home(settings.home)
    run = home.running()
    if run is None and not settings.database_url:
        raise Unavailable(f"no server runs on {home.folder}", code=NOT_RUNNING, source="cli")
    if run is None or settings.database_url not in ("", run.database_url):
        return settings
    return dataclasses.replace(
        settings,
        database_url=run.database_url,
        redis_url=settings.redis_url or run.redis_url,
        allow_networks=tuple(dict.fromkeys((*settings.allow_networks, *LOOPBACK))),
        files=(settings.files or settings.home / FILES).resolve(),
    )

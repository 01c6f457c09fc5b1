"""Every setting: its name, type, default and one sentence. The reference page and `doctor` are made from this."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, fields
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


_LEVELS = ("debug", "info", "warning", "error")


def _setting(name: str, default: Any, about: str, read: Callable[[str], Any] = str) -> Any:
    return field(default=default, metadata={"name": name, "about": about, "read": read})


def _networks(text: str) -> tuple[str, ...]:
    return tuple(str(ip_network(part.strip())) for part in text.split(",") if part.strip())


def _proxy(text: str) -> str:
    """Take the form only; the text stays out of the message, since it may hold a password."""
    if not re.fullmatch(r"http://([^\s/@]+@)?[^\s/?#@]+:[0-9]{1,5}/?", text):
        raise ValueError("not http://[user:password@]host:port")
    return text


def _level(text: str) -> str:
    if text not in _LEVELS:
        raise ValueError(f"{text!r} is none of {', '.join(_LEVELS)}")
    return text


def _database(text: str) -> str:
    """Name the driver, as URLs in other programs do not."""
    for scheme in ("postgresql://", "postgres://"):
        if text.startswith(scheme):
            return "postgresql+psycopg://" + text.removeprefix(scheme)
    if not text.startswith("postgresql+psycopg://"):
        raise ValueError("not postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    return text


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _span(text: str) -> float:
    """Read a duration such as `90m` or `5d` in seconds; `0` is none."""
    number, unit = (text[:-1], text[-1:]) if text[-1:] in _UNITS else (text, "")
    if not (number.isascii() and number.isdigit()) or not (unit or int(number) == 0):
        raise ValueError(f"{text!r} is no duration such as 90m or 5d")
    return float(int(number) * _UNITS.get(unit, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one process, read once from the environment."""

    home: Path = _setting(  # noqa: RUF009 - a declaration, frozen; every line here is one
        "CROSSDOCK_HOME", Path(".crossdock"), "Folder with the data of the embedded default.", Path
    )
    database_url: str = _setting("DATABASE_URL", "", "PostgreSQL to use; empty starts the embedded one.", _database)
    redis_url: str = _setting("REDIS_URL", "", "Redis to use; empty starts the embedded one.")
    keys: str = _setting(
        "CROSSDOCK_KEYS", "", "Key ring, newest first, `id:base64` by comma; made in CROSSDOCK_HOME when unset."
    )
    allow_networks: tuple[str, ...] = _setting(
        "CROSSDOCK_ALLOW_NETWORKS", (), "Networks (CIDR, by comma) that calls may reach although not public.", _networks
    )
    proxy: str = _setting(
        "CROSSDOCK_PROXY",
        "",
        "HTTP proxy for every HTTP call to another system, `http://[user:password@]host:port`; empty calls directly. Databases "
        "and SFTP are dialled directly whatever it is.",
        _proxy,
    )
    files: Path | None = _setting(  # noqa: RUF009 - as above
        "CROSSDOCK_FILES",
        None,
        "Folder of local files for plugins, each workspace's own in `ORGANIZATION/WORKSPACE` below it; unset allows none, but "
        "for `crossdock up`: `files` in its home.",
        Path,
    )
    trusted_proxies: tuple[str, ...] = _setting(
        "CROSSDOCK_TRUSTED_PROXIES",
        (),
        "Networks (CIDR, by comma) of proxies in front of `/in/` whose `Forwarded` and `X-Forwarded-…` headers are believed.",
        _networks,
    )
    otlp_endpoint: str = _setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT", "", "OpenTelemetry collector (OTLP over HTTP) for traces; empty sends none."
    )
    url: str = _setting("CROSSDOCK_URL", "", "Server that the command line talks to; empty acts locally.")
    token: str = _setting("CROSSDOCK_TOKEN", "", "Token that the command line presents to CROSSDOCK_URL.")
    metrics_token: str = _setting(
        "CROSSDOCK_METRICS_TOKEN",
        "",
        "Token with which Prometheus reads /metrics of all workspaces; empty allows none.",
    )
    body_limit: int = _setting("CROSSDOCK_BODY_LIMIT", 1_048_576, "Largest request body in bytes.", int)
    event_retention_days: int = _setting(
        "CROSSDOCK_EVENT_RETENTION_DAYS", 90, "Days that events, attempts and finished deliveries are kept.", int
    )
    disable_after: float = _setting(
        "CROSSDOCK_DISABLE_AFTER",
        432_000.0,
        "Disable a webhook that had nothing but failures for that long, such as `90m` or `5d`; the default is 5 days, `0` is "
        "never.",
        _span,
    )
    sync_min_interval: float = _setting(
        "CROSSDOCK_SYNC_MIN_INTERVAL",
        60.0,
        "Shortest pause between two times of a sync job's schedule, such as `5m`: a definition with a shorter one is refused.",
        _span,
    )
    log_level: str = _setting(
        "CROSSDOCK_LOG_LEVEL", "info", f"Least level that is logged: {', '.join(_LEVELS)}.", _level
    )

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from `env` (the process's own by default).

        Raises:
            ValueError: a value that is not of the setting's type; the message names the setting.

        """
        env = os.environ if env is None else env
        values: dict[str, Any] = {}
        for each in fields(cls):
            text = env.get(each.metadata["name"], "")
            if text:
                try:
                    values[each.name] = each.metadata["read"](text)
                except ValueError as error:
                    raise ValueError(f"{each.metadata['name']}: {error}") from error
        return cls(**values)

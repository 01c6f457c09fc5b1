"""Engines for databases of others: reached under the same policy of addresses as everything else, pooled, in bounds.

URLs: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE[?sslmode=require|verify-full]`, `mysql://…[?ssl=require|off]` (with the
extra `mysql`), both with `connect_timeout=1…30` seconds too; `sqlite:///FILE`, a file below the workspace's folder. No other
option is taken from a URL: some name files.
A public address of a PostgreSQL is spoken to with a verified certificate, unless the URL says otherwise.
"""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import URL, QueuePool, create_engine, make_url
from sqlalchemy.exc import ArgumentError

from server.kernel.errors import Permanent, code
from server.sdk.positions import as_json
from server.transport.addresses import AddressPolicy
from server.transport.failures import connect_failed
from server.transport.names import Resolver, shared_resolver
from server.transport.sqlite_files import file_of, open_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy.engine import Engine

DATABASE_URL_REFUSED = code("DATABASE_URL_REFUSED", "The URL of a database is not one that is connected to.")
DATABASE_DRIVER_MISSING = code(
    "DATABASE_DRIVER_MISSING", "The driver of this kind of database is not installed on this server."
)

SOURCE = "transport"
_ENGINES = 64
_CONNECTIONS = 4
_CONNECT_SECONDS = "10"
_SECONDS = tuple(map(str, range(1, 31)))
_WAIT_SECONDS = 10
_RECYCLE_SECONDS = 300
_FIRST_PORT = 1024
_HOST = re.compile(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]+")
_MODES = ("require", "verify-full")
_PUBLIC = AddressPolicy(ports=((_FIRST_PORT, 65_535),))


@dataclass(frozen=True, slots=True)
class Reach:
    """What one workspace may reach: addresses, and the folder of its files (None: no local file at all)."""

    addresses: AddressPolicy
    folder: Path | None = None


class Databases:
    """The engines of one process, the 64 used last; an engine belongs to one workspace, and has 4 connections at most."""

    def __init__(self, resolver: Resolver | None = None) -> None:
        self._resolver = resolver
        self._engines: OrderedDict[tuple[Any, ...], Engine] = OrderedDict()
        self._lock = threading.Lock()

    def engine(self, owner: str, url: str, reach: Reach) -> Engine:
        """Return the engine of a database, whose connections are made when they are needed.

        Raises:
            Permanent: DATABASE_URL_REFUSED, DATABASE_DRIVER_MISSING. Connecting raises ADDRESS_REFUSED, DNS_FAILED.

        """
        key = (owner, url, reach)
        with self._lock:
            engine = self._engines.get(key)
            if engine is None:
                engine = self._engines[key] = self._made(_read(url), reach)
            self._engines.move_to_end(key)
            dropped = self._engines.popitem(last=False)[1] if len(self._engines) > _ENGINES else None
        if dropped is not None:
            dropped.dispose()
        return engine

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            engines = list(self._engines.values())
            self._engines.clear()
        for each in engines:
            each.dispose()

    def _made(self, url: URL, reach: Reach) -> Engine:
        makers: dict[str, Callable[[], Engine]] = {
            "postgresql": lambda: self._postgres(url, reach),
            "mysql": lambda: self._mysql(url, reach),
            "mariadb": lambda: self._mysql(url, reach),
            "sqlite": lambda: _sqlite(url, reach),
        }
        make = makers.get(url.get_backend_name())
        if make is None:
            raise refused("only postgresql, mysql, mariadb and sqlite are known")
        return make()

    def _postgres(self, url: URL, reach: Reach) -> Engine:
        import psycopg  # noqa: PLC0415 - a process that calls no database has no use for the driver

        _vet_options(url, {"sslmode": _MODES, "connect_timeout": _SECONDS})
        host, port = _host(url), url.port or 5432
        fixed: dict[str, Any] = {
            "user": url.username,
            "password": url.password or "",
            "dbname": _name(url),
            "passfile": os.devnull,
            "sslcertmode": "disable",
            "gssencmode": "disable",
            "connect_timeout": _patience(url),
            "tcp_user_timeout": 30_000,
            "application_name": "crossdock",
            "options": "-c TimeZone=UTC",
        }
        asked = url.query.get("sslmode")

        def connect() -> psycopg.Connection[Any]:
            addresses = self._addresses(host, port, reach)
            mode = asked or ("verify-full" if all(map(_is_public, addresses)) else "prefer")
            more: dict[str, Any] = {"sslmode": mode, "hostaddr": ",".join(addresses)}
            if mode == "verify-full":
                more["sslrootcert"] = "system"
            for name, value in (("host", host), ("port", str(port))):  # libpq wants as many as there are addresses
                more[name] = ",".join([value] * len(addresses))
            return psycopg.connect(**{**fixed, **more})

        return _pooled("postgresql+psycopg://", connect)

    def _mysql(self, url: URL, reach: Reach) -> Engine:
        try:
            import pymysql  # noqa: PLC0415 - it is optional
        except ImportError as error:
            message = (
                "the driver for MySQL is not installed: in the checkout, .venv/bin/python -m pip install -e '.[mysql]'"
            )
            raise Permanent(message, code=DATABASE_DRIVER_MISSING, source=SOURCE) from error
        _vet_options(url, {"ssl": ("require", "off"), "connect_timeout": _SECONDS})
        host, port = _host(url), url.port or 3306
        secure = url.query.get("ssl") != "off"

        def connect() -> Any:
            address = self._addresses(host, port, reach)[0]
            return pymysql.connect(
                host=address,
                port=port,
                user=url.username,
                password=url.password or "",
                database=_name(url),
                connect_timeout=_patience(url),
                read_timeout=300,
                write_timeout=300,
                charset="utf8mb4",
                init_command="SET time_zone = '+00:00'",
                local_infile=False,
                ssl={"check_hostname": False} if secure else None,
            )

        return _pooled(f"{url.get_backend_name()}+pymysql://", connect)

    def _addresses(self, host: str, port: int, reach: Reach) -> list[str]:
        """Return where to connect, vetted; the ports of databases are none of the web's, so any but the lowest is taken."""
        resolver = self._resolver or shared_resolver()
        answers = resolver.answers(host, port, 5.0)
        for address in answers:
            reach.addresses.vet(address, None if port >= _FIRST_PORT else port)
        if not answers:
            raise connect_failed(host, "no address")
        return answers


def refused(reason: str) -> Permanent:
    """Build the error for a URL that is not connected to; the URL itself stays out: it may hold a password."""
    return Permanent(f"the URL of the database is refused: {reason}", code=DATABASE_URL_REFUSED, source=SOURCE)


def _pooled(dialect: str, connect: Callable[[], Any]) -> Engine:
    return create_engine(
        dialect,
        creator=connect,
        json_serializer=_json_text,
        poolclass=QueuePool,
        pool_size=_CONNECTIONS,
        max_overflow=0,
        pool_timeout=_WAIT_SECONDS,
        pool_recycle=_RECYCLE_SECONDS,
        pool_pre_ping=True,
        hide_parameters=True,
    )


def _json_text(value: Any) -> str:
    return orjson.dumps(value, default=as_json).decode()


def _sqlite(url: URL, reach: Reach) -> Engine:
    _vet_options(url, {})
    if url.host or url.username or url.password:
        raise refused("a SQLite URL is sqlite:///FILE")
    path = file_of(url.database or "", reach.folder)
    return _pooled("sqlite://", lambda: open_file(path))


def _read(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise refused("it is none") from error
    if "+" in url.drivername and url.drivername not in {"postgresql+psycopg", "mysql+pymysql", "mariadb+pymysql"}:
        raise refused("leave the driver out")
    return url.set(drivername="postgresql") if url.drivername == "postgres" else url


def _vet_options(url: URL, known: dict[str, tuple[str, ...]]) -> None:
    for name, value in url.query.items():
        if value not in known.get(name, ()):
            raise refused(f"its option {name[:40]} is none of {', '.join(known) or 'ours'} or has an unknown value")


def _patience(url: URL) -> int:
    return int(str(url.query.get("connect_timeout", _CONNECT_SECONDS)))


def _host(url: URL) -> str:
    host = url.host or ""
    if not _HOST.fullmatch(host):
        raise refused("it names no host, or not just one")
    return host


def _name(url: URL) -> str:
    name = url.database or ""
    if not name or "=" in name or "/" in name:
        raise refused("it names no database")
    return name


def _is_public(address: str) -> bool:
    return _PUBLIC.refusal(address) is None

"""What `crossdock doctor` looks at: each check says what it found and, when something is wrong, the way out."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import TYPE_CHECKING

import redis

from server.access.keyring import KeyRing
from server.kernel.errors import CrossdockError
from server.operations import checks
from server.telemetry.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.config import Settings
    from server.operations.health import Finding, Status
    from server.store import Store

OLDEST_PYTHON = (3, 11)
OLDEST_POSTGRES = 15
OLDEST_REDIS = (6, 2)
CLOCK_SECONDS = 2.0
WEEKS_AHEAD = 2
_UNREADABLE = """
SELECT DISTINCT key_id FROM secrets WHERE key_id <> ALL (%s) LIMIT 20
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `way_out` is empty when all is well."""

    name: str
    status: Status
    message: str
    way_out: str = ""


def examine(settings: Settings, store: Store | None, redis_url: str) -> list[Check]:
    """Look at everything that an installation needs, in order; a check that breaks is a finding, never an exception.

    `store` is the engine's, or None when there is no database to look at.
    """
    looks: list[tuple[str, Callable[[], Check]]] = [
        ("python", _python),
        ("home", lambda: _home(settings)),
        ("disk", lambda: _of("disk", checks.disk(settings.home), "Free some space, or move CROSSDOCK_HOME.")),
        ("memory", lambda: _of("memory", checks.memory(), "Stop something, or give the machine more memory.")),
        ("keys", lambda: _keys(settings)),
        ("networks", lambda: _networks(settings)),
    ]
    if store is None:
        looks.append(("database", lambda: _bad("database", "there is none", "Set DATABASE_URL, or run: crossdock up")))
    else:
        looks += _of_database(settings, store)
    looks.append(("redis", lambda: _redis(redis_url)))
    return [_look(name, look) for name, look in looks]


def _of_database(settings: Settings, store: Store) -> list[tuple[str, Callable[[], Check]]]:
    start = "Start one: crossdock up runs all, crossdock {} runs this role alone."
    return [
        ("database", lambda: _database(store)),
        ("schema", lambda: _of("schema", checks.schema(store), "Run: crossdock db upgrade")),
        ("partitions", lambda: _partitions(store)),
        ("secrets", lambda: _secrets(settings, store)),
        ("clock", lambda: _clock(store)),
        ("workers", lambda: _of("workers", checks.at_work(store, "worker", "workers"), start.format("worker"))),
        (
            "scheduler",
            lambda: _of("scheduler", checks.at_work(store, "scheduler", "schedulers"), start.format("scheduler")),
        ),
        ("queue", lambda: _of("queue", checks.queue(store), "More workers, or look which webhook is slow: /webhooks")),
    ]


def _look(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except CrossdockError as error:
        return _bad(name, f"{error.code}: {error.message}", "Is the server up, and DATABASE_URL right?")
    except Exception as error:  # noqa: BLE001 - doctor is for what nobody foresaw: it reports and goes on
        return _bad(name, redact_text(f"{type(error).__name__}: {error}")[:300], "Fix what the message says.")


def _of(name: str, finding: Finding, way_out: str) -> Check:
    return Check(name, finding.status, finding.message, "" if finding.status == "pass" else way_out)


def _bad(name: str, message: str, way_out: str, status: Status = "fail") -> Check:
    return Check(name, status, message, way_out)


def _python() -> Check:
    found = platform.python_version()
    if sys.version_info[:2] < OLDEST_PYTHON:
        return _bad(
            "python", f"{found} is too old", "Install Python 3.11 or newer, then: make PYTHON=python3.12 install"
        )
    return Check("python", "pass", found)


def _home(settings: Settings) -> Check:
    home = settings.home.resolve()
    if not home.exists():
        return Check("home", "pass", f"{home} will be made by crossdock up")
    if not os.access(home, os.W_OK | os.X_OK):
        return _bad("home", f"{home} cannot be written", "Give this user the folder, or set CROSSDOCK_HOME.")
    with tempfile.TemporaryFile(dir=home):
        pass
    if home.stat().st_mode & 0o077:
        return _bad("home", f"{home} can be read by others, and holds the key ring", f"chmod 700 {home}", "warn")
    return Check("home", "pass", str(home))


def _keys(settings: Settings) -> Check:
    if not settings.keys:
        return _bad("keys", "no key ring is set", "crossdock up makes one; elsewhere set CROSSDOCK_KEYS.", "warn")
    try:
        ring = KeyRing.read(settings.keys)
    except CrossdockError as error:
        return _bad("keys", error.message, "CROSSDOCK_KEYS is `id:base64 of 32 bytes` by comma, the newest first.")
    return Check("keys", "pass", f"{len(ring.ids)} in the ring, {ring.newest} encrypts")


def _networks(settings: Settings) -> Check:
    for each in settings.allow_networks:
        try:
            network = ip_network(each)
        except ValueError as error:
            return _bad("networks", str(error), "CROSSDOCK_ALLOW_NETWORKS is a list like 10.0.0.0/8 by comma.")
        if network.prefixlen == 0:
            return _bad(
                "networks", f"{each} allows everything inside", "Name only the networks that calls need.", "warn"
            )
    return Check("networks", "pass", ", ".join(settings.allow_networks) or "only public addresses can be reached")


def _database(store: Store) -> Check:
    with store.connect() as conn:
        version = int(conn.exec_driver_sql("SELECT current_setting('server_version_num')").scalar_one())
        durable = conn.exec_driver_sql("SELECT current_setting('fsync')").scalar_one()
    shown = f"PostgreSQL {version // 10000}.{version % 10000}"
    if version // 10000 < OLDEST_POSTGRES:
        return _bad("database", shown, f"Upgrade to PostgreSQL {OLDEST_POSTGRES} or newer.")
    if durable != "on":
        return _bad("database", f"{shown} with fsync off", "Set fsync = on, or a power cut loses accepted events.")
    return Check("database", "pass", shown)


def _partitions(store: Store) -> Check:
    with store.connect() as conn:
        ends = conn.exec_driver_sql("SELECT max(ends) FROM crossdock_partitions('events')").scalar()
        strays = conn.exec_driver_sql("SELECT EXISTS (SELECT FROM events_rest)").scalar()
    if ends is None or ends < datetime.now(UTC) + timedelta(weeks=WEEKS_AHEAD):
        return _bad("partitions", f"made until {ends:%Y-%m-%d}" if ends else "none", "Run a scheduler: it makes them.")
    if strays:
        return _bad("partitions", "some events lie in no week's partition", "Keep a scheduler running.", "warn")
    return Check("partitions", "pass", f"made until {ends:%Y-%m-%d}")


def _secrets(settings: Settings, store: Store) -> Check:
    ids = list(KeyRing.read(settings.keys).ids) if settings.keys else []
    with store.connect() as conn:
        missing = [row.key_id for row in conn.exec_driver_sql(_UNREADABLE, (ids,))]
    if missing:
        way_out = "Add these keys to CROSSDOCK_KEYS, or set the secrets again: crossdock secret set NAME"
        return _bad("secrets", f"written with keys that the ring lacks: {', '.join(missing)}", way_out)
    return Check("secrets", "pass", "every secret's key is in the ring")


def _clock(store: Store) -> Check:
    with store.connect() as conn:
        before = datetime.now(UTC)
        there = conn.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
        middle = before + (datetime.now(UTC) - before) / 2
    apart = abs((there - middle).total_seconds())
    if apart > CLOCK_SECONDS:
        return _bad("clock", f"{apart:.1f} s from the database's", "Run an NTP client on both machines.", "warn")
    return Check("clock", "pass", f"{apart * 1000:.0f} ms from the database's")


def _redis(url: str) -> Check:
    finding = checks.redis_server(url)
    if finding.status != "pass":
        return _of("redis", finding, "Start it, or set REDIS_URL; without it work starts up to 2 s later.")
    with redis.Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1) as client:
        version = str(client.info("server").get("redis_version", "0.0"))
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        return _bad("redis", f"version {version}", "Upgrade to Redis 6.2, Valkey 7.2 or newer.", "warn")
    return Check("redis", "pass", f"version {version}")

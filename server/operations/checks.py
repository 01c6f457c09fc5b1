"""The checks of this instance. Each raises or answers; how long it may take is decided by whoever asks."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import redis

from server.operations.health import Finding
from server.store import processes
from server.store.migrate import newest

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.config import Settings
    from server.operations.health import Status
    from server.store import Store

QUEUE_WARN_SECONDS = 30
QUEUE_FAIL_SECONDS = 300
_MIB = 1024 * 1024
_DISK_WARN, _DISK_FAIL = 500 * _MIB, 100 * _MIB
_DISK_SHARE, _DISK_PLENTY = 0.05, 10_240 * _MIB
_MEMORY_WARN, _MEMORY_FAIL = 0.10, 0.03
_LIMIT, _USED = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")

# One look at the head of the index per kind: the table itself may be long.
_OLDEST = """
WITH RECURSIVE kinds AS (
  (SELECT kind FROM due WHERE NOT leased AND lane_limit > 0 ORDER BY kind LIMIT 1)
  UNION ALL
  SELECT (SELECT due.kind FROM due WHERE NOT leased AND lane_limit > 0 AND due.kind > kinds.kind ORDER BY due.kind LIMIT 1)
  FROM kinds
  WHERE kinds.kind IS NOT NULL
)
SELECT coalesce(max(extract(epoch FROM now() - head.due_at)), 0)::float AS age,
       EXISTS (SELECT FROM due WHERE leased AND due_at > now()) AS at_work
FROM kinds CROSS JOIN LATERAL (
  SELECT due_at FROM due WHERE due.kind = kinds.kind AND NOT leased AND lane_limit > 0 AND due_at <= now()
  ORDER BY due_at LIMIT 1
) AS head
"""


def parts(settings: Settings, engine: Store) -> dict[str, Callable[[], Finding]]:
    """Return every check of this instance by its name."""
    return {
        "database": partial(database, engine),
        "schema": partial(schema, engine),
        "redis": partial(redis_server, settings.redis_url),
        "workers": partial(at_work, engine, "worker", "workers"),
        "scheduler": partial(at_work, engine, "scheduler", "schedulers"),
        "queue": partial(queue, engine),
        "disk": partial(disk, settings.home),
        "memory": memory,
    }


NEEDED = ("database", "schema", "redis")
"""What the API itself needs. Without Redis it only loses speed, so that check warns at most."""


def database(engine: Store) -> Finding:
    """Answers it at all?"""
    with engine.connect() as conn:
        conn.exec_driver_sql("SELECT 1")
    return Finding("pass", "answers")


def schema(engine: Store) -> Finding:
    """Is it the schema that this version knows? A newer one serves it too: while a release is rolled out it is the old ones' turn."""
    with engine.connect() as conn:
        found = str(conn.exec_driver_sql("SELECT version_num FROM alembic_version").scalar())
    if found == _newest():
        return Finding("pass", f"revision {found}")
    if found > _newest():  # they are numbers of four digits
        return Finding(
            "warn", f"revision {found} is newer than {_newest()}, this process's: restart it with the new version"
        )
    return Finding("fail", f"revision {found} where {_newest()} is needed: crossdock db upgrade")


@cache
def _newest() -> str:
    return str(newest())


def redis_server(url: str) -> Finding:
    """Answers it? Away, work is found two seconds later, so this never fails."""
    if not url:
        return Finding("warn", "none is set: work is found by the timer")
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1) as client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        return Finding("warn", f"away ({type(error).__name__}): work is found by the timer")
    return Finding("pass", "answers")


def redis_answers(url: str) -> bool:
    """Tell whether the Redis that is set is there."""
    return redis_server(url).status == "pass"


def at_work(engine: Store, role: str, shown: str) -> Finding:
    """Were processes of a role seen in the last seconds?"""
    with engine.connect() as conn:
        count = sum(row.role == role for row in processes.alive(conn))
    if count:
        return Finding("pass", f"{count} at work")
    return Finding("fail", f"no {shown} seen in the last {processes.ALIVE_SECONDS} s")


def queue(engine: Store) -> Finding:
    """How long has the oldest due work waited? A slow receiver's backlog warns; work that nobody takes fails."""
    with engine.connect() as conn:
        row = conn.exec_driver_sql(_OLDEST).one()
    shown = f"the oldest due work waits {row.age:.0f} s"
    if row.age < QUEUE_WARN_SECONDS:
        return Finding("pass", shown if row.age else "nothing is overdue")
    if row.age >= QUEUE_FAIL_SECONDS and not row.at_work:
        return Finding("fail", f"{shown} and nobody is at it")
    return Finding("warn", shown)


def disk(home: Path) -> Finding:
    """Is there room where we write: CROSSDOCK_HOME (or its nearest parent that exists) and the temporary folder?"""
    folders = {"home": next(each for each in (home.resolve(), *home.resolve().parents) if each.exists())}
    folders["tmp"] = Path(tempfile.gettempdir())
    worst: Finding | None = None
    for name, folder in folders.items():
        usage = shutil.disk_usage(folder)
        share = usage.free / usage.total if usage.total else 0.0
        shown = f"{name}: {usage.free // _MIB} MiB ({share:.0%}) free"
        finding = Finding("pass", f"{share:.0%} free")
        if usage.free < _DISK_FAIL:
            finding = Finding("fail", shown)
        elif usage.free < _DISK_WARN or (share < _DISK_SHARE and usage.free < _DISK_PLENTY):
            finding = Finding("warn", shown)
        if worst is None or _RANK[finding.status] > _RANK[worst.status]:
            worst = finding
    return worst or Finding("pass", "free")


_RANK = {"pass": 0, "warn": 1, "fail": 2}


def memory() -> Finding:
    """Is there memory left, of the machine and of the control group that we may live in?"""
    machine = psutil.virtual_memory()
    free = machine.available / machine.total
    group = _group_free()
    if group is not None:
        free = min(free, group)
    status: Status = "pass" if free >= _MEMORY_WARN else "warn" if free >= _MEMORY_FAIL else "fail"
    return Finding(status, f"{free:.0%} available")


def _group_free() -> float | None:
    try:
        limit, used = _LIMIT.read_text().strip(), int(_USED.read_text())
        return None if limit == "max" else max(0.0, 1 - used / int(limit))
    except (OSError, ValueError, ZeroDivisionError):
        return None

"""`crossdock doctor`: looks at everything that a server needs, and says what to do about what is wrong."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import click

from server.cli import output
from server.cli.exits import Exit
from server.cli.files import counted
from server.cli.shell import json_option
from server.kernel.errors import CrossdockError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from server.cli.shell import Shell
    from server.config import Settings

_LEAST_DISK = 1024**3
_LOW_DISK = 5 * 1024**3
_SKEW_WARN = 2.0
_SKEW_FAIL = 60.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `advice` says what to do when it is not well."""

    name: str
    status: Literal["pass", "warn", "fail"]
    message: str
    advice: str = ""


@click.command
@json_option
@click.pass_obj
def doctor(shell: Shell) -> Exit:
    """Look at settings, keys, disk, database, migrations, Redis and clocks; with CROSSDOCK_URL at that server."""
    with output.working("examining"):
        checks = list(_examine(shell))
    ok = all(each.status != "fail" for each in checks)
    shell.result({"ok": ok, "checks": [asdict(each) for each in checks]}, _show)
    return Exit.OK if ok else Exit.FAILED


def _show(result: dict[str, Any]) -> None:
    for each in result["checks"]:
        output.say(f"{each['status']}  {each['name']}: {each['message']}")
        if each["advice"]:
            output.say(f"      do: {each['advice']}")
    bad = sum(each["status"] != "pass" for each in result["checks"])
    output.say("all is well" if not bad else f"{counted(bad, 'thing')} to look at")


def _examine(shell: Shell) -> Iterator[Check]:
    from server.cli.client import quiet_logs  # noqa: PLC0415 (see server/cli/__init__.py)

    try:
        settings = shell.settings
    except CrossdockError as error:
        yield Check("settings", "fail", error.message, "correct that environment variable")
        return
    quiet_logs(settings)
    yield _settings(settings)
    if settings.url:
        yield from _server(settings)
        return
    yield _disk(settings)
    yield _keys(settings)
    try:
        from server.cli.place import local_settings  # noqa: PLC0415

        settings = local_settings(settings)
    except CrossdockError as error:
        yield Check("server", "fail", error.message, "start one with `crossdock up`, or set DATABASE_URL")
        return
    yield from _database(settings)
    yield _redis(settings)


def _settings(settings: Settings) -> Check:
    import ipaddress  # noqa: PLC0415 (see server/cli/__init__.py)

    for each in settings.allow_networks:
        try:
            ipaddress.ip_network(each)
        except ValueError as error:
            return Check("settings", "fail", f"CROSSDOCK_ALLOW_NETWORKS: {error}", "write networks as 10.0.0.0/8")
    if settings.log_level not in ("debug", "info", "warning", "error"):
        return Check("settings", "fail", "CROSSDOCK_LOG_LEVEL is no level", "debug, info, warning or error")
    where = settings.url or settings.home.resolve()
    return Check("settings", "pass", f"readable; commands act on {where}")


def _disk(settings: Settings) -> Check:
    import shutil  # noqa: PLC0415 (see server/cli/__init__.py)

    folder = settings.home.resolve()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    message = f"{free / 1024**3:.1f} GiB free below {folder}"
    if free < _LEAST_DISK:
        return Check("disk", "fail", message, "make room: PostgreSQL stops taking events when it is full")
    return Check("disk", "warn" if free < _LOW_DISK else "pass", message, "make room" if free < _LOW_DISK else "")


def _keys(settings: Settings) -> Check:
    from server.runtime.keys import check_keys  # noqa: PLC0415 (see server/cli/__init__.py)

    file = settings.home / "keys"
    if settings.keys:
        text, source = settings.keys, "CROSSDOCK_KEYS"
    elif file.is_file():
        text, source = file.read_text("utf-8").strip(), str(file)
    else:
        return Check("keys", "warn", f"no key ring yet; the first start makes {file}", "back that file up")
    try:
        check_keys(text)
    except CrossdockError as error:
        return Check("keys", "fail", f"{source}: {error.message}", "restore the key ring from its backup")
    if not settings.keys and file.stat().st_mode & 0o077:
        return Check("keys", "warn", f"{file} can be read by others", f"chmod 600 {file}")
    return Check("keys", "pass", f"{counted(text.count(',') + 1, 'key')} in {source}")


def _database(settings: Settings) -> Iterator[Check]:
    from sqlalchemy import create_engine, text  # noqa: PLC0415 (see server/cli/__init__.py)
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    advice = "look whether PostgreSQL runs and DATABASE_URL is right"
    try:
        engine = create_engine(settings.database_url, poolclass=NullPool, connect_args={"connect_timeout": 5})
        began = time.monotonic()
        with engine.connect() as connection:
            version = connection.execute(text("SHOW server_version")).scalar_one()
            milliseconds = (time.monotonic() - began) * 1000
            yield Check("database", "pass", f"PostgreSQL {version} answered in {milliseconds:.0f} ms")
            yield _migrations(connection)
            before = datetime.now(UTC)
            there = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
            yield _clock("the database", there, before, datetime.now(UTC))
    except (SQLAlchemyError, ValueError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        yield Check("database", "fail", reason, advice)


def _migrations(connection: Any) -> Check:
    from alembic.migration import MigrationContext  # noqa: PLC0415 (see server/cli/__init__.py)

    from server.store.migrate import newest  # noqa: PLC0415

    there, ours = MigrationContext.configure(connection).get_current_revision(), newest()
    if there == ours:
        return Check("migrations", "pass", f"the schema is {ours}")
    return Check(
        "migrations", "fail", f"the schema is {there or 'not there'}, this version needs {ours}", "crossdock db upgrade"
    )


def _redis(settings: Settings) -> Check:
    import redis  # noqa: PLC0415 (see server/cli/__init__.py)

    if not settings.redis_url:
        return Check("redis", "warn", "REDIS_URL is not set: work starts up to 2 s later", "set REDIS_URL")
    try:
        with redis.Redis.from_url(settings.redis_url, socket_connect_timeout=5, socket_timeout=5) as client:
            version = client.info("server")["redis_version"]
    except (redis.RedisError, OSError, ValueError) as error:
        advice = "look whether Redis runs and REDIS_URL is right; nothing is lost meanwhile"
        return Check("redis", "fail", str(error), advice)
    return Check("redis", "pass", f"Redis {version} answers")


def _clock(whose: str, there: datetime, before: datetime, after: datetime) -> Check:
    skew = max((there - after).total_seconds(), (before - there).total_seconds(), 0.0)
    message = f"{whose} and this machine differ by {skew:.1f} s"
    if skew > _SKEW_FAIL:
        return Check("clock", "fail", message, "set the clocks by NTP: signatures are refused after 5 minutes")
    return Check(
        "clock", "warn" if skew > _SKEW_WARN else "pass", message, "set the clocks by NTP" if skew > _SKEW_WARN else ""
    )


def _server(settings: Settings) -> Iterator[Check]:
    """Look at the server that CROSSDOCK_URL names."""
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 (see server/cli/__init__.py)

    from server.cli.client import OverHttp, Rest  # noqa: PLC0415

    try:
        rest = Rest(OverHttp(settings.url, settings.token))
        before = datetime.now(UTC)
        answer = rest.call("GET", "/health/live", None, {}, base="")
        yield Check("server", "pass", f"{settings.url} answers")
    except CrossdockError as error:
        yield Check("server", "fail", error.message, "look whether CROSSDOCK_URL is right and the server runs")
        return
    if "Date" in answer.headers:
        # The header has whole seconds, so up to one second is no difference.
        there = parsedate_to_datetime(answer.headers["Date"])
        yield _clock("the server", there, before.replace(microsecond=0), datetime.now(UTC))
    yield _asked("token", lambda: _holder(rest.get("/me").value), "set CROSSDOCK_TOKEN to a valid token")


def _holder(me: Mapping[str, Any]) -> str:
    return f"it stands for {me['id']}, {me['role']} in {me['organization']}/{me['workspace']}"


def _asked(name: str, ask: Callable[[], str], advice: str) -> Check:
    try:
        return Check(name, "pass", ask())
    except CrossdockError as error:
        return Check(name, "fail", f"{error.code} {error.message}", advice)

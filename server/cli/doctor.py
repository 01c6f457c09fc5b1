"""`crossdock doctor`: looks at everything that an installation needs, and says what to do about what is wrong."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from server.cli import output
from server.cli.exits import Exit
from server.cli.files import counted
from server.cli.shell import json_option
from server.kernel.errors import CrossdockError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from server.cli.shell import Shell
    from server.config import Settings
    from server.operations.doctor import Check
    from server.store import Store

_SKEW_SECONDS = 2.0


@click.command
@json_option
@click.pass_obj
def doctor(shell: Shell) -> Exit:
    """Look at settings, keys, disk, database, schema, clocks, Redis and processes; with CROSSDOCK_URL at that server."""
    with output.working("examining"):
        checks = list(_examine(shell))
    ok = all(each.status != "fail" for each in checks)
    shell.result({"ok": ok, "checks": [dataclasses.asdict(each) for each in checks]}, _show)
    return Exit.OK if ok else Exit.FAILED


def _show(result: Mapping[str, Any]) -> None:
    for each in result["checks"]:
        output.say(f"{each['status']}  {each['name']}: {each['message']}")
        if each["way_out"]:
            output.say(f"      way out: {each['way_out']}")
    bad = sum(each["status"] != "pass" for each in result["checks"])
    output.say("all is well" if not bad else f"{counted(bad, 'thing')} to look at")


def _examine(shell: Shell) -> Iterator[Check]:
    from server.cli.client import quiet_logs  # noqa: PLC0415 (see server/cli/__init__.py)
    from server.operations.doctor import Check  # noqa: PLC0415

    try:
        settings = shell.settings
    except CrossdockError as error:
        yield Check("settings", "fail", error.message, "Correct that environment variable.")
        return
    quiet_logs(settings)
    yield Check("settings", "pass", f"commands act on {settings.url or settings.home.resolve()}")
    yield from _server(settings) if settings.url else _here(settings)


def _here(settings: Settings) -> Iterator[Check]:
    """Look at this machine and the servers that it uses; makes nothing that is not there."""
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 (see server/cli/__init__.py)

    from server.cli.place import with_servers  # noqa: PLC0415
    from server.operations.doctor import Check, examine  # noqa: PLC0415
    from server.store import Store  # noqa: PLC0415

    keys = settings.home / "keys"
    if not settings.keys and keys.is_file():
        settings = dataclasses.replace(settings, keys=keys.read_text("utf-8").strip())
    store = None
    try:
        settings = with_servers(settings)
        store = Store(settings.database_url, "crossdock_engine", pool=1)
    except Unavailable:
        yield Check("server", "warn", f"none runs on {settings.home.resolve()}", "Start it: crossdock up")
    except (SQLAlchemyError, ValueError):  # its message would show the password
        yield Check("server", "fail", "DATABASE_URL cannot be read", "postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    if store is not None and not _prepared(store):
        store.close()
        yield Check("schema", "fail", "the database has not been prepared", "Run: crossdock db upgrade")
        yield from (each for each in examine(settings, None, settings.redis_url) if each.name != "database")
        return
    try:
        yield from examine(settings, store, settings.redis_url)
    finally:
        if store is not None:
            store.close()


def _prepared(store: Store) -> bool:
    """Say whether the database was ever migrated; one that is away counts, since that is said elsewhere."""
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 (see server/cli/__init__.py)

    from server.cli.client import never_migrated  # noqa: PLC0415

    try:
        with store.connect() as connection:
            connection.exec_driver_sql("SELECT 1 FROM alembic_version")
    except Unavailable:
        return True
    except DBAPIError as error:
        return not never_migrated(error)
    return True


def _clock(there: datetime, before: datetime, after: datetime) -> Check:
    from server.operations.doctor import Check  # noqa: PLC0415 (see server/cli/__init__.py)

    skew = max((there - after).total_seconds(), (before - there).total_seconds(), 0.0)
    message = f"{skew:.1f} s from the server's"
    if skew > _SKEW_SECONDS:
        return Check("clock", "warn", message, "Run an NTP client on both machines.")
    return Check("clock", "pass", message)


def _server(settings: Settings) -> Iterator[Check]:
    """Look at the server that CROSSDOCK_URL names."""
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 (see server/cli/__init__.py)

    from server.cli.client import OverHttp, Rest  # noqa: PLC0415
    from server.operations.doctor import Check  # noqa: PLC0415

    try:
        rest = Rest(OverHttp(settings.url, settings.token))
        before = datetime.now(UTC)
        answer = rest.call("GET", "/health/live", None, {}, base="")
        yield Check("server", "pass", f"{settings.url} answers")
    except CrossdockError as error:
        yield Check("server", "fail", error.message, "Is CROSSDOCK_URL right, and does the server run?")
        return
    if "Date" in answer.headers:
        # The header has whole seconds, so up to one second is no difference.
        there = parsedate_to_datetime(answer.headers["Date"])
        yield _clock(there, before.replace(microsecond=0), datetime.now(UTC))
    yield _asked("token", lambda: _holder(rest.get("/me").value), "Set CROSSDOCK_TOKEN to a valid token.")


def _holder(me: Mapping[str, Any]) -> str:
    return f"it stands for {me['id']}, {me['role']} in {me['organization']}/{me['workspace']}"


def _asked(name: str, ask: Callable[[], str], way_out: str) -> Check:
    from server.operations.doctor import Check  # noqa: PLC0415 (see server/cli/__init__.py)

    try:
        return Check(name, "pass", ask())
    except CrossdockError as error:
        return Check(name, "fail", f"{error.code} {error.message}", way_out)

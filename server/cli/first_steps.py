"""What `up` does once its database is there: the first workspace, the definitions, and an admin token to begin with."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy.exc import DBAPIError

from server import bootstrap
from server.access.tenants import ensure_default
from server.app import create_app
from server.cli import failing
from server.cli.client import DEFAULT_WORKSPACE, InProcess, Rest
from server.cli.files import bodies, counted, gather_all, origin_of
from server.kernel.errors import CrossdockError, Unavailable
from server.runtime.files import write_private
from server.runtime.up import FirstSteps
from server.store import Store
from server.store.engine import reachable
from server.store.migrate import upgrade

if TYPE_CHECKING:
    from pathlib import Path

    from server.config import Settings
    from server.runtime.up import UpOptions

TOKEN_NAME = "crossdock up"  # noqa: S105 - the name of a token, not one
_TOKEN_FILE = "admin-token"  # noqa: S105 - the name of a file
_DATABASE_SECONDS = 30.0


def prepare(database_url: str) -> tuple[str | None, str | None]:
    """Migrate a database and make its first workspace; return the revision before and after.

    A database that is still starting is waited for.

    Raises:
        Unavailable: it cannot be reached, or refused a step.

    """
    until = time.monotonic() + _DATABASE_SECONDS
    while True:
        try:
            with reachable():
                revisions = upgrade(database_url)
            break
        except Unavailable:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        except DBAPIError as error:
            raise Unavailable(f"the database refused to be migrated: {_said(error.orig)}", source="database") from error
    store = Store(database_url, "crossdock_engine", pool=1)
    try:
        ensure_default(store)
    finally:
        store.close()
    return revisions


def _said(error: BaseException | None) -> str:
    """Return the first line of what the database says, with its way out."""
    first = str(error).partition("\n")[0]
    hint = error.diag.message_hint if isinstance(error, psycopg.Error) else None
    return f"{first} ({hint})" if hint else first


def first_steps(settings: Settings, options: UpOptions) -> FirstSteps:
    """Apply the definitions and return what to say, with a token. A definition's fault is said and stops nothing."""
    rest = Rest(InProcess(create_app(bootstrap.local(settings, DEFAULT_WORKSPACE))))
    try:
        messages = [] if options.definitions is None else _apply(rest, options.definitions)
        return FirstSteps(admin_token(rest, settings.home / _TOKEN_FILE), messages)
    finally:
        rest.close()


def _apply(rest: Rest, folder: Path) -> list[str]:
    files, findings = bodies(gather_all([folder]))
    if findings:
        return [f"{folder}: nothing was applied", *(f"  {each}" for each in findings)]
    if not files:
        return [f"{folder}: no definitions yet"]
    try:
        done = rest.post("/definitions/apply", {"files": files, "origin": origin_of([folder], None), "prune": False})
    except CrossdockError as error:
        findings_of: list[dict[str, Any]] = error.details.get("findings", [])
        lines = [f"  {failing.finding(each)}" for each in findings_of] or [f"  {error.code} {error.message}"]
        return [f"{folder}: nothing was applied", *lines]
    applied = done.value
    return [f"{folder}: {counted(len(applied['applied']), 'definition')} applied, {applied['unchanged']} unchanged"]


def admin_token(rest: Rest, file: Path) -> str:
    """Return the admin token of this home: the one in its file while that is valid, else a new one.

    So that starts do not pile up tokens. The file is as private as the key ring beside it.
    """
    try:
        kept = file.read_text("utf-8").strip()
    except FileNotFoundError:
        kept = ""
    if kept and any(_is(kept, each) for each in rest.pages("/tokens", limit=200)):
        return kept
    made: str = rest.post("/tokens", {"name": TOKEN_NAME, "role": "admin"}).value["token"]
    write_private(file, made + "\n")
    return made


def _is(token: str, row: dict[str, Any]) -> bool:
    """Say whether a row of the listing is that token and valid; prefixes are unique."""
    return token.startswith(row["prefix"]) and row["role"] == "admin" and row["revoked_at"] is row["expires_at"] is None

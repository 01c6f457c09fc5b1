"""Secrets of a workspace: set, rotated with an overlap, listed without values, resolved where they are used.

Values are encrypted by the key ring and appear nowhere else: no answer, log line, audit row or error has one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

from server.access import audit
from server.access.keyring import KeyRing, place_of
from server.kernel.errors import Invalid, NotFound, Retryable, code

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from server.store import Store, Tx

NAME_RULE = "A secret's name is a letter, then up to 127 letters, digits or `_.-`."
SECRET_MISSING = code("SECRET_MISSING", "The workspace has no secret of this name: `crossdock secret set NAME`.")
SECRET_NAME_INVALID = code("SECRET_NAME_INVALID", NAME_RULE)
SECRET_VALUE_INVALID = code(
    "SECRET_VALUE_INVALID", "A secret's value is 1 to 65,536 bytes of UTF-8 text without U+0000."
)

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,127}")
MOST_BYTES = 65_536
DAY = 86_400.0
LONGEST_OVERLAP = 30 * DAY
_LIVE = "workspace_id = :workspace_id AND (valid_until IS NULL OR valid_until > now())"
_REWRAP_SLICE = 200


@dataclass(frozen=True, slots=True)
class SecretVersion:
    """One version as a listing shows it. `valid_until` is set on versions that a rotation is replacing."""

    version: int
    created_at: datetime
    created_by: str
    valid_until: datetime | None


@dataclass(frozen=True, slots=True)
class SecretInfo:
    """One secret as a listing shows it: newest version first."""

    name: str
    versions: Sequence[SecretVersion]

    @property
    def version(self) -> int:
        """The newest version."""
        return self.versions[0].version


class Secrets:
    """The secrets of the workspace of each transaction, under one key ring."""

    def __init__(self, ring: KeyRing) -> None:
        self.ring = ring

    def set(self, tx: Tx, name: str, value: str) -> SecretInfo:
        """Store a value at once; older versions are gone with it.

        Raises:
            Invalid: the name or the value is none.

        """
        version = self._add(tx, name, value)
        tx.run(
            "DELETE FROM secrets WHERE workspace_id = :workspace_id AND name = :name AND version < :version",
            name=name,
            version=version,
        )
        audit.record(tx, "secret.set", f"secret/{name}", version=version)
        return self.get(tx, name)

    def rotate(self, tx: Tx, name: str, value: str, overlap: float = DAY) -> SecretInfo:
        """Store a new value; the one before stays valid for `overlap` seconds, so that both sides can change over.

        Raises:
            NotFound: SECRET_MISSING, there is nothing to rotate.
            Invalid: the value, or an overlap below 0 or over 30 days.

        """
        if not 0 <= overlap <= LONGEST_OVERLAP:
            raise Invalid(f"an overlap lies between 0 and {LONGEST_OVERLAP:g} s", source="access")
        self.get(tx, name)
        version = self._add(tx, name, value)
        tx.run(
            """UPDATE secrets SET valid_until = least(coalesce(valid_until, 'infinity'), now() + make_interval(secs => :overlap))
               WHERE workspace_id = :workspace_id AND name = :name AND version < :version""",
            name=name,
            version=version,
            overlap=overlap,
        )
        audit.record(tx, "secret.rotated", f"secret/{name}", version=version, overlap_seconds=overlap)
        return self.get(tx, name)

    def delete(self, tx: Tx, name: str) -> None:
        """Delete every version.

        Raises:
            NotFound: SECRET_MISSING.

        """
        gone = tx.run("DELETE FROM secrets WHERE workspace_id = :workspace_id AND name = :name", name=name)
        if not gone.rowcount:
            raise self._no_such(tx, name)
        audit.record(tx, "secret.deleted", f"secret/{name}")

    def get(self, tx: Tx, name: str) -> SecretInfo:
        """Return one as a listing shows it.

        Raises:
            NotFound: SECRET_MISSING.

        """
        found = self.page(tx, after="", limit=1, name=name)
        if not found:
            raise self._no_such(tx, name)
        return found[0]

    def page(self, tx: Tx, *, after: str, limit: int, name: str | None = None) -> Sequence[SecretInfo]:
        """Return those after a name, by name, with the versions that are still valid."""
        rows = tx.all(
            f"""SELECT name, version, created_at, created_by, valid_until FROM secrets WHERE {_LIVE} AND name IN (
                  SELECT DISTINCT name FROM secrets
                  WHERE {_LIVE} AND name > :after AND (CAST(:name AS text) IS NULL OR name = :name)
                  ORDER BY name LIMIT :limit)
                ORDER BY name, version DESC""",
            after=after,
            limit=limit,
            name=name,
        )
        found: dict[str, list[SecretVersion]] = {}
        for row in rows:
            version = SecretVersion(row.version, row.created_at, row.created_by, row.valid_until)
            found.setdefault(row.name, []).append(version)
        return [SecretInfo(each, versions) for each, versions in found.items()]

    def resolve(self, tx: Tx, name: str) -> list[str]:
        """Return the values that are valid now, newest first.

        Raises:
            Retryable: SECRET_MISSING or SECRET_UNREADABLE: it passes once somebody has set it right.

        """
        return self.resolve_many(tx, [name])[name]

    def valid(self, tx: Tx, names: Collection[str]) -> tuple[dict[str, list[str]], float | None]:
        """Return the values of those that are there, newest first, and the seconds until the first of them ends.

        Raises:
            Retryable: SECRET_UNREADABLE.

        """
        rows = tx.all(
            f"""SELECT name, version, key_id, ciphertext, extract(epoch FROM valid_until - now())::float AS ends
                FROM secrets WHERE {_LIVE} AND name = ANY (:names) ORDER BY version DESC""",
            names=list(names),
        )
        found: dict[str, list[str]] = {}
        for row in rows:
            place = place_of(tx.scope.organization_id, tx.scope.workspace_id, row.name, row.version)
            value = self.ring.decrypt(row.key_id, bytes(row.ciphertext), place)
            found.setdefault(row.name, []).append(value.decode())
        return found, min((row.ends for row in rows if row.ends is not None), default=None)

    def resolve_many(self, tx: Tx, names: Collection[str]) -> dict[str, list[str]]:
        """Resolve several by one query; see `resolve`."""
        found, _ = self.valid(tx, names)
        for name in names:
            if name not in found:
                raise Retryable(
                    f"no secret {name[:128]} in {tx.scope}", code=SECRET_MISSING, source="access", secret=name[:128]
                )
        return found

    def missing(self, tx: Tx, names: Collection[str]) -> list[str]:
        """Return the names that the workspace lacks, sorted: what `plan` asks."""
        rows = tx.all(f"SELECT DISTINCT name FROM secrets WHERE {_LIVE} AND name = ANY (:names)", names=list(names))
        return sorted(set(names) - {row.name for row in rows})

    def _add(self, tx: Tx, name: str, value: str) -> int:
        """Insert the next version; two writers of one name wait for each other."""
        check_name(name)
        content = _content(value)
        tx.run("SELECT pg_advisory_xact_lock(hashtextextended(:lock, 7310010))", lock=f"{tx.scope.workspace_id}/{name}")
        row = tx.one(
            "SELECT max(version) AS version FROM secrets WHERE workspace_id = :workspace_id AND name = :name", name=name
        )
        version = 1 + ((row.version if row else None) or 0)
        place = place_of(tx.scope.organization_id, tx.scope.workspace_id, name, version)
        key_id, ciphertext = self.ring.encrypt(content, place)
        tx.run(
            """INSERT INTO secrets (organization_id, workspace_id, name, version, key_id, ciphertext, created_by)
               VALUES (:organization_id, :workspace_id, :name, :version, :key_id, :ciphertext, :by)""",
            name=name,
            version=version,
            key_id=key_id,
            ciphertext=ciphertext,
            by=tx.cause.principal,
        )
        return version

    def _no_such(self, tx: Tx, name: str) -> NotFound:
        return NotFound(f"no secret {name[:128]} in {tx.scope}", code=SECRET_MISSING, source="access")


def check_name(name: str) -> None:
    """Refuse what is no secret's name.

    Raises:
        Invalid: SECRET_NAME_INVALID.

    """
    if not NAME.fullmatch(name):
        problem = {"pointer": "/name", "message": "a letter, then letters, digits, _ . -", "code": SECRET_NAME_INVALID}
        raise Invalid("that is no name of a secret", code=SECRET_NAME_INVALID, source="access", errors=[problem])


def _content(value: str) -> bytes:
    try:
        content = value.encode()
    except UnicodeEncodeError:
        content = b""
    if not 0 < len(content) <= MOST_BYTES or "\x00" in value:
        problem = {"pointer": "/value", "message": "1 to 65,536 bytes of UTF-8", "code": SECRET_VALUE_INVALID}
        raise Invalid("that is no value of a secret", code=SECRET_VALUE_INVALID, source="access", errors=[problem])
    return content


def rewrap(engine: Store, ring: KeyRing) -> int:
    """Encrypt every secret of every workspace anew that is not under the newest key; return how many. Safe to repeat.

    Raises:
        Retryable: SECRET_UNREADABLE: a row's key is not in the ring; those before it stay rewrapped.

    """
    done = 0
    while True:
        with engine.connect() as connection:
            rows = connection.execute(
                text(
                    """SELECT organization_id, workspace_id, name, version, key_id, ciphertext FROM secrets
                       WHERE key_id <> :newest ORDER BY workspace_id, name, version LIMIT :slice FOR UPDATE"""
                ),
                {"newest": ring.newest, "slice": _REWRAP_SLICE},
            ).all()
            for row in rows:
                place = place_of(row.organization_id, row.workspace_id, row.name, row.version)
                key_id, ciphertext = ring.encrypt(ring.decrypt(row.key_id, bytes(row.ciphertext), place), place)
                connection.execute(
                    text(
                        """UPDATE secrets SET key_id = :key_id, ciphertext = :ciphertext
                           WHERE workspace_id = :workspace_id AND name = :name AND version = :version"""
                    ),
                    {
                        "key_id": key_id,
                        "ciphertext": ciphertext,
                        "workspace_id": row.workspace_id,
                        "name": row.name,
                        "version": row.version,
                    },
                )
        done += len(rows)
        if len(rows) < _REWRAP_SLICE:
            return done


def purge(engine: Store) -> int:
    """Delete versions whose overlap has ended, over all workspaces; for the scheduler. Returns how many."""
    with engine.connect() as connection:
        return connection.execute(text("DELETE FROM secrets WHERE valid_until < now()")).rowcount

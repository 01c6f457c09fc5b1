"""The endpoints of all workspaces, kept in memory: verifiers with their secrets, compiled expressions, routes.

What is kept is looked at again when the storing statement says that it is old, when a secret's overlap ends, and before a request
is refused by it, ten times a second at most. Reading happens in a thread, for one workspace by one at a time; others go on meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from server.kernel.errors import CrossdockError, Retryable, Unavailable
from server.kernel.lifecycle import HELD_STATES
from server.store import Cause, Scope
from server.webhooks.inbound.endpoint import inbound_of
from server.webhooks.inbound.routes import Endpoint, Routes
from server.webhooks.verifiers.registry import blocks, methods_of, verifier_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from concurrent.futures import Executor

    from server.access.secrets import Secrets
    from server.store import Store, Tx
    from server.webhooks.inbound.endpoint import InboundWebhook
    from server.webhooks.verifiers.scheme import Fetch, Verify

log = structlog.get_logger("crossdock.inbound")
LOOK_AGAIN_SECONDS = 0.1
_LOOKS = 4
MOST_WORKSPACES = 10_000
MOST_UNKNOWN = 1000
STRANGERS_PER_SECOND = 200
_CAUSE = Cause("inbound", "inbound")
_NAMES = """
SELECT w.id, w.organization_id, w.name AS workspace, o.name AS organization
FROM workspaces w JOIN organizations o ON o.id = w.organization_id
WHERE o.name = %(organization)s AND w.name = %(workspace)s
"""
_VERSIONS = "SELECT routes_version, secrets_version FROM workspaces WHERE id = :workspace_id"
_ENDPOINTS = """
SELECT id, name, state, definition_version, body FROM webhooks
WHERE workspace_id = :workspace_id AND deleted_at IS NULL AND state IN ('active', 'failing', 'paused', 'disabled')
  AND body ->> 'direction' = 'inbound'
"""
Names = tuple[str, str]


@dataclass(slots=True)
class Table:
    """The endpoints of a workspace at a version of its routes and secrets; `scope` is None where there is no such workspace.

    `looked_at` is when it was last known to hold, `until` when a secret's overlap ends, both by the monotonic clock.
    """

    names: Names
    scope: Scope | None = None
    routes_version: int = -1
    secrets_version: int = -1
    routes: Routes = field(default_factory=lambda: Routes(()))
    looked_at: float = 0.0
    until: float | None = None

    def same_as(self, other: Table) -> bool:
        """Tell whether nothing has changed."""
        return (self.scope, self.routes_version, self.secrets_version, self.until) == (
            other.scope,
            other.routes_version,
            other.secrets_version,
            other.until,
        )


class Directory:
    """Finds the table of a workspace by its names; on the event loop only."""

    def __init__(
        self,
        store: Store,
        secrets: Secrets,
        fetch_for: Callable[[Scope], Fetch],
        executor: Executor,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._secrets = secrets
        self._fetch_for = fetch_for
        self._executor = executor
        self._monotonic = monotonic
        self._tables: OrderedDict[Names, Table] = OrderedDict()
        self._unknown: OrderedDict[Names, Table] = OrderedDict()
        self._looked_for = (0, 0)
        self._reading: dict[Names, asyncio.Task[Table]] = {}

    async def of(self, names: Names) -> Table:
        """Return the table as it is kept, or read it.

        Raises:
            Unavailable: the database is away, and it was never read; or too many look for workspaces that are none.

        """
        kept = self._tables.get(names)
        if kept is not None and (kept.until is None or self._monotonic() < kept.until):
            return kept
        if kept is None:
            unknown = self._unknown.get(names)
            if unknown is not None and self._monotonic() - unknown.looked_at < LOOK_AGAIN_SECONDS:
                return unknown
            self._count_strangers()
        return await self._read(names)

    def now(self) -> float:
        """Return the moment by which `newer` counts."""
        return self._monotonic()

    async def newer(self, table: Table, since: float) -> Table | None:
        """Return a table that has changed, None while this one holds: by a look that began after `since`, so no refusal is old.

        Those who come shortly one after the other share a look, and wait for it a tenth of a second at most.
        """
        for _ in range(_LOOKS):
            kept = self._kept(table.names)
            if kept is not None and kept.looked_at >= since:
                return None if kept is table or kept.same_as(table) else kept
            pause = kept.looked_at + LOOK_AGAIN_SECONDS - self._monotonic() if kept is not None else 0.0
            if pause > 0:
                await asyncio.sleep(pause)
            else:
                await self._read(table.names)
        return None

    def _kept(self, names: Names) -> Table | None:
        return self._tables.get(names) or self._unknown.get(names)

    async def again(self, table: Table) -> Table:
        """Return the table after another look, whatever its age: what was to be stored by it was refused as old.

        Raises:
            Unavailable: the database is away.

        """
        kept = self._tables.get(table.names)
        return kept if kept is not None and kept is not table else await self._read(table.names)

    async def _read(self, names: Names) -> Table:
        """Read a table, or wait for whoever does so already."""
        reading = self._reading.get(names)
        if reading is None:
            reading = self._reading[names] = asyncio.ensure_future(self._reread(names))
            reading.add_done_callback(lambda _: self._reading.pop(names, None))
        return await asyncio.shield(reading)

    async def _reread(self, names: Names) -> Table:
        began = self._monotonic()
        loop = asyncio.get_running_loop()
        table = await loop.run_in_executor(self._executor, self._load, names, self._tables.get(names))
        table.looked_at = began
        known, other = (self._unknown, self._tables) if table.scope is None else (self._tables, self._unknown)
        other.pop(names, None)
        known[names] = table
        known.move_to_end(names)
        if len(known) > (MOST_UNKNOWN if table.scope is None else MOST_WORKSPACES):
            known.popitem(last=False)
        return table

    def _count_strangers(self) -> None:
        """Bound what made-up names cost the database: so many look-ups a second, and then nobody new gets in."""
        second, number = self._looked_for
        now = int(self._monotonic())
        self._looked_for = (now, number + 1 if now == second else 1)
        if self._looked_for[1] > STRANGERS_PER_SECOND:
            raise Unavailable("too many unknown workspaces are asked for", source="inbound", after=1)

    def _load(self, names: Names, kept: Table | None) -> Table:
        """Read in a thread. The versions come first: what is read after them is as new at least."""
        scope = kept.scope if kept is not None else None
        if scope is None:
            scope = self._scope(names)
        if scope is None:
            return Table(names)
        with self._store.begin(scope, _CAUSE) as tx:
            versions = tx.one(_VERSIONS)
            if versions is None:
                return Table(names)
            routes, secrets = versions.routes_version, versions.secrets_version
            now = self._monotonic()
            if (
                kept is not None
                and (routes, secrets) == (kept.routes_version, kept.secrets_version)
                and (kept.until is None or kept.until > now)
            ):
                return kept
            endpoints, ends = self._endpoints(tx)
        return Table(
            names, scope, routes, secrets, Routes(endpoints), until=None if ends is None else now + max(ends, 0)
        )

    def _scope(self, names: Names) -> Scope | None:
        organization, workspace = names
        with self._store.connect() as connection:
            found = connection.exec_driver_sql(_NAMES, {"organization": organization, "workspace": workspace}).first()
        return None if found is None else Scope(found.organization_id, found.id, organization, workspace)

    def _endpoints(self, tx: Tx) -> tuple[list[Endpoint], float | None]:
        rows = tx.all(_ENDPOINTS)
        views = []
        for row in rows:
            try:
                webhook = inbound_of(row.body)
                blocks(webhook.verify)
                views.append((row, webhook))
            except (CrossdockError, KeyError, ValueError) as error:  # of another release: the others go on
                log.warning("an inbound webhook cannot be read", webhook=row.name, error=type(error).__name__)
        names = {name for _, webhook in views for name in webhook.secret_names}
        values, ends = self._values(tx, names) if names else ({}, None)
        fetch = self._fetch_for(tx.scope)
        return [_endpoint(row, webhook, _verifier(webhook, values, fetch, tx.scope)) for row, webhook in views], ends

    def _values(self, tx: Tx, names: Collection[str]) -> tuple[dict[str, list[str]], float | None]:
        """Return secrets and when the first of them ends; one that cannot be read is left out, and its webhooks alone cannot verify."""
        try:
            return self._secrets.valid(tx, names)
        except Retryable as error:
            log.warning("a secret cannot be read", workspace=str(tx.scope), code=error.code)
        found: dict[str, list[str]] = {}
        ends: list[float] = []
        for name in sorted(names):
            try:
                values, end = self._secrets.valid(tx, [name])
            except Retryable:
                continue
            found |= values
            ends += [] if end is None else [end]
        return found, min(ends, default=None)


def _endpoint(row: Any, webhook: InboundWebhook, verifier: Verify | None) -> Endpoint:
    declared = webhook.verify
    header, query = declared.get("header"), declared.get("query")
    return Endpoint(
        webhook_id=row.id,
        webhook=webhook,
        definition_version=row.definition_version,
        held=row.state in HELD_STATES,
        verifier=verifier,
        blocks=blocks(declared),
        methods=webhook.methods | methods_of(declared),
        proof=frozenset((header.lower(),)) if isinstance(header, str) else frozenset(),
        proof_query=frozenset((query,)) if isinstance(query, str) else frozenset(),
        challenge="Basic" if declared["scheme"] == "basic" else "Signature",
    )


def _verifier(
    webhook: InboundWebhook, values: Mapping[str, Sequence[str]], fetch: Fetch, scope: Scope
) -> Verify | None:
    """Return what verifies; None, with the reason in the log, while its secrets do not allow it."""
    try:
        per_minute = None if webhook.rate is None else max(1, int(webhook.rate.per_second * 60))
        return verifier_of(webhook.verify, values, fetch, per_minute)
    except KeyError as error:
        log.warning("an inbound webhook lacks a secret", workspace=str(scope), webhook=webhook.name, secret=str(error))
    except (CrossdockError, ValueError, TypeError) as error:  # the latter two: fields of another release
        reason = error.code if isinstance(error, CrossdockError) else type(error).__name__
        log.warning("an inbound webhook cannot verify", workspace=str(scope), webhook=webhook.name, code=reason)
    return None

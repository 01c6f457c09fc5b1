"""Flows of a product, on an engine whose threads the test lets run, against a system that does as it is told."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from server import bootstrap
from server.flows import starting
from server.flows.drain import Flows
from server.flows.starting import NewFlowRun
from server.flows.waking import Waking
from server.integrations.aggregate import Integration
from server.integrations.repository import INTEGRATIONS
from server.kernel.ids import new_uuid
from server.sdk import Adapter, CallRequest, Context, Health, Operation
from server.sdk.manifest import Manifest
from server.sdk.plugin import Plugin
from server.store import Store
from server.store.values import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from server.store import Scope
    from tests.support.product import Product

_FLOW = """
INSERT INTO flows AS f (organization_id, workspace_id, id, name, state, version, definition_version, body, created_at, created_by,
                        updated_at, updated_by)
VALUES (:organization_id, :workspace_id, :id, :name, 'active', 1, :version, CAST(:body AS json), now(), 'test', now(), 'test')
ON CONFLICT (workspace_id, name) WHERE deleted_at IS NULL
DO UPDATE SET body = excluded.body, definition_version = excluded.definition_version RETURNING id
"""
_VERSION = """
INSERT INTO journal (organization_id, workspace_id, aggregate_kind, aggregate_id, version, type, data, event_uid, by, correlation_id)
VALUES (:organization_id, :workspace_id, 'flow', :id, :version, 'crossdock.flow.changed', CAST(:data AS json), :uid, 'test', 'cor')
"""
ANY = {"type": "object"}


class Pretend(Adapter):
    """Does what it is asked once per key, and fails as `fails` says: by operation, a list of what its next calls raise."""

    id = "pretend"
    version = "1.0.0"
    operations = tuple(
        Operation(name=name, about="Pretends.", input_schema=ANY, output_schema=ANY, writes=writes)
        for name, writes in (("thing.do", True), ("thing.undo", True), ("thing.instead", True), ("thing.read", False))
    )

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any], str | None]] = []
        self.fails: dict[str, list[Exception | None]] = defaultdict(list)
        self.answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}
        self.lock = threading.Lock()

    def execute(self, request: CallRequest, context: Context) -> Any:
        given = dict(request.input)
        with self.lock:
            self.calls.append((request.operation, given, context.idempotency_key))
            failure = self.fails[request.operation].pop(0) if self.fails[request.operation] else None
        if failure is not None:
            raise failure
        answer = self.answers.get(request.operation)
        return answer(given) if answer else {"of": given.get("of"), "id": f"{request.operation}-{given.get('of')}"}

    def health_check(self, context: Context) -> Health:
        return Health(status="healthy", latency_ms=0.0, last_checked=context.clock.now())

    def names(self) -> list[str]:
        """Return the operations called, in order, with what they were of."""
        return [f"{name.partition('.')[2]} {given.get('of')}" for name, given, _ in self.calls]


def pretending(adapter: Adapter) -> Plugin:
    """Return a plugin without a folder."""
    manifest = Manifest(
        name="pretend",
        title="Pretend",
        version="1.0.0",
        about="For tests.",
        operations=tuple(each.name for each in adapter.operations),
        owner="tests",
        tier="bronze",
        exempt={},
    )
    return Plugin("pretend", Path(), manifest, {"type": "object"}, lambda: adapter, lambda: None)  # type: ignore[arg-type,return-value]


class Flowing:
    """A product whose flows run here."""

    def __init__(self, product: Product, adapter: Adapter | None = None) -> None:
        self.adapter = adapter or Pretend()
        self.product = product
        plugins = {**product.core.plugins, "pretend": pretending(self.adapter)}
        self.core = product.core = dataclasses.replace(product.core, plugins=plugins)
        self.ledger = Store(product.settings.database_url, "crossdock_engine", pool=4, by_index=True)
        self.caller = bootstrap.caller_of(self.core)
        self.waking = Waking(self.core.engine, self.core.hint)
        self.engine = self.another()
        self.integration("erp")

    def another(self) -> Flows:
        """Return the engine of another worker; the one before claims nothing more."""
        if hasattr(self, "engine"):
            self.engine.stop()
        core = self.core
        making = bootstrap.making_of(core)
        return Flows(core.engine, self.ledger, making, self.caller, core.publisher, core.clock, core.hint)

    def close(self) -> None:
        self.engine.stop()
        self.caller.close()
        self.ledger.close()

    @property
    def pretend(self) -> Pretend:
        assert isinstance(self.adapter, Pretend)
        return self.adapter

    def integration(self, name: str, **body: Any) -> None:
        integration = Integration(new_uuid())
        retry = {"attempts": 3, "initial": "10ms", "multiplier": 1, "max": "10ms", "jitter": 0}
        policy = {"retry": retry, "breaker": {"failures": 1000}}
        full = {"name": name, "plugin": "pretend", "config": {}, "policy": policy, **body}
        integration.create(name, full, 1, {})
        integration.activate()
        with self.product.tx() as tx:
            INTEGRATIONS.add(tx, integration)

    def flow(self, name: str, steps: Sequence[Any], version: int = 1, scope: Scope | None = None, **body: Any) -> UUID:
        """Declare a flow, or another version of it."""
        full = {"name": name, "steps": list(steps), **body}
        with self.product.tx(scope) as tx:
            tx.run("UPDATE workspaces SET routes_version = routes_version + 1 WHERE id = :workspace_id")
            row = tx.one(_FLOW, id=new_uuid(), name=name, body=write_json(full), version=version)
            tx.run(
                _VERSION,
                id=row.id,
                version=version,
                data=write_json({"definition_version": version, "body": full}),
                uid=new_uuid(),
            )
        found: UUID = row.id
        return found

    def pause(self, name: str, state: str = "paused") -> None:
        with self.product.tx() as tx:
            tx.run(
                "UPDATE flows SET state = :state WHERE workspace_id = :workspace_id AND name = :name",
                state=state,
                name=name,
            )

    def start(self, flow_id: UUID, data: Any = None, name: str = "f", version: int = 1) -> UUID:
        """Start a run."""
        run = NewFlowRun(
            id=new_uuid(),
            workspace_id=self.product.scope.workspace_id,
            flow_id=flow_id,
            flow=name,
            definition_version=version,
            cause="person",
            data=write_json(data if data is not None else {}),
            principal="user:anna",
            correlation_id="cor_1",
        )
        with self.product.tx() as tx:
            starting.start(tx.conn, [run])
        return run.id

    def run(self, steps: Sequence[Any], data: Any = None, seconds: float = 8.0, **body: Any) -> Any:
        """Declare a flow, start a run, and let it go to its end; return it."""
        return self.ended(self.start(self.flow("f", steps, **body), data), seconds)

    def ended(self, run: UUID, seconds: float = 8.0) -> Any:
        """Let runs go until this one has ended."""
        return self.until(run, lambda row: row.ended_at is not None, seconds)

    def until(self, run: UUID, condition: Callable[[Any], Any], seconds: float = 8.0) -> Any:
        """Let runs go until one of them is as is wanted."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.waking.drain()
            self.engine.drain()
            row = self.row(run)
            if condition(row):
                return row
            time.sleep(0.01)
        raise AssertionError(f"not within {seconds} s: {self.row(run)} {self.steps(run)}")

    def row(self, run: UUID) -> Any:
        return self.product.rows("SELECT * FROM flow_runs WHERE id = :id", id=run)[0]

    def steps(self, run: UUID) -> dict[str, str]:
        """Return the state of each step, by its path."""
        rows = self.product.rows("SELECT path, state FROM flow_steps WHERE run_id = :id ORDER BY path", id=run)
        return {row.path: row.state for row in rows}

    def step(self, run: UUID, path: str) -> Any:
        row = self.product.rows(
            """SELECT state, tries, round, input::text AS input, result::text AS result, error::text AS error, note::text AS note
               FROM flow_steps WHERE run_id = :id AND path = :path""",
            id=run,
            path=path,
        )[0]
        read = {
            name: read_json(text) if (text := getattr(row, name)) else None
            for name in ("input", "result", "error", "note")
        }
        return type("Step", (), {**row._mapping, **read})

    def hurry(self, run: UUID) -> None:
        """Let what a run waits for be now."""
        with self.core.engine.connect() as conn:
            conn.exec_driver_sql(
                "UPDATE due SET due_at = now() WHERE kind = 'flow' AND ref = %s AND NOT leased", (run,)
            )

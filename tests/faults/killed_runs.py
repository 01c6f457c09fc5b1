"""Sync jobs whose runs are killed: each with a table of its own to read, and a table or a list of an API to write."""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from server.integrations.aggregate import Integration
from server.integrations.repository import INTEGRATIONS
from server.kernel.ids import new_uuid
from server.syncs.aggregate import SyncJob
from server.syncs.repository import SYNC_JOBS
from server.syncs.runs import start_run
from tests.support.product import until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from tests.support.fleet import Fleet

KINDS = ("upsert", "append", "api")
_MAP = {"id": "row.id", "name": "upper(row.name)", "credit": "text(row.credit)"}
_ADD = """INSERT INTO shop.{} SELECT i, 'n' || i, i, timestamptz '2026-01-01' + (%s::int + i / 3) * interval '1 second'
          FROM generate_series(%s::int, %s::int) AS i"""
_CHANGE = """UPDATE shop.{} SET name = name || 'x', updated_at = timestamptz '2026-01-01' + (%s::int + id) * interval '1 second'
             WHERE id %% 4 = 0 AND id < %s"""
_GENERATION = 100_000  # seconds between the rows of one run and those of the next


class Api:
    """An API that creates a record for each request, and answers one whose key it knows as it did the first time."""

    def __init__(self) -> None:
        self.records: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.repeats = 0
        self._keys: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"api": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, path: str, key: str, record: dict[str, Any]) -> None:
        """Create a record, unless its key is known."""
        with self._lock:
            if (path, key) in self._keys:
                self.repeats += 1
                return
            self._keys.add((path, key))
            self.records[path].append(record)


class _Handler(BaseHTTPRequestHandler):
    api: Api
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.api.take(self.path, self.headers["Idempotency-Key"], body)
        answer = json.dumps({"id": body["id"]}).encode()
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def handle(self) -> None:
        with suppress(ConnectionError):  # who was killed reads no answer
            super().handle()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@dataclass
class Job:
    """One job, how many rows its table has, and the run under way."""

    name: str
    kind: str
    new_rows: int
    rows: int = 0
    read: int = 0
    run: UUID | None = None


@dataclass
class Round:
    """What a kill met: runs under way with the shares of their rows that were done, and how long until others had them."""

    shares: list[float] = field(default_factory=list)
    seconds: float = 0.0


class Killing:
    """Jobs on a fleet; each round gives each of them a run and kills all workers while they are at it."""

    def __init__(self, fleet: Fleet, api: Api, jobs: int) -> None:
        self.fleet, self.api, self.product = fleet, api, fleet.product
        self._numbers = itertools.count(1)
        self._generation = 0
        self._sql("CREATE SCHEMA IF NOT EXISTS shop")
        url = fleet.postgres.url.replace("+psycopg", "")
        self._integration("from", "sql", {"url": url})
        self._integration("to", "sql", {"url": url})
        self._integration("api", "http", {"base_url": api.url})
        self.jobs = [
            self._job(f"{kind}-{number}", kind)
            for number, kind in zip(range(jobs), itertools.cycle(KINDS), strict=False)
        ]

    def round(self, share: float) -> Round:
        """Start a run of each job, kill all workers when this share of all rows is done, and wait until all have ended."""
        self._generation += _GENERATION
        for job in self.jobs:
            self._add_rows(job)
        for job in self.jobs:
            with self.product.tx() as tx:
                job.run = start_run(tx, SYNC_JOBS.get(tx, job.name), "person", self.product.core.hint)
        until(lambda: self._done() >= share or self._states() <= {"succeeded"}, 30, "the runs get on")
        time.sleep(random.uniform(0.0, 0.03))
        for name in self.fleet.workers:
            self.fleet.processes[name].kill()
        killed, found = time.monotonic(), Round()
        for name in self.fleet.workers:
            self.fleet.processes[name].wait(10)
        orphans = set(self.fleet.rows("SELECT ref, epoch FROM due WHERE kind = 'sync' AND leased"))
        found.shares = self._shares({ref for ref, _ in orphans})
        self.fleet.start(*self.fleet.workers)
        due = "SELECT ref, epoch FROM due WHERE kind = 'sync'"
        until(lambda: not orphans & set(self.fleet.rows(due)), 30, "others have the runs")
        found.seconds = time.monotonic() - killed
        until(lambda: self._states() <= {"succeeded", "failed"}, 60, "all runs end")
        return found

    def wrong(self) -> list[str]:
        """Say what is lost, doubled or miscounted."""
        return [f"{job.name}: {each}" for job in self.jobs for each in self._wrong(job)]

    def _wrong(self, job: Job) -> list[str]:
        run = self.product.rows("SELECT * FROM sync_runs WHERE id = :id", id=job.run)[0]
        told = (run.state, run.read, run.written + run.unchanged, run.refused)
        found = [] if told == ("succeeded", job.read, job.read, 0) else [f"the run tells {told} of {job.read}"]
        position = self.product.rows(
            "SELECT position FROM sync_states s JOIN sync_jobs j ON j.id = s.job_id WHERE j.name = :name", name=job.name
        )[0].position
        [(last,)] = self.fleet.rows(f"SELECT id FROM shop.source_{_of(job)} ORDER BY updated_at DESC, id DESC LIMIT 1")
        if position[1] != last:
            found.append(f"the cursor is at {position}, the last row is {last}")
        wanted = self.fleet.rows(f"SELECT id, upper(name), credit::text FROM shop.source_{_of(job)} ORDER BY id")
        held = self._held(job)
        if held != wanted:
            lost, more = len(set(wanted) - set(held)), len(held) - len(set(held))
            found.append(f"{lost} lost, {more} doubled, {len(set(held) - set(wanted))} unexpected of {len(wanted)}")
        return found

    def _held(self, job: Job) -> list[tuple[Any, ...]]:
        if job.kind == "api":
            return sorted((each["id"], each["name"], each["credit"]) for each in self.api.records[f"/{_of(job)}"])
        return self.fleet.rows(f"SELECT id, name, credit FROM shop.target_{_of(job)} ORDER BY id")

    def _states(self) -> set[str]:
        runs = [job.run for job in self.jobs]
        return {each for (each,) in self.fleet.rows("SELECT DISTINCT state FROM sync_runs WHERE id = ANY(%s)", runs)}

    def _done(self) -> float:
        """Return the share of all rows that is read, from 0 on."""
        runs = [job.run for job in self.jobs]
        [(read, begun)] = self.fleet.rows(
            "SELECT sum(read), count(*) FILTER (WHERE state <> 'queued') FROM sync_runs WHERE id = ANY(%s)", runs
        )
        return float(read) / sum(job.read for job in self.jobs) if begun else -1.0

    def _shares(self, runs: set[UUID]) -> list[float]:
        done = dict(self.fleet.rows("SELECT id, read FROM sync_runs WHERE id = ANY(%s)", list(runs)))
        return [done[job.run] / job.read for job in self.jobs if job.run in runs]

    def _add_rows(self, job: Job) -> None:
        table = f"source_{_of(job)}"
        [(last,)] = self.fleet.rows(f"SELECT max(updated_at) FROM shop.{table}")
        if job.kind == "upsert":
            self._sql(_CHANGE.format(table), self._generation, job.rows + 1)
        self._sql(_ADD.format(table), self._generation, job.rows + 1, job.rows + job.new_rows)
        job.rows += job.new_rows
        # rows of the last moment are read again, since more of them may have come; not where they are appended
        sign = ">=" if job.kind == "upsert" else ">"
        new = f"SELECT count(*) FROM shop.{table} WHERE %s::timestamptz IS NULL OR updated_at {sign} %s"
        [(job.read,)] = self.fleet.rows(new, last, last)

    def _job(self, name: str, kind: str) -> Job:
        job = Job(name, kind, random.randint(30, 60) if kind == "api" else random.randint(150, 450))
        columns = "(id int {}, name text, credit {}{})"
        self._sql(
            f"CREATE TABLE shop.source_{_of(job)} {columns.format('PRIMARY KEY', 'int', ', updated_at timestamptz')}"
        )
        self._sql(
            f"CREATE TABLE shop.target_{_of(job)} {columns.format('UNIQUE' if kind == 'upsert' else '', 'text', '')}"
        )
        to = {"call": "to.table.write", "schema": "shop", "table": f"target_{_of(job)}", "mode": kind}
        if kind == "api":
            to = {"call": "api.resource.write", "path": f"/{_of(job)}", "mode": "append"}
        body = {
            "name": name,
            "source": {
                "call": "from.query.read",
                "sql": f"SELECT * FROM shop.source_{_of(job)}",
                "primary_key": ["id"],
                "cursor": {"fields": ["updated_at", "id"]},
            },
            "map": _MAP,
            "target": {**to, **({"match_on": ["id"]} if kind == "upsert" else {})},
            "batch": {"size": 4 if kind == "api" else 10},
        }
        made = SyncJob(new_uuid())
        made.create(name, body, 1, {})
        made.activate()
        with self.product.tx() as tx:
            SYNC_JOBS.add(tx, made)
        return job

    def _integration(self, name: str, plugin: str, config: dict[str, Any]) -> None:
        integration = Integration(new_uuid())
        integration.create(name, {"name": name, "plugin": plugin, "config": config}, 1, {})
        integration.activate()
        with self.product.tx() as tx:
            INTEGRATIONS.add(tx, integration)

    def _sql(self, sql: str, *values: Any) -> int:
        with self.fleet.postgres.connect("crossdock") as connection:
            return connection.execute(sql.encode(), values or None).rowcount


def _of(job: Job) -> str:
    return job.name.replace("-", "_")


def tenths(shares: Sequence[float]) -> list[int]:
    """Count shares by tenths, so that it is seen whether the kills came all over the runs."""
    counts = [0] * 10
    for each in shares:
        counts[min(int(each * 10), 9)] += 1
    return counts

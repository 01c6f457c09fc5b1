"""What the figures have to be: each target, where its figure stands in the raw data, and what is published of others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Target:
    """A figure of a measurement (`path` by dots into it) and its bound; `least` is a lower one, else it is an upper one."""

    words: str
    measure: str
    path: str
    bound: float
    unit: str = ""
    least: bool = False

    def figure(self, found: Mapping[str, Any]) -> float | None:
        """Return the figure; None when it was not measured."""
        value: Any = found
        for key in self.path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        return None if value is None else float(value)

    def holds(self, figure: float) -> bool:
        """Say whether it is good enough."""
        return figure >= self.bound if self.least else figure <= self.bound


TARGETS = (
    Target(
        "Sustained, per second of worker CPU, beside a bare aiohttp loop", "throughput", "of_aiohttp", 0.6, "×", True
    ),
    Target("The same beside a bare `requests.Session` loop", "throughput", "of_requests", 3.0, "×", True),
    Target("End to end: accepted in lists, delivered, recorded", "end_to_end", "per_second", 2500, "/s", True),
    Target("200/s singly, accepted to received, p50", "latency", "accepted_to_received_ms.p50", 20, "ms"),
    Target("200/s singly, accepted to received, p95", "latency", "accepted_to_received_ms.p95", 50, "ms"),
    Target("200/s singly, accepted to received, p99", "latency", "accepted_to_received_ms.p99", 120, "ms"),
    Target("200/s singly, ingest, p95", "latency", "ingest_ms.p95", 6, "ms"),
    Target("The same in a workspace with flows", "latency_with_flows", "ingest_ms.p95", 6, "ms"),
    Target("1,000/s offered singly, waiting a second later", "thousand", "backlog_after_1s", 0, ""),
    Target("1,000/s offered singly, last answer late by", "thousand", "last_answer_late_s", 1, "s"),
    Target("1,000/s offered in lists of ten, waiting a second later", "thousand_in_tens", "backlog_after_1s", 0, ""),
    Target("Rate with a long past and many webhooks, of the fresh one", "flat", "of_fresh", 0.9, "×", True),
    Target("One event for all webhooks: accepted in", "fan_out", "accepted_ms_median", 50, "ms"),
    Target("One event for all webhooks: delivered, of the sustained rate", "fan_out", "of_sustained", 0.8, "×", True),
    Target("Memory of a worker on a large backlog", "backlog", "worker_rss_mb.peak", 250, "MB"),
    Target("SQL round trips for 100 deliveries, heartbeats apart", "round_trips", "per_100", 4, ""),
    Target("Idle: the most that any process takes of a core", "idle", "largest_percent", 1, "%"),
    Target("Healthy endpoints beside bad ones: throughput", "isolation", "throughput_of_without", 0.9, "×", True),
    Target("Healthy endpoints beside bad ones: p95", "isolation", "p95_of_without", 2, "×"),
    Target("First event beside another workspace's backlog", "neighbour", "first_ms", 120, "ms"),
    Target("Inbound: verified, stored, deduplicated, answered", "inbound", "per_second", 2000, "/s", True),
    Target("Inbound: answered, p99, 10 connections", "inbound", "answer_ms.p99", 50, "ms"),
    Target("Inbound: stored orders mapped and emitted", "inbound_mapped", "per_second", 1000, "/s", True),
    Target(
        "Sync, PostgreSQL to PostgreSQL: mapped, checked, upserted",
        "sync_sql",
        "postgresql.per_second",
        28_000,
        "/s",
        True,
    ),
    Target("Sync, SQLite to SQLite, the same", "sync_sql", "sqlite.per_second", 28_000, "/s", True),
    Target("Sync, the same in two parts", "sync_sql", "two_parts.per_second", 40_000, "/s", True),
    Target("Sync: memory over the process's own", "sync_sql", "postgresql.memory_mb.over_base", 80, "MB"),
    Target("Sync with the record ledger", "sync_sql", "ledger.per_second", 15_000, "/s", True),
    Target("Sync, one row of 1,000 is bad and dead-lettered", "sync_sql", "bad_rows.per_second", 15_000, "/s", True),
    Target("Sync beside dlt", "sync_sql", "of_dlt", 3, "×", True),
    Target("Sync beside a Singer tap and target", "sync_sql", "of_singer", 4, "×", True),
    Target("Sync, REST to PostgreSQL", "sync_rest", "per_second", 25_000, "/s", True),
    Target("Sync of many rows: memory grows by", "sync_memory", "grown_mb", 5, "MB"),
    Target("10,000 scheduled jobs: a tick with none due, p50", "sync_schedules", "idle_ms_p50", 50, "ms"),
    Target("10,000 scheduled jobs: a usual tick, p99", "sync_schedules", "usual_ms_p99", 50, "ms"),
    Target("Flows: durable steps of one worker, no-op calls", "flow_steps", "steps_per_second", 400, "/s", True),
    Target("Flows: event stored to first step begun, p95", "flow_first_step", "begun_ms.p95", 30, "ms"),
    Target("100,000 runs that wait: what an idle worker takes more of a core", "flow_waiting", "more_percent", 1, "%"),
    Target("Deals on the embedded ERP, all at once: memory grows by", "flow_deals", "grown_mb", 20, "MB"),
)
CHECKED = ("lost", "repeated", "unexpected")
"""What every measurement counts that looks at arrivals; has to be 0."""

PEERS = """\
| product | figure | what stands behind it |
|---|---|---|
| Hookstream (BullMQ, 4 vCPU) | 1,812 deliveries/s, p95 143 ms | published |
| Convoy, Redis queue | p95 1.8 to 2.0 s at 200/s; under 1,000/s in all | published; queues before it stores |
| Convoy, PostgreSQL queue | p95 0.127 s at 200/s; about 32 SQL statements an event | published |
| n8n | 57 to 67 mapped webhooks/s | measured on another 2-core machine; kill -9 lost all 60 of 60 acknowledged runs |
| Node-RED | 2,100/s | measured on another 2-core machine; nothing is stored |
| Svix | none published | commits, then queues, without a sweeper: a crash between loses the message (svix#1511) |
| Hook0 | none published | holds a database connection for each HTTP call |
"""

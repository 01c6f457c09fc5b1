"""A worker process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from server import reactions
from server.access.references import resolve_config
from server.events import alerts
from server.flows import arriving, starting, waking
from server.flows.causes import because
from server.flows.drain import Flows
from server.integrations import outbox_events, outboxes
from server.integrations.endpoints import Endpoints
from server.integrations.nudges import Nudges
from server.operations import metrics
from server.queue import hints
from server.replays import drain as replays
from server.store import Store, processes
from server.syncs import runs
from server.syncs.drain import Runs
from server.transport.addresses import AddressPolicy
from server.transport.aio import AsyncSender
from server.webhooks import fallbacks, health
from server.webhooks.drain import Deliveries
from server.webhooks.inbound import storing
from server.webhooks.inbound.drain import Inbound
from server.webhooks.owing import FANOUT
from server.webhooks.sending import Sending
from server.webhooks.targets import Targets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from server.config import Settings
    from server.webhooks.job import Job
    from server.webhooks.queries import Outcome


from server.bootstrap.shared import Core, caller_of, core, making_of

LEDGER_CONNECTIONS = 9  # three threads of deliveries, four of sync runs, two that record flow runs


@dataclass(frozen=True, slots=True)
class Chore:
    """What a worker does beside deliveries; it returns how much it did. One without a kind of due work looks for itself."""

    name: str
    kind: str | None
    work: Callable[[], int]

    def __call__(self) -> int:
        """Do it."""
        return self.work()


@dataclass(frozen=True, slots=True)
class Worker:
    """What a worker process runs. `chores` drain what is not deliveries; each returns how much it did."""

    process: processes.Process
    store: Store
    redis_url: str
    deliveries: Deliveries
    flows: Flows
    nudges: Nudges
    chores: Sequence[Chore]


def worker(settings: Settings, *, built: Core | None = None) -> Worker:
    """Build a worker."""
    shared = built or core(settings)
    process = processes.Process("worker")
    endpoints = Endpoints(
        shared.plugins, lambda tx, config: resolve_config(tx, shared.secrets, config), shared.keychain
    )
    targets = Targets(shared.engine, endpoints, shared.secrets, shared.networks.of)
    sending = Sending(AsyncSender(AddressPolicy()), shared.clock, shared.gate)

    endpoints_health = health.EndpointHealth(shared.engine, shared.webhooks)

    def after(outcomes: Sequence[Outcome], jobs: Mapping[UUID, Job]) -> None:
        metrics.count_outcomes(outcomes, jobs)
        endpoints_health(outcomes, jobs)

    ledger = Store(settings.database_url, "crossdock_engine", pool=LEDGER_CONNECTIONS, by_index=True)
    watch = hints.Watch(hints.connect(settings.redis_url), process.name) if settings.redis_url else None
    deliveries = Deliveries(ledger, targets, sending, process.name, after, watch)
    services = reactions.Services(shared.hint)
    nudges = Nudges()
    making, caller = making_of(shared), caller_of(shared, nudges)
    flows = Flows(shared.engine, ledger, making, caller, shared.publisher, shared.clock, shared.hint)
    fetching = outboxes.Outboxes(shared.engine, shared.publisher, making, caller, nudges, because)
    chores = [
        Chore("events that many runs wait for", arriving.KIND, arriving.Arriving(shared.engine, shared.hint).drain),
        Chore("wake flow runs", waking.KIND, waking.Waking(shared.engine, shared.hint).drain),
        Chore("flow runs", starting.KIND, flows.drain),
        Chore("inbound requests", storing.KIND, Inbound(shared.engine, shared.publisher).drain),
        Chore("fan-outs", FANOUT, deliveries.fan_out),
        Chore("reactions", reactions.KIND, partial(reactions.drain, shared.engine, services)),
        Chore("alerts", None, partial(alerts.drain, shared.engine, shared.publisher)),
        Chore("fallbacks", fallbacks.KIND, fallbacks.Fallbacks(shared.engine, making, caller, shared.reopening).drain),
        Chore("replays", replays.KIND, partial(replays.drain, shared.engine, shared.reopening)),
        Chore("sync runs", runs.KIND, Runs(shared.engine, ledger, making, caller, shared.admit).drain),
        Chore("outboxes of what was called", None, fetching.notice),
        Chore("outboxes", outbox_events.KIND, fetching.drain),
    ]
    return Worker(process, shared.engine, settings.redis_url, deliveries, flows, nudges, chores)

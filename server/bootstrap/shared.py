"""What every role shares, and what is built from it in more than one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from server import reactions
from server.access.keyring import KeyRing
from server.access.networks import Networks
from server.access.secrets import Secrets
from server.events.at_once import AtOnce
from server.events.catalogue import Catalogue
from server.events.publishing import Publisher
from server.flows.owing import Owing as FlowOwing
from server.flows.reopening import ReopeningRuns
from server.flows.repository import FLOWS
from server.flows.starting import KIND as FLOW
from server.integrations import outbox_events, outboxes
from server.integrations.breakers import Breakers
from server.integrations.buckets import Buckets
from server.integrations.calls import Caller
from server.integrations.credentials import Keychain
from server.integrations.gates import SharedGate
from server.integrations.keys import SqlKeys
from server.integrations.making import Making
from server.integrations.places import Places
from server.integrations.plugin_stores import PluginStores
from server.integrations.plugins import discover
from server.integrations.repository import INTEGRATIONS
from server.integrations.sharers import Sharers
from server.integrations.usecases import ByHand
from server.kernel.clock import Clock, SystemClock
from server.kernel.ids import new_uuid, show
from server.operations import checks
from server.operations.flights import Flights
from server.operations.health import Health
from server.operations.integrations import externals
from server.queue import hints
from server.store import Cause, Store
from server.store.clock import DatabaseClock
from server.syncs.owing import Owing as SyncOwing
from server.syncs.refused import KIND as RECORD
from server.syncs.reopening import ReopeningRecords
from server.syncs.repository import SYNC_JOBS
from server.transport.proxy import Proxy
from server.webhooks.inbound.admitting import Admitting
from server.webhooks.inbound.reopening import Reopening as ReopeningRequests
from server.webhooks.owing import Owing
from server.webhooks.owners import Owners
from server.webhooks.repository import WEBHOOKS
from server.webhooks.usecases import Reopening

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from redis import Redis

    from server.config import Settings
    from server.integrations.guards import Call
    from server.queue.dead_letters import Reopen
    from server.sdk.adapter import Health as AdapterHealth
    from server.sdk.plugin import Plugin
    from server.store import Scope
    from server.store.repository import SqlRepository
    from server.webhooks.aggregate import Webhook


WORKER_CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class Core:
    """What every role shares. `engine` works over all workspaces; `tenant` is fenced into one."""

    settings: Settings
    clock: Clock
    engine: Store
    tenant: Store
    secrets: Secrets
    plugins: Mapping[str, Plugin]
    networks: Networks
    keychain: Keychain
    gate: SharedGate
    hint: Callable[[], None]
    publisher: Publisher
    at_once: AtOnce
    owing: Owing
    webhooks: SqlRepository[Webhook]
    reopening: Reopening
    reopens: Mapping[str, Reopen]
    owners: Owners
    admit: Admitting


def core(settings: Settings, *, clock: Clock | None = None, connections: int = WORKER_CONNECTIONS) -> Core:
    """Build what every role shares; nothing connects before it is used. `clock` counts until the database has told its time."""
    timed = DatabaseClock(clock or SystemClock())
    redis = hints.connect(settings.redis_url) if settings.redis_url else None
    hint = hints.Hints(redis) if redis is not None else _no_hint
    owing = Owing(timed, hint)
    catalogue, syncs, flows = Catalogue(), SyncOwing(timed, hint), FlowOwing(hint)
    publisher = Publisher(timed, catalogue, [owing, syncs, flows, reactions.owe])
    hooks = [publisher.publish_journal]
    reopening = Reopening(hint)
    stores = partial(Store, settings.database_url, before_commit=hooks, measured=timed.measured)
    engine = stores("crossdock_engine", pool=WORKER_CONNECTIONS)
    ring = KeyRing.read(settings.keys)
    networks = Networks(engine, settings.allow_networks, Proxy.read(settings.proxy))
    return Core(
        settings=settings,
        clock=timed,
        engine=engine,
        tenant=stores("crossdock_api", pool=connections),
        secrets=Secrets(ring),
        plugins=discover(),
        networks=networks,
        keychain=Keychain(engine, ring, timed, networks.policy),
        gate=_gate(engine, redis),
        hint=hint,
        publisher=publisher,
        at_once=AtOnce(timed, catalogue, publisher.loops, owing, [syncs, flows]),
        owing=owing,
        webhooks=WEBHOOKS,
        reopening=reopening,
        reopens={
            "delivery": reopening,
            "inbound": ReopeningRequests(hint),
            reactions.KIND: reactions.Reopening(),
            RECORD: ReopeningRecords(hint),
            FLOW: ReopeningRuns(hint),
            outbox_events.KIND: outboxes.ReopeningEvents(publisher),
        },
        owners=Owners({"webhook": WEBHOOKS, "integration": INTEGRATIONS, "sync": SYNC_JOBS, "flow": FLOWS}),
        admit=Admitting(timed, hint),
    )


def _gate(engine: Store, redis: Redis | None) -> SharedGate:
    sharers = Sharers(redis)
    return SharedGate(Breakers(engine), Buckets(redis, sharers), Places(redis, sharers))


def _no_hint() -> None:
    """Give no hint: without Redis the workers' timer finds the work."""


def caller_of(shared: Core, after: Callable[[Call], None] | None = None) -> Caller:
    """Build what makes calls; one per process. `after` hears of those to systems with an outbox."""
    return Caller(
        clock=shared.clock,
        gate=shared.gate,
        keys=SqlKeys(shared.engine),
        keychain=shared.keychain,
        files=shared.settings.files,
        stores=PluginStores(shared.settings.database_url),
        after=after,
    )


def making_of(shared: Core) -> Making:
    """Build what makes calls ready."""
    return Making(shared.secrets, shared.plugins, shared.networks.policy)


def health_of(shared: Core, caller: Caller) -> Health:
    """Build the health of the instance and of the systems behind its integrations."""
    by_hand = ByHand(shared.engine, shared.secrets, shared.plugins, caller, shared.networks.policy)

    def ask(scope: Scope, name: str) -> AdapterHealth:
        return by_hand.test(scope, Cause("health", show("cor", new_uuid())), name)

    return Health(
        checks.parts(shared.settings, shared.engine),
        ("database", "schema"),
        externals(shared.engine, ask),
        flights=Flights(),
        clock=shared.clock,
    )

"""The composition root: the only place that chooses concrete classes. Everything replaceable is a keyword.

settings ─▶ Core (stores, key ring, plugins, publisher, what events owe) ─▶ api() · worker() · scheduler()
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from server import reactions
from server.access.api import Access
from server.access.api import blueprint as access_room
from server.access.authentication import TokenAuthentication, local_admin
from server.access.keyring import KeyRing
from server.access.networks import Networks
from server.access.references import resolve_config
from server.access.secrets import Secrets, purge
from server.access.throttle import AuthenticationFailures
from server.authoring.api import blueprint as definitions_room
from server.authoring.examining import World
from server.events import alerts
from server.events.api import blueprint as events_room
from server.events.catalogue import Catalogue
from server.events.feed import Feeds
from server.events.publishing import Publisher
from server.events.sockets import Sockets
from server.events.stream import Stream
from server.integrations.api import blueprint as integrations_room
from server.integrations.breakers import Breakers
from server.integrations.buckets import Buckets
from server.integrations.calls import Caller
from server.integrations.credentials import Keychain
from server.integrations.discovery import Discovery
from server.integrations.discovery_api import blueprint as discovery_room
from server.integrations.endpoints import Endpoints
from server.integrations.gates import SharedGate
from server.integrations.keys import SqlKeys
from server.integrations.making import Making
from server.integrations.places import Places
from server.integrations.plugin_stores import PluginStores
from server.integrations.plugins import discover
from server.integrations.sharers import Sharers
from server.integrations.spec import plugin_facts
from server.integrations.token_rows import purge as purge_tokens
from server.integrations.usecases import ByHand
from server.kernel.clock import Clock, SystemClock
from server.kernel.ids import new_uuid, show
from server.operations import checks, metrics, retention
from server.operations.api import Operations
from server.operations.api import blueprint as operations_room
from server.operations.flights import Flights
from server.operations.health import Health
from server.operations.integrations import externals
from server.operations.metrics import Backlog
from server.queue import hints
from server.replays.api import blueprint as replays_room
from server.replays.drain import drain as drain_replays
from server.replays.drain import forget as forget_replays
from server.store import Cause, Store, processes
from server.store.clock import DatabaseClock
from server.store.repository import SqlRepository
from server.syncs import records_api, ticks
from server.syncs.api import blueprint as syncs_room
from server.syncs.conflicts_api import blueprint as conflicts_room
from server.syncs.drain import Runs
from server.syncs.filling import Filler
from server.syncs.forgetting import forget as forget_syncs
from server.syncs.holding import release_strays
from server.syncs.owing import Owing as SyncOwing
from server.syncs.parked import SWEEP_SECONDS, sweep
from server.syncs.parked_api import blueprint as parked_room
from server.syncs.preview import Preview
from server.syncs.refused import KIND as RECORD
from server.syncs.reopening import ReopeningRecords
from server.syncs.runs_api import blueprint as runs_room
from server.transport.addresses import AddressPolicy
from server.transport.aio import AsyncSender
from server.transport.proxy import Proxy
from server.webhooks import fanouts, health
from server.webhooks.aggregate import Webhook
from server.webhooks.api import blueprint as deliveries_room
from server.webhooks.branches import WebhookBranch
from server.webhooks.drain import Deliveries
from server.webhooks.fallbacks import Fallbacks
from server.webhooks.inbound import upkeep
from server.webhooks.inbound.acting_api import blueprint as inbound_actions
from server.webhooks.inbound.admitting import Admitting
from server.webhooks.inbound.api import blueprint as inbound_room
from server.webhooks.inbound.arriving import Proxies
from server.webhooks.inbound.directory import Directory
from server.webhooks.inbound.drain import Inbound
from server.webhooks.inbound.receiving import Receiver
from server.webhooks.inbound.reopening import Reopening as ReopeningRequests
from server.webhooks.inbound.serving import InboundEndpoints
from server.webhooks.inbound.storing import Storer
from server.webhooks.inbound.synchronous import MapNow
from server.webhooks.keys_api import blueprint as keys_room
from server.webhooks.owing import Owing
from server.webhooks.sending import Sending
from server.webhooks.targets import Targets
from server.webhooks.usecases import Reopening
from server.webhooks.verifiers.fetching import KeyMaterial

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from flask import Blueprint
    from redis import Redis

    from server.config import Settings
    from server.queue.dead_letters import Reopen
    from server.sdk.adapter import Health as AdapterHealth
    from server.sdk.plugin import Plugin
    from server.store import Scope
    from server.web.direct import Direct
    from server.web.frame import Served
    from server.web.principals import Authenticate, Failures, Principal
    from server.webhooks.job import Job
    from server.webhooks.queries import Outcome

BRANCHES = (WebhookBranch(),)
"""What rooms add to the tree of an event."""
API_CONNECTIONS = 32
WORKER_CONNECTIONS = 8
LEDGER_CONNECTIONS = 7  # three threads of deliveries, four of sync runs
INBOUND_STORERS = 2
INBOUND_SECONDS = 10
INBOUND_THREADS = 16
"""For what may wait while a request is received: endpoints read anew, rates in Redis, schemes that fetch, synchronous mapping."""
PURGE_SECONDS = 300.0
FORGET_SECONDS = 3600.0
DISABLE_SECONDS = 60.0
RELEASE_SECONDS = 30.0
SYNC_TICK_SECONDS = 1.0


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
    owing: Owing
    webhooks: SqlRepository[Webhook]
    reopening: Reopening
    reopens: Mapping[str, Reopen]
    admit: Admitting


def core(settings: Settings, *, clock: Clock | None = None, connections: int = WORKER_CONNECTIONS) -> Core:
    """Build what every role shares; nothing connects before it is used. `clock` counts until the database has told its time."""
    timed = DatabaseClock(clock or SystemClock())
    redis = hints.connect(settings.redis_url) if settings.redis_url else None
    hint = hints.Hints(redis) if redis is not None else _no_hint
    owing = Owing(timed, hint)
    publisher = Publisher(timed, Catalogue(), [owing, SyncOwing(timed, hint), reactions.owe])
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
        owing=owing,
        webhooks=SqlRepository("webhooks", Webhook),
        reopening=reopening,
        reopens={
            "delivery": reopening,
            "inbound": ReopeningRequests(hint),
            reactions.KIND: reactions.Reopening(),
            RECORD: ReopeningRecords(hint),
        },
        admit=Admitting(timed, hint),
    )


def _gate(engine: Store, redis: Redis | None) -> SharedGate:
    sharers = Sharers(redis)
    return SharedGate(Breakers(engine), Buckets(redis, sharers), Places(redis, sharers))


def _no_hint() -> None:
    """Give no hint: without Redis the workers' timer finds the work."""


@dataclass(frozen=True, slots=True)
class Api:
    """What the HTTP application is built from: see `web.frame.Frame`."""

    core: Core
    settings: Settings
    store: Store
    authenticate: Authenticate
    failures: Failures
    blueprints: Sequence[Blueprint]
    observers: Sequence[Callable[[Served], None]] = ()
    directs: Sequence[Direct] = ()


def api(settings: Settings, *, principal: Principal | None = None, built: Core | None = None) -> Api:
    """Build the HTTP side. With `principal` every request is theirs: the local command line in its own process."""
    shared = built or core(settings, connections=API_CONNECTIONS)
    store = shared.tenant
    authenticate: Authenticate = TokenAuthentication(shared.engine) if principal is None else _Always(principal)
    caller = _caller(shared)
    backlog = Backlog(shared.engine, partial(checks.redis_answers, settings.redis_url) if settings.redis_url else None)
    rooms: list[Blueprint] = [
        events_room(store, shared.publisher, BRANCHES),
        deliveries_room(store, shared.webhooks, shared.publisher, shared.owing, shared.reopening, shared.reopens),
        inbound_room(store),
        inbound_actions(store, shared.reopens["inbound"], shared.admit),
        keys_room(store, shared.webhooks, shared.secrets),
        replays_room(store, shared.hint),
        access_room(Access(store, shared.engine, shared.secrets, shared.networks)),
        discovery_room(Discovery(store, _making(shared), caller)),
        integrations_room(ByHand(store, shared.secrets, shared.plugins, caller, shared.networks.policy)),
        operations_room(Operations(store, health_of(shared, caller), backlog, settings.metrics_token)),
        definitions_room(store, World(lambda: plugin_facts(shared.plugins), shared.networks.of)),
    ]
    preview = Preview(store, _making(shared), caller, shared.clock, shared.admit)
    rooms += [
        parked_room(store),
        conflicts_room(store, shared.hint),
        syncs_room(store, shared.clock),
        runs_room(store, shared.hint, preview),
    ]
    records = records_api.Records(store, shared.hint, _making(shared), caller, Filler(store, shared.admit))
    rooms.append(records_api.blueprint(records))
    failures = AuthenticationFailures(hints.connect(settings.redis_url) if settings.redis_url else None)
    feeds = Feeds(shared.engine, store, authenticate, failures)
    directs: list[Direct] = [Stream(feeds, Sockets(feeds)), _inbound(shared)]
    return Api(shared, settings, store, authenticate, failures, rooms, [metrics.observe], directs)


def _inbound(shared: Core) -> InboundEndpoints:
    """Build what receives inbound webhooks; its threads begin when the server starts it."""
    settings, threads = shared.settings, ThreadPoolExecutor(INBOUND_THREADS, "inbound")
    redis = hints.connect(settings.redis_url) if settings.redis_url else None
    ledger = Store(settings.database_url, "crossdock_engine", pool=INBOUND_STORERS, statement_timeout=INBOUND_SECONDS)
    receiver = Receiver(
        Directory(shared.engine, shared.secrets, KeyMaterial(shared.networks.policy).of, threads),
        Storer(ledger, shared.hint, threads=INBOUND_STORERS),
        Buckets(redis, Sharers(redis)),
        shared.clock,
        threads,
        settings.body_limit,
        MapNow(shared.engine, shared.publisher),
        ThreadPoolExecutor(INBOUND_THREADS, "inbound-verify"),
    )
    return InboundEndpoints(receiver, Proxies(settings.trusted_proxies))


def _caller(shared: Core) -> Caller:
    return Caller(
        clock=shared.clock,
        gate=shared.gate,
        keys=SqlKeys(shared.engine),
        keychain=shared.keychain,
        files=shared.settings.files,
        stores=PluginStores(shared.settings.database_url),
    )


def _making(shared: Core) -> Making:
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


def local(settings: Settings, workspace: str = "default/default") -> Api:
    """Build the HTTP side for the command line on this machine, as the admin of a workspace."""
    shared = core(settings)
    return api(settings, principal=local_admin(shared.engine, workspace), built=shared)


@dataclass(frozen=True, slots=True)
class _Always:
    """Authenticates every request as one principal."""

    principal: Principal

    def __call__(self, credential: str | None) -> Principal | None:
        """Return the principal, whatever was presented."""
        del credential
        return self.principal


@dataclass(frozen=True, slots=True)
class Worker:
    """What a worker process runs. `chores` drain what is not deliveries; each returns how much it did."""

    process: processes.Process
    store: Store
    redis_url: str
    deliveries: Deliveries
    chores: Sequence[Callable[[], int]]


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
    chores: list[Callable[[], int]] = [
        Inbound(shared.engine, shared.publisher).drain,
        partial(fanouts.drain, shared.engine, shared.clock),
        partial(reactions.drain, shared.engine, services),
        partial(alerts.drain, shared.engine, shared.publisher),
        Fallbacks(shared.engine, _making(shared), _caller(shared), shared.reopening).drain,
        partial(drain_replays, shared.engine, shared.reopening),
        Runs(shared.engine, ledger, _making(shared), _caller(shared), shared.admit).drain,
    ]
    return Worker(process, shared.engine, settings.redis_url, deliveries, chores)


@dataclass(frozen=True, slots=True)
class Timer:
    """What a scheduler process runs."""

    process: processes.Process
    store: Store
    chores: Sequence[retention.Chore]


def _disable_hopeless(shared: Core) -> int:
    return health.disable_hopeless(shared.engine, shared.webhooks, shared.settings.disable_after)


def scheduler(settings: Settings, *, built: Core | None = None) -> Timer:
    """Build a scheduler."""
    shared = built or core(settings)
    engine, days, chore = shared.engine, settings.event_retention_days, retention.Chore
    chores = [
        *retention.chores(engine, settings, shared.hint),
        chore("disable-failing-webhooks", DISABLE_SECONDS, partial(_disable_hopeless, shared)),
        chore("purge-secrets", PURGE_SECONDS, partial(purge, engine)),
        chore("forget-replays", FORGET_SECONDS, partial(forget_replays, engine, days)),
        chore("purge-tokens", PURGE_SECONDS, partial(purge_tokens, engine)),
        chore("forget-inbound-keys", PURGE_SECONDS, partial(upkeep.forget_keys, engine)),
        chore("forget-inbound-versions", FORGET_SECONDS, partial(upkeep.forget_versions, engine, days)),
        chore("release-stranded-requests", RELEASE_SECONDS, partial(upkeep.release_stranded, engine, shared.hint)),
        chore("tick-sync-jobs", SYNC_TICK_SECONDS, partial(ticks.tick, engine, shared.clock, shared.hint)),
        chore("release-sync-runs", PURGE_SECONDS, partial(release_strays, engine, shared.hint)),
        chore("sweep-parked-records", SWEEP_SECONDS, partial(sweep, engine, shared.hint)),
        chore("forget-sync-work", FORGET_SECONDS, partial(forget_syncs, engine, days)),
    ]
    return Timer(processes.Process("scheduler"), shared.engine, chores)

"""The HTTP side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from server.access.api import Access
from server.access.api import blueprint as access_room
from server.access.authentication import TokenAuthentication, local_admin
from server.access.recalling import Recalling
from server.access.throttle import AuthenticationFailures
from server.authoring.api import blueprint as definitions_room
from server.authoring.examining import World
from server.events.api import blueprint as events_room
from server.events.door import PublishDoor
from server.events.feed import Feeds
from server.events.sockets import Sockets
from server.events.stream import Stream
from server.events.together import Together
from server.flows.branch import FlowBranch
from server.flows.runs_api import blueprint as flow_runs_room
from server.integrations.api import blueprint as integrations_room
from server.integrations.buckets import Buckets
from server.integrations.discovery import Discovery
from server.integrations.discovery_api import blueprint as discovery_room
from server.integrations.outboxes import nudge_at_once
from server.integrations.sharers import Sharers
from server.integrations.spec import plugin_facts
from server.integrations.token_rows import left_behind
from server.integrations.usecases import ByHand
from server.operations import checks, metrics
from server.operations.api import Operations
from server.operations.api import blueprint as operations_room
from server.operations.metrics import Backlog
from server.queue import hints
from server.replays.api import blueprint as replays_room
from server.store import Store
from server.syncs import records_api
from server.syncs.api import blueprint as syncs_room
from server.syncs.branches import SyncBranch
from server.syncs.conflicts_api import blueprint as conflicts_room
from server.syncs.filling import Filler
from server.syncs.parked_api import blueprint as parked_room
from server.syncs.preview import Preview
from server.syncs.runs_api import blueprint as runs_room
from server.webhooks.api import blueprint as deliveries_room
from server.webhooks.branches import WebhookBranch
from server.webhooks.inbound.acting_api import blueprint as inbound_actions
from server.webhooks.inbound.api import blueprint as inbound_room
from server.webhooks.inbound.arriving import Proxies
from server.webhooks.inbound.directory import Directory
from server.webhooks.inbound.receiving import Receiver
from server.webhooks.inbound.serving import InboundEndpoints
from server.webhooks.inbound.storing import Storer
from server.webhooks.inbound.synchronous import MapNow
from server.webhooks.keys_api import blueprint as keys_room
from server.webhooks.verifiers.fetching import KeyMaterial

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flask import Blueprint

    from server.config import Settings
    from server.web.direct import Direct, Door
    from server.web.frame import Served
    from server.web.principals import Authenticate, Failures, Principal


from server.bootstrap.shared import Core, caller_of, core, health_of, making_of

BRANCHES = (WebhookBranch(), SyncBranch(), FlowBranch())
"""What rooms add to the tree of an event."""
API_CONNECTIONS = 32
INBOUND_STORERS = 2
INBOUND_SECONDS = 10
INBOUND_THREADS = 16
"""For what may wait while a request is received: endpoints read anew, rates in Redis, schemes that fetch, synchronous mapping."""


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
    doors: Sequence[Door] = ()


def api(settings: Settings, *, principal: Principal | None = None, built: Core | None = None) -> Api:
    """Build the HTTP side. With `principal` every request is theirs: the local command line in its own process."""
    shared = built or core(settings, connections=API_CONNECTIONS)
    store = shared.tenant
    tokens, together = TokenAuthentication(shared.engine), Together(store, shared.publisher, shared.at_once)
    authenticate: Authenticate = tokens if principal is None else _Always(principal)
    caller = caller_of(shared, partial(nudge_at_once, shared.engine, shared.hint))
    backlog = Backlog(shared.engine, partial(checks.redis_answers, settings.redis_url) if settings.redis_url else None)
    rooms: list[Blueprint] = [
        events_room(store, shared.publisher, together, BRANCHES),
        deliveries_room(
            store, shared.webhooks, shared.publisher, shared.owing, shared.reopening, shared.reopens, shared.owners
        ),
        inbound_room(store),
        inbound_actions(store, shared.reopens["inbound"], shared.admit),
        keys_room(store, shared.webhooks, shared.secrets),
        replays_room(store, shared.hint),
        access_room(
            Access(
                store,
                shared.engine,
                shared.secrets,
                shared.networks,
                partial(left_behind, shared.engine, shared.secrets.ring),
            )
        ),
        discovery_room(Discovery(store, making_of(shared), caller)),
        integrations_room(ByHand(store, shared.secrets, shared.plugins, caller, shared.networks.policy)),
        operations_room(Operations(store, health_of(shared, caller), backlog, settings.metrics_token)),
        definitions_room(
            store, World(lambda: plugin_facts(shared.plugins), shared.networks.of, shared.settings.sync_min_interval)
        ),
    ]
    preview = Preview(store, making_of(shared), caller, shared.clock, shared.admit)
    rooms += [
        parked_room(store),
        conflicts_room(store, shared.hint),
        syncs_room(store, shared.clock),
        runs_room(store, shared.hint, preview),
        flow_runs_room(store, shared.hint),
    ]
    records = records_api.Records(store, shared.hint, making_of(shared), caller, Filler(store, shared.admit))
    rooms.append(records_api.blueprint(records))
    failures = AuthenticationFailures(hints.connect(settings.redis_url) if settings.redis_url else None)
    feeds = Feeds(shared.engine, store, authenticate, failures)
    directs: list[Direct] = [Stream(feeds, Sockets(feeds)), _inbound(shared)]
    doors = [PublishDoor(together, Recalling(tokens), [metrics.observe])]
    return Api(shared, settings, store, authenticate, failures, rooms, [metrics.observe], directs, doors)


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

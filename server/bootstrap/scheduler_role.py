"""A scheduler process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from server.access.secrets import purge
from server.flows.forgetting import forget as forget_flows
from server.flows.holding import release_strays as release_flows
from server.integrations.token_rows import purge as purge_tokens
from server.operations import retention
from server.replays.drain import forget as forget_replays
from server.store import Store, processes
from server.syncs import ticks
from server.syncs.forgetting import forget as forget_syncs
from server.syncs.holding import release_strays
from server.syncs.parked import SWEEP_SECONDS, sweep
from server.webhooks import health
from server.webhooks.inbound import upkeep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.config import Settings


from server.bootstrap.shared import Core, core

PURGE_SECONDS = 300.0
FORGET_SECONDS = 3600.0
DISABLE_SECONDS = 60.0
RELEASE_SECONDS = 30.0
SYNC_TICK_SECONDS = 1.0


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
        chore("release-flow-runs", PURGE_SECONDS, partial(release_flows, engine, shared.hint)),
        chore("forget-flow-runs", PURGE_SECONDS, partial(forget_flows, engine, days)),
        chore("forget-sync-work", FORGET_SECONDS, partial(forget_syncs, engine, days)),
    ]
    return Timer(processes.Process("scheduler"), shared.engine, chores)

"""Every kind of definition that there is, in the order of the reference page."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from server.events.spec import EVENT_TYPE
from server.flows.spec import FLOW
from server.integrations.spec import INTEGRATION
from server.syncs.dry_run import run_tests
from server.syncs.spec import SYNC_JOB
from server.webhooks.inbound.dry_run import emitted
from server.webhooks.spec import INBOUND, OUTBOUND

if TYPE_CHECKING:
    from server.documents.kinds import Kind


def default_kinds() -> tuple[Kind, ...]:
    """Return every kind, those that are planned too."""
    # a test of a job that fills a webhook tells of the events that the webhook makes
    sync_job = replace(SYNC_JOB, test=partial(run_tests, emitted=emitted))
    return (EVENT_TYPE, INTEGRATION, OUTBOUND, INBOUND, sync_job, FLOW)

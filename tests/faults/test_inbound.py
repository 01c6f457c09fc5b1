"""F19: API and worker processes killed under inbound load lose no request that was answered, and emit none twice."""

from __future__ import annotations

import itertools
import json
import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import standardwebhooks

from server.kernel.ids import new_uuid
from server.sdk.signing import generate_secret
from server.webhooks.aggregate import Webhook
from tests.faults import figures
from tests.faults.burst import Burst, Try, type_of
from tests.faults.forms import BOTH, RECOVER_SECONDS, Form
from tests.faults.history import NOTHING
from tests.support.product import until

if TYPE_CHECKING:
    from tests.faults.burst import Site
    from tests.support.fleet import Fleet


class InboundBurst(Burst):
    """Requests of a sender who signs them and sends each again, under its one id, until it is answered."""

    def __init__(self, site: Site, fleet: Fleet, name: str, form: Form) -> None:
        self._signer = standardwebhooks.Webhook(declare(fleet, name))
        super().__init__(site, fleet.urls, "", name, count=form.count, rate=form.rate)

    async def _try(self, session: aiohttp.ClientSession, body: dict[str, Any]) -> Try:
        raw, at = json.dumps(body["data"]), time.monotonic()
        now = datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": body["id"],
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(body["id"], now, raw),
        }
        url = f"{random.choice(self.urls)}/in/default/default/{self.name}"
        try:
            async with session.post(url, data=raw, headers=headers) as answer:
                told = await answer.read()
                assert answer.status != 202 or told.startswith(b'{"id":"req_'), told
                seconds = time.monotonic() - at
                return Try(body["id"], answer.status, at, seconds, answer.headers.get("Retry-After"))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Try(body["id"], type(error).__name__, at, time.monotonic() - at)


def declare(fleet: Fleet, name: str) -> str:
    """Make an inbound webhook whose requests become events of the burst; return the sender's secret."""
    secret, product = generate_secret(), fleet.product
    body = {
        "name": f"{name}-in",
        "direction": "inbound",
        "path": name,
        "verify": {"scheme": "standard-webhooks", "key": {"secret": "SENDER"}},
        "emit": {"type": type_of(name), "subject": "body.id", "data": {"id": "body.id"}},
    }
    with product.tx() as tx:
        product.core.secrets.set(tx, "SENDER", secret)
        tx.run("UPDATE workspaces SET routes_version = routes_version + 1 WHERE id = :workspace_id")
        webhook = Webhook(new_uuid())
        webhook.create(f"{name}-in", body, 1, {})
        webhook.activate()
        product.core.webhooks.add(tx, webhook)
    return secret


@BOTH
def test_f19_killed_processes_lose_no_request_and_emit_none_twice(fleet: Fleet, site: Site, form: Form) -> None:
    name = f"inbound-{form.name}"
    retry = {"schedule": ["1s"] * 20, "jitter": 0.2}
    fleet.product.webhook(name, f"{site.url}/{name}", events=[type_of(name)], max_in_flight=50, retry=retry)
    burst = InboundBurst(site, fleet, name, form)
    victims = itertools.cycle([*itertools.chain(*zip(fleet.ports, fleet.workers, strict=True))])
    allowed = 0
    for share in Form(form.count, form.rate, max(2, form.times)).shares:
        burst.progress(share)
        victim = next(victims)
        with burst.fault("kill -9"):
            fleet.kill(victim)
            if victim in fleet.workers:
                allowed += len(fleet.leased())
            time.sleep(0.3)
        fleet.start(victim)
        fleet.ready()
    verdict = burst.settled(fleet)
    sql = "SELECT count(*), count(DISTINCT subject) FROM events WHERE type = %s"
    [(events, subjects)] = fleet.rows(sql, type_of(name))
    requests = """SELECT count(*), count(DISTINCT message_id) FROM inbound_requests r JOIN webhooks w ON w.id = r.webhook_id
                  WHERE w.name = %s"""
    [(stored, messages)] = fleet.rows(requests, f"{name}-in")
    until(lambda: not fleet.rows("SELECT 1 FROM due WHERE kind = 'inbound' LIMIT 1"), 30, "every request has ended")
    figures.note(
        figures.of(
            "F19",
            f"{max(2, form.times)} kills",
            verdict,
            allowed,
            requests=stored,
            emitted=events,
            emitted_twice=events - subjects,
        ),
        burst.records(),
    )
    assert (verdict.accepted, verdict.sound) == (form.count, NOTHING)
    assert (events, subjects, stored, messages) == (form.count,) * 4, "each is stored once, and emitted once"
    assert verdict.duplicates <= allowed
    assert 500 not in burst.history.statuses
    assert verdict.recovery <= RECOVER_SECONDS

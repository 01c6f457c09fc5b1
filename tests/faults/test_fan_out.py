"""F1, of one event for thousands of webhooks: a worker is killed while it writes them out and sends them."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import requests

from tests.faults import figures
from tests.faults.figures import Figures
from tests.faults.forms import ORPHAN_SECONDS
from tests.faults.orphans import gone
from tests.support.product import until

if TYPE_CHECKING:
    from tests.faults.burst import Site
    from tests.support.fleet import Fleet

HOOKS = 5000
_MANY = """
INSERT INTO webhooks (organization_id, workspace_id, id, name, state, version, definition_version, body,
                      created_at, created_by, updated_at, updated_by)
SELECT organization_id, id, gen_random_uuid(), 'many-' || n, 'active', 1, 1,
       jsonb_build_object('name', 'many-' || n, 'direction', 'outbound', 'url', CAST(:url AS text) || '/many/' || n,
                          'events', jsonb_build_array('load.many')), now(), 't', now(), 't'
FROM workspaces, generate_series(1, :count) AS n WHERE id = :workspace_id
"""


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_f1_a_fan_out_whose_worker_is_killed_reaches_every_webhook(fleet: Fleet, site: Site) -> None:
    with fleet.product.tx() as tx:
        tx.run(_MANY, url=site.url, count=HOOKS)
        tx.run("UPDATE workspaces SET routes_version = routes_version + 1 WHERE id = :workspace_id")
    event = {"type": "load.many", "id": "one-for-all", "data": {"id": "one-for-all"}}
    headers = {"Authorization": f"Bearer {fleet.token()}"}
    assert requests.post(f"{fleet.urls[0]}/api/v1/events", json=event, headers=headers, timeout=30).status_code == 202
    allowed, slowest = 0, 0.0
    for share, name in zip((0.1, 0.5), fleet.workers, strict=True):
        until(lambda least=share * HOOKS: len(_came(site)) >= least, 60, "so many have come")
        fleet.kill(name)
        orphans = fleet.leased()
        fleet.start(name)
        allowed += len(orphans)
        slowest = max(slowest, gone(fleet, orphans))
        fleet.ready()
    until(lambda: len(_came(site)) == HOOKS, 60, "all of them")
    until(lambda: not fleet.rows("SELECT 1 FROM due WHERE kind IN ('fanout', 'delivery') LIMIT 1"), 30, "all recorded")
    time.sleep(0.5)
    came = _came(site)
    twice = sum(came.values()) - len(came)
    figures.note(
        Figures(
            "F1",
            "one event for 5,000, 2 kills",
            HOOKS,
            len(came),
            HOOKS - len(came),
            0,
            twice,
            allowed,
            0,
            round(slowest, 2),
        )
    )
    assert len(came) == HOOKS
    assert twice <= allowed
    assert slowest <= ORPHAN_SECONDS
    assert fleet.rows("SELECT count(*), count(DISTINCT webhook_id) FROM deliveries WHERE state = 'delivered'") == [
        (HOOKS, HOOKS)
    ]


def _came(site: Site) -> Counter[str]:
    """Return how often each webhook got the event."""
    return Counter({path: len(hits) for path, hits in list(site.hits.items()) if path.startswith("/many/")})

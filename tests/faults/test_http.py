"""F14: the same request again, over real processes that share a database and nothing else."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import requests

from tests.faults import figures
from tests.support.product import until

if TYPE_CHECKING:
    from tests.support.fleet import Fleet

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]
RACERS = 50
LOCK_SECONDS = 60.0
FLEET = {"workers": 1, "schedulers": 1}


def publish(fleet: Fleet, token: str, key: str, number: int = 0, at: int = 0) -> requests.Response:
    """Publish an event without an id: done twice, it would be two."""
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
    body = {"type": f"once.{key.replace('-', '_')}", "data": {"number": number}}
    return requests.post(f"{fleet.urls[at]}/api/v1/events", json=body, headers=headers, timeout=30)


def stored(fleet: Fleet, key: str) -> int:
    """Return how many events a key has made."""
    return int(fleet.rows("SELECT count(*) FROM events WHERE type = %s", f"once.{key.replace('-', '_')}")[0][0])


def test_f14_fifty_at_once_make_one(fleet: Fleet) -> None:
    token, start = fleet.token(), threading.Barrier(RACERS)

    def race(number: int) -> requests.Response:
        start.wait(20)
        return publish(fleet, token, "race", at=number % 2)

    with ThreadPoolExecutor(RACERS) as pool:
        answers = list(pool.map(race, range(RACERS)))
    done = [each for each in answers if each.status_code == 202]
    waiting = [each for each in answers if each.status_code == 409]
    replayed = publish(fleet, token, "race")
    other = publish(fleet, token, "race", number=1)
    expired = "UPDATE idempotency_keys SET created_at = created_at - interval '25 hours' WHERE key = 'race' RETURNING 1"
    assert fleet.rows(expired) == [(1,)]
    once = stored(fleet, "race")
    new = publish(fleet, token, "race")
    more = {"answered_202": len(done), "answered_409": len(waiting), "events": once, "another_body": other.status_code}
    figures.note(figures.Figures("F14", f"{RACERS} at once", RACERS, duplicated=once - 1, bound=0, more=more))
    assert len(done) + len(waiting) == RACERS
    assert done
    assert once == 1
    assert {each.content for each in [*done, replayed]} == {replayed.content}
    assert sum(each.headers.get("Idempotent-Replayed") != "true" for each in done) == 1
    assert replayed.headers["Idempotent-Replayed"] == "true"
    assert all(each.headers["Retry-After"] for each in waiting)
    assert other.status_code == 422
    assert (new.status_code, stored(fleet, "race")) == (202, 2)
    assert new.content != replayed.content


def test_f14_a_process_that_is_killed_at_work_leaves_its_key_free_after_a_minute(fleet: Fleet) -> None:
    token = fleet.token()
    with fleet.postgres.connect("crossdock") as held, ThreadPoolExecutor(1) as pool:
        held.execute("BEGIN")
        held.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")  # the request waits here, with its key claimed
        first = pool.submit(publish, fleet, token, "crash")
        claimed = "SELECT 1 FROM idempotency_keys WHERE key = 'crash'"
        until(lambda: fleet.rows(claimed), 8, "the key is claimed")
        time.sleep(0.3)
        fleet.kill("api-1")
        held.execute("ROLLBACK")
        with pytest.raises(requests.RequestException):
            first.result(30)
    fleet.start("api-1")
    died = time.monotonic()
    statuses = []
    while (answer := publish(fleet, token, "crash", at=1)).status_code != 202:
        statuses.append(answer.status_code)
        assert time.monotonic() - died < LOCK_SECONDS + 10, statuses
        time.sleep(0.5)
    seconds = time.monotonic() - died
    more = {"key_free_after_s": round(seconds, 1), "events": stored(fleet, "crash")}
    figures.note(figures.Figures("F14", "killed at work", 1, 1, 0, 0, stored(fleet, "crash") - 1, 0, more=more))
    assert set(statuses) <= {409}
    assert seconds <= LOCK_SECONDS + 2
    assert stored(fleet, "crash") == 1

"""F11: the disk of PostgreSQL is full for a while."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from server.runtime.embedded import EmbeddedPostgres, EmbeddedRedis
from tests.faults import figures
from tests.faults.burst import type_of
from tests.faults.disk import Disk, keep_room_for_wal
from tests.faults.forms import EVENTS, RECOVER_SECONDS, STALL_SECONDS, Form
from tests.faults.history import NOTHING
from tests.support.fleet import Fleet
from tests.support.product import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.faults.burst import Burst

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
FULL_SECONDS = 60.0 if EVENTS >= 10_000 else 10.0
KILOBYTES = 8


@pytest.fixture(scope="module")
def disk() -> Iterator[Disk]:
    with tempfile.TemporaryDirectory(prefix="crossdock-test-") as name, Disk(Path(name) / "postgres") as disk:
        yield disk


@pytest.fixture(scope="module")
def running_fleet(disk: Disk) -> Iterator[Fleet]:
    """A fleet whose PostgreSQL lives on the small disk."""
    with tempfile.TemporaryDirectory(prefix="crossdock-test-") as name:
        postgres, redis = EmbeddedPostgres(disk.folder), EmbeddedRedis(Path(name) / "redis")
        try:
            postgres.start()
            redis.start()
            with Fleet(postgres, redis, Path(name)) as fleet:
                yield fleet
        finally:
            redis.stop()
            postgres.stop()


def test_f11_a_full_disk_refuses_what_it_cannot_keep_and_goes_on_when_there_is_room(
    fleet: Fleet, shoot: Callable[..., Burst], disk: Disk
) -> None:
    if not disk.mounted:  # the limit bites what is larger than itself
        for _ in range(40):
            fleet.product.publish({"noise": os.urandom(350_000).hex()})
    keep_room_for_wal(fleet.postgres)
    noise = os.urandom(KILOBYTES * 512).hex()  # incompressible: every event needs room
    form = Form(max(EVENTS // 4, 400), EVENTS / 4 / (FULL_SECONDS * 1.5) if EVENTS >= 10_000 else 25)
    burst = shoot(form, patience=FULL_SECONDS + 60, data={"noise": noise})
    burst.progress(0.1)
    # A new connection may need a file that it cannot write (`could not write init file`): who looks must be there already.
    with fleet.postgres.connect("crossdock") as looking, burst.fault("disk full"):
        disk.fill(fleet.postgres)
        time.sleep(FULL_SECONDS)
        answered = dict(burst.history.accepted)
        ids = {i for (i,) in looking.execute("SELECT id FROM events WHERE type = %s", [type_of(burst.name)])}
        refused = [each for each in burst.history.tries if each.status != 202]
        disk.free(fleet.postgres)
    back = time.monotonic()
    until(lambda: any(at > back for at in burst.history.accepted.values()), 30, "events are accepted again")
    accepting = min(at for at in burst.history.accepted.values() if at > back) - back
    until(lambda: burst.first_hit_after(back) < 60, 30, "deliveries flow again")
    flowing = burst.first_hit_after(back)
    verdict = burst.settled(fleet, 90)
    bound = len(fleet.workers) * 50
    figures.note(
        figures.of(
            "F11",
            f"{FULL_SECONDS:g} s, {disk.kind}",
            verdict,
            bound,
            max(accepting, flowing),
            requests_refused=len(refused),
            answers=sorted({str(each.status) for each in refused}),
            accepting_again_after_s=accepting,
            delivering_again_after_s=flowing,
        ),
        burst.records(),
    )
    assert refused
    assert {each.status for each in burst.history.tries} <= {202, 503, 507}
    assert set(answered) <= ids
    assert (verdict.accepted, verdict.sound) == (form.count, NOTHING)
    assert fleet.rows("SELECT count(*) FROM events WHERE type = %s", type_of(burst.name)) == [(form.count,)]
    assert verdict.duplicates <= bound
    assert accepting <= STALL_SECONDS
    assert flowing <= RECOVER_SECONDS
    assert fleet.dead() == []

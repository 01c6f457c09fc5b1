"""The fence of a run's lease: whoever holds the lease passes, however many of his threads pass at once."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from server.kernel.ids import new_uuid
from server.queue import claims
from server.queue.claims import Claim, Due
from server.store import Store
from server.syncs import progress
from server.syncs.runs import KIND
from tests.support.tenants import make_workspace

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def held(database_url: str) -> Iterator[tuple[Store, Claim]]:
    store, scope, ref = Store(database_url, "crossdock_engine"), make_workspace(database_url), new_uuid()
    with store.connect() as conn:
        claims.add(conn, KIND, [Due(ref, scope.workspace_id, ref, None, 1)])
    with store.connect() as conn:
        [claim] = claims.claim(conn, KIND, 1)
    yield store, claim
    store.close()


@pytest.mark.parametrize("first", [progress.fence, lambda conn, claim: claims.heartbeat(conn, KIND, [claim])])
def test_two_threads_of_one_run_pass_the_fence_one_after_the_other(held: tuple[Store, Claim], first: object) -> None:
    store, claim = held
    passed: list[str] = []

    def second() -> None:
        with store.connect() as conn:
            try:
                progress.fence(conn, claim)
                passed.append("passed")
            except progress.TakenOver:
                passed.append("taken over")

    with store.connect() as conn:
        first(conn, claim)
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        assert passed == []
    thread.join(10)
    assert passed == ["passed"]


def test_a_lease_of_another_epoch_is_not_held(held: tuple[Store, Claim]) -> None:
    store, claim = held
    with store.connect() as conn:
        claims.postpone(conn, KIND, [claim], ["2020-01-01T00:00:00Z"])
        claims.claim(conn, KIND, 1)
    with pytest.raises(progress.TakenOver), store.connect() as conn:
        progress.fence(conn, claim)

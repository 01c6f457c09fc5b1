"""A sync job is applied as every definition is: its aggregate comes into being, follows its file, and is archived with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from server.authoring import queries
from server.authoring.applying import apply
from server.authoring.planning import plan
from server.authoring.references import references_of
from server.kernel.errors import Invalid
from server.store import Cause, Store
from server.syncs.job import job_of
from server.syncs.repository import SYNC_JOBS
from tests.support.tenants import make_workspace
from tests.syncs.worlds import EXAMPLE, body, checked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.store import Scope, Tx

ANNA = Cause("user:anna", "cor_1", "evt_0")
# The secret of the database is not what is tested here.
TEXT = EXAMPLE.replace("url: {secret: LEGACY_DATABASE_URL}", "url: sqlite:///old.db")


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = Store(database_url, "crossdock_api")
    yield store
    store.close()


@pytest.fixture
def scope(database_url: str) -> Scope:
    return make_workspace(database_url)


def applied(tx: Tx, text: str = TEXT, *, prune: bool = False) -> list[tuple[str, str]]:
    done = apply(tx, checked(text).documents, "folder:main", prune=prune)
    return [(each.action, each.kind) for each in done.changes]


def test_a_sync_job_comes_after_what_it_refers_to_and_follows_its_file(store: Store, scope: Scope) -> None:
    with store.begin(scope, ANNA) as tx:
        assert applied(tx)[-1] == ("create", "SyncJob")
        job = SYNC_JOBS.get(tx, "customers-to-erp")
        assert (job.state, job.definition_version) == ("active", 1)
        assert job_of(job.body) == job_of(body(TEXT))
        assert queries.states(tx)["SyncJob", "customers-to-erp"] == "active"
    with store.begin(scope, ANNA) as tx:
        assert applied(tx) == []
        assert applied(tx, TEXT.replace("size: 500", "size: 50")) == [("change", "SyncJob")]
        assert SYNC_JOBS.get(tx, "customers-to-erp").definition_version == 2
        applied(tx, TEXT.replace("batch: {size: 500}", "active: false"))
        assert SYNC_JOBS.get(tx, "customers-to-erp").state == "draft"


def test_what_a_person_paused_stays_paused_when_its_file_changes(store: Store, scope: Scope) -> None:
    with store.begin(scope, ANNA) as tx:
        applied(tx)
        job = SYNC_JOBS.get(tx, "customers-to-erp")
        job.act("pause")
        SYNC_JOBS.save(tx, job)
        applied(tx, TEXT.replace("size: 500", "size: 50"))
        assert SYNC_JOBS.get(tx, "customers-to-erp").state == "paused"


def test_a_sync_job_that_no_file_has_is_archived(store: Store, scope: Scope) -> None:
    with store.begin(scope, ANNA) as tx:
        applied(tx)
        only = TEXT.partition("---\nkind: SyncJob")[0]
        assert applied(tx, only, prune=True) == [("remove", "SyncJob")]
        assert SYNC_JOBS.find(tx, "customers-to-erp") is None
        gone = SYNC_JOBS.find(tx, "customers-to-erp", deleted=True)
        assert gone is not None
        assert gone.aggregate.state == "archived"
        assert applied(tx)[-1] == ("create", "SyncJob")
        assert SYNC_JOBS.get(tx, "customers-to-erp").state == "active"


def test_what_a_sync_job_reads_from_writes_to_and_waits_for_is_not_taken_from_under_it(
    store: Store, scope: Scope
) -> None:
    example = body(TEXT)
    assert references_of("SyncJob", example) == {
        ("Integration", "legacy-db"),
        ("Integration", "erp"),
        ("EventType", "legacy.customer.changed"),
    }
    with store.begin(scope, ANNA) as tx:
        applied(tx)
        job: Any = [each for each in checked(TEXT).documents if each.kind == "SyncJob"]
        found = plan(tx, job, "folder:main", prune=True).errors
        assert {each.code for each in found} == {"STILL_REFERRED"}
        with pytest.raises(Exception, match="refers to it"):
            apply(tx, job, "folder:main", prune=True)


def test_a_secret_that_the_workspace_lacks_is_missed_before_a_run_misses_it(store: Store, scope: Scope) -> None:
    with store.begin(scope, ANNA) as tx, pytest.raises(Invalid) as refused:
        applied(tx, EXAMPLE)
    assert refused.value.code == "SECRET_MISSING"

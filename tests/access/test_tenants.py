"""Organizations and workspaces: made once, named, and found again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from server.access.authentication import local_admin
from server.access.tenants import create_organization, create_workspace, ensure_default, page, scope_of
from server.kernel.errors import Conflict, Invalid, NotFound
from tests.access.conftest import CAUSE

if TYPE_CHECKING:
    from server.store import Scope, Store


def test_the_default_workspace_is_made_once_however_many_processes_start(engine: Store):
    with ThreadPoolExecutor(8) as pool:
        scopes = set(pool.map(lambda _: ensure_default(engine), range(16)))
    assert len(scopes) == 1
    assert str(scopes.pop()) == "default/default"


def test_a_new_organization_comes_with_a_workspace(engine: Store, ours: Scope):
    with engine.begin(ours, CAUSE) as tx:
        made = create_organization(tx, "acme")
    assert scope_of(engine, "acme/default") == made
    with engine.begin(made, CAUSE) as tx:
        staging = create_workspace(tx, "staging")
        assert [row.name for row in page(tx, after="", limit=10)] == ["default", "staging"]
    assert scope_of(engine, "acme/staging") == staging
    with engine.begin(ours, CAUSE) as tx:
        assert [row.name for row in page(tx, after="", limit=10)] == ["default"]


def test_a_name_is_taken_once(engine: Store, ours: Scope):
    for make in (create_organization, create_workspace):
        with engine.begin(ours, CAUSE) as tx, pytest.raises(Conflict):
            make(tx, "default")


@pytest.mark.parametrize("name", ["", "A", "1a", "a b", "a/b", "a" * 64, "ä", "a\n", "-a"])
def test_a_name_of_another_form_is_refused(engine: Store, ours: Scope, name: str):
    for make in (create_organization, create_workspace):
        with engine.begin(ours, CAUSE) as tx, pytest.raises(Invalid):
            make(tx, name)


@pytest.mark.parametrize(
    "path", ["nothing/default", "default/nothing", "", "/", "default/", "a/b/c", "x" * 500, "default/\x00"]
)
def test_an_unknown_workspace_is_named_so(engine: Store, ours: Scope, path: str):
    with pytest.raises(NotFound) as caught:
        local_admin(engine, path)
    assert caught.value.code == "WORKSPACE_UNKNOWN"


def test_a_name_alone_is_a_workspace_of_the_default_organization(engine: Store, ours: Scope):
    who = local_admin(engine, "default")
    assert (who.scope, who.role, who.id) == (ours, "instance", "local-admin")

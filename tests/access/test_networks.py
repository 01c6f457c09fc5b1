"""A workspace's own list of networks: within the instance's, set by whoever runs it, of no other workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import ProgrammingError

from server.access.api import Access, blueprint
from server.access.authentication import local_admin
from server.access.networks import MOST, Networks
from server.access.throttle import AuthenticationFailures
from server.app import create_app
from server.config import Settings
from server.kernel.errors import Invalid
from server.transport.addresses import AddressPolicy
from server.transport.proxy import Proxy
from tests.access.conftest import CAUSE, Services

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.testing import FlaskClient

    from server.access.secrets import Secrets
    from server.store import Scope, Store

CEILING = ("10.0.0.0/8", "127.0.0.0/8", "fd00::/8")


@pytest.fixture
def networks(engine: Store) -> Networks:
    return Networks(engine, CEILING)


def give(engine: Store, networks: Networks, scope: Scope, own: list[str] | None) -> None:
    with engine.begin(scope, CAUSE) as tx:
        networks.set(tx, own)


def holds(store: Store, networks: Networks, scope: Scope) -> tuple[str, ...]:
    """Return what holds, as each of the two ways tells it."""
    with store.begin(scope, CAUSE) as tx:
        policy = networks.of(tx)
    assert networks.policy(scope) == policy
    return tuple(str(each) for each in policy.allow_networks)


def test_without_a_list_of_its_own_the_whole_of_the_instance_holds(store: Store, ours: Scope, networks: Networks):
    assert holds(store, networks, ours) == CEILING


@pytest.mark.parametrize("own", [[], ["10.1.0.0/16"], ["10.0.0.0/8"], ["10.1.0.0/16", "fd12::/16"]])
def test_a_list_of_its_own_is_all_that_holds(
    store: Store, engine: Store, ours: Scope, theirs: Scope, networks: Networks, own: list[str]
):
    give(engine, networks, ours, own)
    assert holds(store, networks, ours) == tuple(own)
    assert holds(store, networks, theirs) == CEILING
    give(engine, networks, ours, None)
    assert holds(store, networks, ours) == CEILING


@pytest.mark.parametrize(
    ("network", "code"),
    [("192.168.0.0/16", "NETWORK_OUTSIDE"), ("0.0.0.0/0", "NETWORK_OUTSIDE"), ("::/0", "NETWORK_OUTSIDE"),
     ("10.0.0.0/7", "NETWORK_OUTSIDE"), ("169.254.169.254/32", "NETWORK_OUTSIDE"), ("::ffff:10.0.0.0/104", "NETWORK_OUTSIDE"),
     ("10.0.0.1/8", "NETWORK_INVALID"), ("10.0.0.0/33", "NETWORK_INVALID"), ("inside", "NETWORK_INVALID"), ("", "NETWORK_INVALID")],
)  # fmt: skip
def test_what_is_no_network_or_lies_outside_is_refused_with_its_place(
    store: Store, engine: Store, ours: Scope, networks: Networks, network: str, code: str
):
    with pytest.raises(Invalid) as refused:
        give(engine, networks, ours, ["10.0.0.0/8", network])
    assert refused.value.code == code
    assert [each["pointer"] for each in refused.value.details["errors"]] == ["/networks/1"]
    assert holds(store, networks, ours) == CEILING


def test_what_no_longer_lies_within_the_instance_does_not_hold(
    store: Store, engine: Store, ours: Scope, networks: Networks
):
    give(engine, networks, ours, ["10.0.0.0/8", "127.0.0.0/8"])
    assert holds(store, Networks(engine, ["10.1.0.0/16", "192.168.0.0/16"]), ours) == ("10.1.0.0/16",)
    assert holds(store, Networks(engine, []), ours) == ()


def test_metadata_is_never_reached_whatever_a_list_says(store: Store, engine: Store, ours: Scope):
    wide = Networks(engine, ["0.0.0.0/0"])
    give(engine, wide, ours, ["169.254.0.0/16"])
    with store.begin(ours, CAUSE) as tx:
        assert wide.of(tx).refusal("169.254.169.254")
        assert wide.of(tx).refusal("169.254.1.1") is None


def test_every_policy_goes_through_the_proxy_of_the_instance(store: Store, engine: Store, ours: Scope):
    proxied = Networks(engine, CEILING, Proxy("p.test", 3128))
    for own in (None, [], ["10.0.0.0/8"]):
        give(engine, proxied, ours, own)
        assert proxied.policy(ours).proxy == Proxy("p.test", 3128)


def test_no_workspace_writes_its_own_list(store: Store, ours: Scope, theirs: Scope, networks: Networks):
    with pytest.raises(ProgrammingError, match="permission denied"), store.begin(ours, CAUSE) as tx:
        networks.set(tx, [])
    with store.begin(ours, CAUSE) as tx:
        seen = tx.all("SELECT id FROM workspaces WHERE networks IS NULL")
    assert [row.id for row in seen] == [ours.workspace_id]


def test_equal_lists_share_one_policy_with_its_caches(engine: Store, ours: Scope, theirs: Scope, networks: Networks):
    for scope in (ours, theirs):
        give(engine, networks, scope, ["10.1.0.0/16"])
    assert networks.policy(ours) is networks.policy(theirs)
    assert networks.policy(ours) == AddressPolicy(["10.1.0.0/16"])


@pytest.fixture
def instance(store: Store, engine: Store, secrets: Secrets, networks: Networks) -> Callable[[str], FlaskClient]:
    """Return a client that is whoever runs the instance, in a workspace."""

    def make(workspace: str) -> FlaskClient:
        principal = local_admin(engine, workspace)
        room = blueprint(Access(store, engine, secrets, networks))
        services = Services(Settings(), store, lambda _: principal, AuthenticationFailures(), [room])
        return create_app(services).test_client()

    return make


def test_over_rest_the_list_is_set_shown_and_audited(instance, store: Store, ours: Scope, theirs: Scope):
    client = instance("default/default")
    assert client.get("/api/v1/networks").json == {
        "workspace": "default/default",
        "networks": list(CEILING),
        "own": False,
    }
    answer = client.put("/api/v1/networks", json={"networks": ["10.1.0.0/16", "10.1.0.0/16"]})
    assert answer.json == {"workspace": "default/default", "networks": ["10.1.0.0/16"], "own": True}
    assert client.put("/api/v1/networks", json={"networks": None}).json["own"] is False
    assert instance("default/other").get("/api/v1/networks").json["own"] is False
    trail = client.get("/api/v1/audit?action=networks.set").json["items"]
    assert [each["details"]["networks"] for each in trail] == [None, ["10.1.0.0/16"]]
    assert [each["details"]["before"] for each in trail] == [["10.1.0.0/16"], None]
    assert {each["target"] for each in trail} == {"workspace/default/default"}


@pytest.mark.parametrize(
    "body", [{}, {"networks": "10.0.0.0/8"}, {"networks": [1]}, {"networks": ["10.0.0.0/8"] * (MOST + 1)},
             {"networks": ["x" * 51]}, {"networks": ["11.0.0.0/8"]}, {"networks": [], "workspace": "other"}],
)  # fmt: skip
def test_a_body_of_another_form_is_refused(instance, ours: Scope, body):
    assert instance("default/default").put("/api/v1/networks", json=body).status_code == 422


def test_a_token_shows_the_list_and_never_sets_it(client: FlaskClient, token_for):
    for role in ("viewer", "admin"):
        assert client.get("/api/v1/networks", headers=token_for(role)).status_code == 200
        answer = client.put("/api/v1/networks", json={"networks": []}, headers=token_for(role))
        assert answer.status_code == 403

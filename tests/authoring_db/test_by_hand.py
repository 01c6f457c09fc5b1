"""An integration by hand: how is its system, and one call of one operation. And the plugins that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from server.access.keyring import KeyRing, new_key
from server.access.secrets import Secrets
from server.app import create_app
from server.authoring.api import blueprint as definitions_room
from server.authoring.examining import World
from server.config import Settings
from server.integrations.api import blueprint
from server.integrations.calls import Caller
from server.integrations.plugins import discover
from server.integrations.usecases import ByHand
from server.kernel.clock import SystemClock
from server.transport.addresses import AddressPolicy
from tests.authoring_db.conftest import Client, Frame
from tests.support.receiver import Answer, Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.authoring_db.conftest import Hand

LOOPBACK = AddressPolicy(("127.0.0.0/8",))


@pytest.fixture
def secrets() -> Secrets:
    return Secrets(KeyRing.read(new_key("k1")))


@pytest.fixture
def api(hand: Hand, neighbour: Hand, secrets: Secrets) -> Iterator[Client]:
    hand.world = World(hand.world.plugins, lambda _: LOOPBACK)
    caller = Caller(clock=SystemClock())
    by_hand = ByHand(hand.store, secrets, discover(), caller, lambda _: LOOPBACK)
    rooms = [definitions_room(hand.store, hand.world), blueprint(by_hand)]
    scopes = {"main": hand.scope, "rival": neighbour.scope}
    yield Client(create_app(Frame(Settings(), hand.store, rooms, scopes)).test_client(), "operator")
    caller.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        receiver.answer = Answer(200, {"Content-Type": "application/json"}, b'{"price": 0.10}')
        yield receiver


def declare(hand: Hand, secrets: Secrets, url: str) -> None:
    with hand.begin() as tx:
        secrets.set(tx, "TOKEN", "s3cr3t-value-of-the-token")
    config = f"{{base_url: '{url}/api', auth: {{scheme: bearer, token: {{secret: TOKEN}}}}}}"
    hand.apply(
        f"kind: Integration\nname: warehouse\nplugin: http\nconfig: {config}\npolicy: {{retry: {{initial: 1ms}}}}\n"
    )


SEND = {"operation": "request.send", "input": {"method": "POST", "path": "/orders", "json": {"id": 1}}}


def test_a_call_goes_out_with_the_credentials_and_comes_back_with_all_digits(
    api: Client, hand: Hand, secrets: Secrets, receiver: Receiver
) -> None:
    declare(hand, secrets, receiver.url)
    answer = api("POST", "/integrations/warehouse/call", SEND, Idempotency_Key="k-1")
    assert answer["output"]["status"] == 200
    assert answer["output"]["body"] == {"price": 0.1}
    (hit,) = receiver.hits
    assert (hit.path, hit.body) == ("/api/orders", b'{"id": 1}')
    assert hit.headers["authorization"] == "Bearer s3cr3t-value-of-the-token"


def test_a_failing_system_is_told_in_the_one_shape_without_the_secret(
    api: Client, hand: Hand, secrets: Secrets, receiver: Receiver
) -> None:
    declare(hand, secrets, receiver.url)
    receiver.answer = Answer(500, {}, b"s3cr3t-value-of-the-token")
    problem = api("POST", "/integrations/warehouse/call", SEND, 502)
    assert (problem["source"], problem["retryable"]) == ("integration/warehouse", True)
    assert "s3cr3t" not in str(problem)


def test_the_health_of_an_integration_is_an_answer_also_when_it_is_bad(
    api: Client, hand: Hand, secrets: Secrets, receiver: Receiver
) -> None:
    declare(hand, secrets, receiver.url)
    health = api("POST", "/integrations/warehouse/test")
    assert set(health) == {"status", "latency_ms", "last_checked", "details"}
    declare(hand, secrets, "http://127.0.0.1:1")
    assert api("POST", "/integrations/warehouse/test")["status"] == "unhealthy"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"operation": "request.sned"}, 404, "UNKNOWN_OPERATION"),
        ({"operation": "request.send", "input": {}}, 422, "INPUT_INVALID"),
        ({"operation": "nonsense"}, 422, "INVALID"),
        ({}, 422, "INVALID"),
    ],
)
def test_a_wrong_call_is_refused_before_it_is_sent(
    api: Client, hand: Hand, secrets: Secrets, receiver: Receiver, body: dict[str, Any], status: int, code: str
) -> None:
    declare(hand, secrets, receiver.url)
    assert api("POST", "/integrations/warehouse/call", body, status)["code"] == code
    assert receiver.hits == []


def test_what_rests_is_not_called_but_may_be_tested(
    api: Client, hand: Hand, secrets: Secrets, receiver: Receiver
) -> None:
    declare(hand, secrets, receiver.url)
    api("POST", "/integrations/warehouse/pause")
    assert api("POST", "/integrations/warehouse/call", SEND, 409)["code"] == "INTEGRATION_RESTS"
    api("POST", "/integrations/warehouse/test")


def test_nobody_calls_another_workspaces_integration(
    api: Client, hand: Hand, secrets: Secrets, receiver: Receiver
) -> None:
    declare(hand, secrets, receiver.url)
    rival = api.as_("admin@rival")
    rival("POST", "/integrations/warehouse/call", SEND, 404)
    rival("POST", "/integrations/warehouse/test", status=404)
    assert receiver.hits == []


def test_a_viewer_may_not_call(api: Client) -> None:
    api.as_("viewer")("POST", "/integrations/warehouse/call", SEND, 403)


def test_plugins_are_listed_and_shown_with_their_operations(api: Client) -> None:
    listed = api("GET", "/plugins?limit=1")
    assert len(listed["items"]) == 1
    assert "http" in [each["name"] for each in api("GET", "/plugins")["items"]]
    shown = api("GET", "/plugins/http")
    assert [each["name"] for each in shown["operations"]] == ["request.send", "resource.list", "resource.write"]
    assert shown["config_schema"]["type"] == "object"
    api("GET", "/plugins/nothing", status=404)


def test_a_secret_that_is_missing_is_for_the_workspace_to_set(
    api: Client, hand: Hand, secrets: Secrets, receiver: Receiver
) -> None:
    declare(hand, secrets, receiver.url)
    with hand.begin() as tx:
        secrets.delete(tx, "TOKEN")
    for path, body in (("call", SEND), ("test", None)):
        problem = api("POST", f"/integrations/warehouse/{path}", body, 409)
        assert (problem["code"], problem["details"]) == ("SECRET_MISSING", {"secret": "TOKEN"})
    assert receiver.hits == []

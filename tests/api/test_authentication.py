"""Who presents what: one 401 for every cause, 429 for those who guess, and no way in beside the token."""

from __future__ import annotations

import base64
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from server import bootstrap
from server.access import throttle
from server.app import create_app
from tests.api.routes import routes

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from server.web.frame import Served
    from tests.api.world import Place, World

ME = "/api/v1/me"


@pytest.fixture
def fresh(world: World) -> FlaskClient:
    """A client of an API process that has counted no failure yet."""
    return create_app(bootstrap.api(world.product.settings, built=world.product.core)).test_client()


def credentials(world: World, alpha: Place) -> dict[str, str]:
    """Return what does not stand for anybody, by why."""
    good = alpha.admin["Authorization"].partition(" ")[2]
    revoked, token_id = world.token(alpha.scope, "admin")
    assert world.call("DELETE", f"/api/v1/tokens/{token_id}", headers=alpha.admin).status_code == 204
    expired, _ = world.token(alpha.scope, "admin", lifetime=-1.0)
    gone = _of_a_person_who_left(world, alpha)
    return {
        "no such token": "Bearer cdk_" + "a" * 8 + "_" + "b" * 27,
        "its last letter is another": f"Bearer {good[:-1]}{'a' if good[-1] != 'a' else 'b'}",
        "its prefix with another secret": f"Bearer {good[:13]}{'z' * 27}",
        "cut short": f"Bearer {good[:-1]}",
        "too long": f"Bearer {good}a",
        "another case": f"Bearer {good.swapcase()}",
        "revoked": revoked["Authorization"],
        "expired": expired["Authorization"],
        "of a person who left": gone,
        "empty": "Bearer ",
        "no scheme": good,
        "Basic": "Basic " + base64.b64encode(f"admin:{good}".encode()).decode(),
        "two tokens": f"Bearer {good}, Bearer {good}",
        "a quote": f'Bearer "{good}"',
        "SQL": "Bearer ' OR '1'='1",
        "not ASCII": "Bearer cdk_é",
        "100 KB": "Bearer " + "a" * 100_000,
        "a JWT without an algorithm": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.",
    }


def _of_a_person_who_left(world: World, alpha: Place) -> str:
    address = "/api/v1/members/left@example.com"
    assert world.call("PUT", address, {"role": "editor"}, headers=alpha.admin).status_code == 204
    body = {"name": "t", "role": "editor", "user": "left@example.com"}
    made = world.call("POST", "/api/v1/tokens", body, headers=alpha.admin)
    assert world.call("DELETE", address, headers=alpha.admin).status_code == 204
    return f"Bearer {made.json['token']}"


def test_every_cause_has_the_same_401(world: World, alpha: Place, fresh: FlaskClient):
    answers = {"nothing": fresh.get(ME)}
    answers |= {why: fresh.get(ME, headers={"Authorization": each}) for why, each in credentials(world, alpha).items()}
    told = {
        why: (
            each.status_code,
            {key: value for key, value in each.json.items() if key not in ("instance", "request_id")},
        )
        for why, each in answers.items()
    }
    assert all(each == told["nothing"] for each in told.values()), told
    assert told["nothing"][0] == 401
    assert {each.headers["WWW-Authenticate"] for each in answers.values()} == {'Bearer realm="crossdock"'}


@pytest.fixture
def minute() -> None:
    """Wait, where a minute is about to end, for the next: guesses are counted by the minute."""
    left = throttle.WINDOW - time.time() % throttle.WINDOW
    if left < 5:
        time.sleep(left)


@pytest.mark.usefixtures("minute")
def test_whoever_guesses_waits_and_who_knows_does_not(alpha: Place, fresh: FlaskClient):
    wrong = {"Authorization": "Bearer cdk_" + "a" * 8 + "_" + "b" * 27}
    statuses = [fresh.get(ME, headers=wrong).status_code for _ in range(25)]
    assert statuses[:20] == [401] * 20
    assert statuses[-1] == 429
    refused = fresh.get(ME, headers=wrong)
    assert refused.json["code"] == "AUTH_FAILURES"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert fresh.get(ME, headers=alpha.admin).status_code == 200
    assert fresh.get("/health", headers=wrong).status_code == 429


@pytest.mark.usefixtures("minute")
def test_guesses_count_wherever_they_are_made(world: World, fresh: FlaskClient):
    paths = [each.rule for each in routes(world.app) if each.method == "GET" and not each.variables]
    for path in (*paths, "/health", "/metrics", *paths):
        last = fresh.get(path, headers={"Authorization": "Bearer wrong"})
    assert last.status_code == 429


@pytest.mark.usefixtures("minute")
def test_an_address_that_a_client_makes_up_is_not_believed(fresh: FlaskClient):
    statuses = {
        fresh.get(ME, headers={"Authorization": "Bearer wrong", "X-Forwarded-For": f"10.0.0.{number}"}).status_code
        for number in range(30)
    }
    assert statuses == {401, 429}


@pytest.mark.parametrize("place", ["query", "cookie", "body", "other header", "user info"])
def test_a_token_counts_in_one_place_only(alpha: Place, fresh: FlaskClient, place: str):
    token = alpha.admin["Authorization"].partition(" ")[2]
    if place == "query":
        answer = fresh.get(f"{ME}?token={token}&access_token={token}")
    elif place == "cookie":
        fresh.set_cookie("token", token)
        answer = fresh.get(ME)
    elif place == "body":
        answer = fresh.get(ME, json={"token": token})
    elif place == "other header":
        answer = fresh.get(ME, headers={"X-Api-Key": token, "Proxy-Authorization": f"Bearer {token}", "Token": token})
    else:
        answer = fresh.get(ME, auth=("admin", token))
    assert answer.status_code == 401


def test_a_token_of_a_person_may_no_more_than_the_person(world: World, alpha: Place):
    address = "/api/v1/members/weak@example.com"
    assert world.call("PUT", address, {"role": "viewer"}, headers=alpha.admin).status_code == 204
    body = {"name": "t", "role": "admin", "user": "weak@example.com"}
    token = world.call("POST", "/api/v1/tokens", body, headers=alpha.admin).json["token"]
    weak = {"Authorization": f"Bearer {token}"}
    assert world.call("GET", ME, headers=weak).json["role"] == "viewer"
    answer = world.call("PUT", address, {"role": "admin"}, headers=weak)
    assert (answer.status_code, answer.json["details"]) == (403, {"permission": "members:manage"})


def test_without_the_database_it_is_503_and_not_401(world: World, alpha: Place):
    away = replace(world.product.settings, database_url="postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    heard: list[Served] = []
    client = create_app(replace(bootstrap.api(away), observers=[heard.append])).test_client()
    for path in (ME, "/api/v1/webhooks", "/api/v1/events/x"):
        answer = client.get(path, headers=alpha.admin)
        assert (answer.status_code, answer.content_type) == (503, "application/problem+json"), answer.text
        assert answer.json["retryable"]
        assert "Retry-After" in answer.headers
        assert "127.0.0.1" not in answer.text
    assert [each.status for each in heard] == [503] * 3

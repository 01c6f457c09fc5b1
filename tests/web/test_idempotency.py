"""The same request again does its work once, whatever races, dies or comes back."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from server.web.idempotency import forget
from tests.web.toy import as_role

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

    from server.store import Store

KEY = {"Idempotency-Key": "key-1"}


def make(client: FlaskClient, body: Any, *, role: str = "admin", key: dict[str, str] = KEY, url: str = "/api/v1/toys"):
    return client.post(url, json=body, headers=as_role(role) | key)


def made(engine: Store, name: str) -> int:
    """How many times the work was done."""
    return scalar(engine, "SELECT coalesce(sum(made), 0) FROM toys WHERE name = :name", name=name)


def scalar(engine: Store, sql: str, **values: Any) -> Any:
    with engine.connect() as connection:
        connection.exec_driver_sql("RESET ROLE")
        found = connection.execute(text(sql), values).scalar()
        connection.exec_driver_sql("SET ROLE crossdock_engine")
    return found


def age(engine: Store, change: str) -> None:
    with engine.connect() as connection:
        connection.exec_driver_sql(f"UPDATE idempotency_keys SET {change}")


def test_the_same_request_gets_the_first_answer_byte_for_byte(client: FlaskClient, engine: Store):
    first, again = make(client, {"name": "a"}), make(client, {"name": "a"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.data == again.data
    assert first.headers["ETag"] == again.headers["ETag"]
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert made(engine, "a") == 1


def test_without_a_key_the_work_is_done_each_time(client: FlaskClient, engine: Store):
    make(client, {"name": "a"}, key={})
    make(client, {"name": "a"}, key={})
    assert made(engine, "a") == 2


def test_another_body_under_the_same_key_is_refused(client: FlaskClient, engine: Store):
    make(client, {"name": "a"})
    answer = make(client, {"name": "b"})
    assert (answer.status_code, answer.json["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert made(engine, "b") == 0


@pytest.mark.parametrize(
    ("role", "url", "status"),
    [
        ("admin@2", "/api/v1/toys", 201),  # another workspace: its own key
        ("admin", "/api/v1/broken", 500),  # another route: its own key
        ("viewer", "/api/v1/toys", 403),  # who may not, gets no stored answer either
        ("nobody", "/api/v1/toys", 401),
    ],
)
def test_a_key_belongs_to_one_workspace_and_one_route(client: FlaskClient, role: str, url: str, status: int):
    make(client, {"name": "a"})
    answer = make(client, {"name": "a"}, role=role, url=url)
    assert answer.status_code == status
    assert "Idempotent-Replayed" not in answer.headers


@pytest.mark.parametrize("key", ["", "a b", "ü", "x" * 256, "tab\tbed"])
def test_a_malformed_key_is_refused(client: FlaskClient, key: str):
    answer = make(client, {"name": "a"}, key={"Idempotency-Key": key})
    assert answer.status_code == 422
    assert answer.json["errors"][0]["in"] == "header"


def test_fifty_at_once_do_the_work_once(app: Flask, engine: Store):
    def one(_: int):
        answer = make(app.test_client(), {"name": "slow"})
        return answer.status_code, answer.data

    with ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(one, range(50)))
    counts = Counter(status for status, _ in answers)
    assert made(engine, "slow") == 1
    assert set(counts) <= {201, 409}
    assert len({body for status, body in answers if status == 201}) == 1


def test_one_in_flight_says_when_to_come_again(client: FlaskClient, engine: Store):
    make(client, {"name": "a"})
    age(engine, "status = NULL, body = NULL, locked_until = now() + interval '40 s'")
    answer = make(client, {"name": "a"})
    assert (answer.status_code, answer.json["code"], answer.json["retryable"]) == (409, "IDEMPOTENCY_IN_FLIGHT", True)
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


def test_a_key_whose_owner_died_is_taken_over_once_its_lock_has_run_out(client: FlaskClient, engine: Store):
    make(client, {"name": "a"})
    age(engine, "status = NULL, body = NULL, locked_until = now() - interval '1 s'")
    other = make(client, {"name": "b"})
    assert (other.status_code, other.json["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert make(client, {"name": "a"}).status_code == 201
    assert make(client, {"name": "a"}).headers["Idempotent-Replayed"] == "true"


def test_who_lost_the_key_while_at_work_rolls_back(app: Flask, engine: Store):
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(make, app.test_client(), {"name": "slow"})
        for _ in range(200):
            if scalar(engine, "SELECT count(*) FROM idempotency_keys"):
                break
        age(engine, "owner = gen_random_uuid()")
        answer = slow.result()
    assert (answer.status_code, answer.json["code"]) == (409, "IDEMPOTENCY_LOST")
    assert made(engine, "slow") == 0


def test_after_a_day_the_key_is_new(client: FlaskClient, engine: Store):
    make(client, {"name": "a"})
    age(engine, "created_at = now() - interval '25 h'")
    answer = make(client, {"name": "b"})
    assert answer.status_code == 201
    assert "Idempotent-Replayed" not in answer.headers


def test_old_keys_are_forgotten(client: FlaskClient, engine: Store):
    make(client, {"name": "a"})
    make(client, {"name": "b"}, key={"Idempotency-Key": "key-2"})
    age(engine, "created_at = now() - interval '25 h' WHERE key = 'key-1'")
    with engine.connect() as connection:
        assert forget(connection) == 1
    assert scalar(engine, "SELECT string_agg(key, ',') FROM idempotency_keys") == "key-2"


@pytest.mark.parametrize(
    ("body", "status"), [({"name": ""}, 422), ({"nam": "a"}, 422), ({"name": "upstream"}, 502), ({"name": "x"}, 500)]
)
def test_a_failure_is_not_kept_and_lets_the_key_go(client: FlaskClient, engine: Store, body: dict, status: int):
    assert make(client, body, url="/api/v1/broken").status_code == status
    assert scalar(engine, "SELECT count(*) FROM idempotency_keys") == 0


def test_a_secret_in_an_answer_is_never_stored(client: FlaskClient, engine: Store):
    make(client, {"name": "a"}, key={})
    first = make(client, None, url="/api/v1/toys/a/secret")
    again = make(client, None, url="/api/v1/toys/a/secret")
    assert first.json == {"secret": "hidden-a"}
    assert (again.status_code, again.json["code"]) == (409, "ANSWER_NOT_KEPT")
    assert made(engine, "a") == 2  # once when it was made, once for the first of the two
    assert scalar(engine, "SELECT count(*) FROM idempotency_keys k WHERE k::text LIKE '%hidden%'") == 0


def test_an_answer_that_was_not_remembered_is_stored_after_the_work(client: FlaskClient):
    first, again = make(client, {"a": 1}, url="/api/v1/echo"), make(client, {"a": 1}, url="/api/v1/echo")
    assert first.data == again.data
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_path_that_no_index_takes_has_its_key_too(client: FlaskClient, engine: Store):
    path = "/api/v1/toys/" + "".join(f"{number:04x}" for number in range(1900)) + "/secret"
    assert [make(client, None, url=path).status_code for _ in range(2)] == [200, 409]
    assert scalar(engine, "SELECT max(length(route)) FROM idempotency_keys") < 100


def test_reading_ignores_the_key(client: FlaskClient, engine: Store):
    assert client.get("/api/v1/toys", headers=as_role("viewer") | KEY).status_code == 200
    assert scalar(engine, "SELECT count(*) FROM idempotency_keys") == 0

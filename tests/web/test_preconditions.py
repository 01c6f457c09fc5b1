"""Two writers of one version cannot both win."""

from __future__ import annotations

import pytest

from tests.web.toy import as_role


def put(client, name: str, tag: str | None, size: int = 5):
    headers = as_role("editor") | ({} if tag is None else {"If-Match": tag})
    return client.put(f"/api/v1/toys/{name}", json={"name": name, "size": size}, headers=headers)


@pytest.fixture
def toy(client) -> str:
    client.post("/api/v1/toys", json={"name": "a"}, headers=as_role("admin"))
    return client.get("/api/v1/toys/a", headers=as_role("viewer")).headers["ETag"]


def test_a_write_of_the_version_that_was_read_succeeds_and_has_the_next(client, toy: str):
    answer = put(client, "a", toy)
    assert (answer.status_code, toy, answer.headers["ETag"]) == (200, '"1"', '"2"')


@pytest.mark.parametrize(
    ("tag", "status", "code"),
    [
        (None, 428, "IF_MATCH_REQUIRED"),
        ('"2"', 412, "VERSION_CONFLICT"),
        ('W/"1"', 412, "VERSION_CONFLICT"),
        ("1", 412, "VERSION_CONFLICT"),
        ("rubbish", 412, "VERSION_CONFLICT"),
        ('"0", "1"', 200, None),
        ("*", 200, None),
    ],
)
def test_any_other_tag_is_refused(client, toy: str, tag: str | None, status: int, code: str | None):
    answer = put(client, "a", tag)
    assert (answer.status_code, answer.json.get("code")) == (status, code)


def test_the_slower_of_two_writers_is_told(client, toy: str):
    assert put(client, "a", toy).status_code == 200
    late = put(client, "a", toy)
    assert (late.status_code, late.json["details"]) == (412, {"current": '"2"'})


def test_what_is_not_there_is_404_before_it_is_428(client):
    assert put(client, "nothing", None).status_code == 404

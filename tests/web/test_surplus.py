"""What a view does not take is refused: nobody believes that it had an effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.web.toy import as_role

if TYPE_CHECKING:
    from flask.testing import FlaskClient

SECRET = "/api/v1/toys/a/secret"


@pytest.mark.parametrize("path", ["/api/v1/toys/a?colour=1", "/api/v1/toys?colour=1"])
def test_an_unknown_parameter_is_refused_where_none_and_where_others_are_taken(bare: FlaskClient, path: str):
    answer = bare.get(path, headers=as_role("viewer"))
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (422, "UNKNOWN_FIELD")
    assert (answer.json["errors"][0]["pointer"], answer.json["errors"][0]["in"]) == ("/colour", "query")


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        (b'{"organization_id": 2}', 422, "/organization_id"),
        (b"[]", 422, ""),
        (b"null", 422, ""),
        (b'{"a": 1, "a": 2}', 400, None),
        (b"{", 400, None),
    ],
)
def test_a_body_where_none_is_taken_is_refused(bare: FlaskClient, body: bytes, status: int, pointer: str | None):
    answer = bare.post(SECRET, data=body, content_type="application/json", headers=as_role("admin"))
    assert (answer.status_code, answer.json.get("errors", [{}])[0].get("pointer")) == (status, pointer)


@pytest.mark.parametrize("options", [{}, {"json": {}}, {"data": b"", "content_type": "text/plain"}])
def test_no_body_and_an_empty_object_are_the_same(client: FlaskClient, options: dict[str, Any]):
    assert client.post(SECRET, headers=as_role("admin"), **options).status_code == 200


def test_who_may_not_is_told_only_that(bare: FlaskClient):
    answer = bare.post(f"{SECRET}?a=1", data=b"[", content_type="application/json", headers=as_role("viewer"))
    assert answer.status_code == 403

"""Hostile bodies at every route that takes one: 4xx with a code and a place, and nothing is stored."""

from __future__ import annotations

import gzip
import io
from typing import TYPE_CHECKING, Any

import pytest

from tests.api.routes import BODIES, Route, routes
from tests.api.test_workspaces import body_for

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

    from tests.api.world import Place, World

JSON = "application/json"
UNREADABLE = {
    "a repeated key": b'{"a": 1, "a": 2}',
    "NaN": b'{"a": NaN}',
    "1e999": b'{"a": 1e999}',
    "an integer of 5,000 digits": b'{"a": ' + b"9" * 5000 + b"}",
    "2^63": b'{"a": 9223372036854775808}',
    "100,000 levels": b"[" * 100_000,
    "65 levels": b'{"a":' * 65 + b"1" + b"}" * 65,
    "half of a pair": b'{"a": "\\ud800"}',
    "U+0000": b'{"a": "\\u0000"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "Latin-1": b'{"a": "\xe9"}',
    "half a document": b'{"a": ',
    "two documents": b"{} {}",
    "no JSON": b"a=1",
}
NOT_TAKEN = (
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/xml",
    "",
)
NOT_AN_OBJECT = (b"[]", b"null", b'"text"', b"1", b"true")
NOT_THEIRS = (
    "organization_id",
    "workspace_id",
    "created_at",
    "created_by",
    "owner_id",
    "secret_value",
    "__proto__",
    "kind_",
)
OWN = {
    "publish": {"id", "subject"},
    "create_token": {"role"},
    "put_member": {"role"},
}


def writes(world: World, place: Place) -> list[tuple[Route, str, dict[str, str]]]:
    """Return every write with a path to something that is there, and the values of its variables."""
    return [
        (each, each.path(place.values(each)[0]), place.values(each)[0]) for each in routes(world.app) if each.writes
    ]


def send(world: World, place: Place, method: str, path: str, body: bytes, **options: Any) -> TestResponse:
    options = {"content_type": JSON, "headers": {**place.admin, "If-Match": "*"}, **options}
    return world.client.open(path, method=method, data=body, **options)


@pytest.fixture(autouse=True)
def _nothing_is_stored(world: World, alpha: Place):
    before = world.rows_of(alpha)
    yield
    assert world.rows_of(alpha) == before


@pytest.mark.parametrize("attack", UNREADABLE)
def test_what_cannot_be_read_for_sure_is_400_everywhere(world: World, alpha: Place, attack: str):
    for route, path, _ in writes(world, alpha):
        answer = send(world, alpha, route.method, path, UNREADABLE[attack])
        if route.needs in ("keys:rotate", "networks:manage", "organizations:manage"):
            assert answer.status_code == 403
            continue
        assert (answer.status_code, answer.content_type) == (400, "application/problem+json"), (route.name, answer.text)
        assert answer.json["code"].startswith(("JSON_", "MALFORMED")), route.name


@pytest.mark.parametrize("media", NOT_TAKEN)
def test_another_content_type_is_415_everywhere(world: World, alpha: Place, media: str):
    for route, path, _ in allowed(world, alpha):
        answer = send(world, alpha, route.method, path, b'{"a": 1}', content_type=media)
        expected = 422 if (route.view, media) == ("publish", "text/plain") else 415
        assert (answer.status_code, answer.content_type) == (expected, "application/problem+json"), route.name


def test_another_charset_or_encoding_is_415_everywhere(world: World, alpha: Place):
    for route, path, _ in allowed(world, alpha):
        for body, options in (
            ('{"a": 1}'.encode("utf-16"), {"content_type": "application/json; charset=utf-16"}),
            (gzip.compress(b" " * 10_000_000), {"headers": {**alpha.admin, "Content-Encoding": "gzip"}}),
            (b"{}", {"headers": {**alpha.admin, "Content-Encoding": "br"}}),
        ):
            answer = send(world, alpha, route.method, path, body, **options)
            assert (answer.status_code, answer.json["source"]) == (415, "web"), (route.name, options)


def test_a_body_over_the_limit_is_413_everywhere_whatever_its_length_says(world: World, alpha: Place):
    limit = world.product.settings.body_limit
    large = b'{"a": "' + b"x" * limit + b'"}'
    for route, path, _ in allowed(world, alpha):
        whole = send(world, alpha, route.method, path, large)
        claimed = send(world, alpha, route.method, path, b"{}", environ_overrides={"CONTENT_LENGTH": str(limit + 1)})
        unknown = world.client.open(
            path,
            method=route.method,
            input_stream=io.BytesIO(large),
            content_type=JSON,
            headers={**alpha.admin, "Transfer-Encoding": "chunked"},
            environ_overrides={"wsgi.input_terminated": True},
        )
        for answer in (whole, claimed, unknown):
            assert (answer.status_code, answer.json["details"]) == (413, {"limit": limit}), route.name


def test_a_length_that_is_no_length_is_no_way_in(world: World, alpha: Place):
    for length in ("-1", "99999999999999999999", "abc", "1.5", "0x10", "5, 6", "１"):
        answer = send(
            world,
            alpha,
            "POST",
            "/api/v1/events",
            b'{"type": "a.b", "data": {}}',
            headers=alpha.admin,
            environ_overrides={"CONTENT_LENGTH": length},
        )
        assert answer.status_code in (400, 413), (length, answer.text)


@pytest.mark.parametrize("body", NOT_AN_OBJECT)
def test_what_is_no_object_is_422_everywhere(world: World, alpha: Place, body: bytes):
    for route, path, _ in allowed(world, alpha):
        answer = send(world, alpha, route.method, path, body)
        assert (answer.status_code, answer.json["errors"][0]["pointer"] in ("", "/")) == (422, True), (
            route.name,
            answer.text,
        )


def test_nobody_sets_what_is_not_theirs_to_set(world: World, alpha: Place):
    fields = (*NOT_THEIRS, "id", "role", "secret", "state", "hash", "origin_", "deleted_at")
    for route, path, values in allowed(world, alpha):
        body = body_for(route, values) or {}
        forced = f"{path}?force=true" if route.view.startswith("replace_") else path
        for field in set(fields) - body.keys() - OWN.get(route.view, set()):
            answer = world.call(route.method, forced, body | {field: 1}, headers=alpha.admin | {"If-Match": "*"})
            assert answer.status_code == 422, (route.name, field, answer.text)
            places = answer.json.get("errors") or answer.json["details"]["findings"]
            assert any(field in str(each) for each in places), (route.name, field, answer.text)


def allowed(world: World, place: Place) -> list[tuple[Route, str, dict[str, str]]]:
    """Return the writes that an admin's token may call."""
    return [
        each
        for each in writes(world, place)
        if each[0].needs not in ("keys:rotate", "networks:manage", "organizations:manage")
    ]


def test_every_route_with_a_body_has_one_here(world: World):
    assert {each.view for each in routes(world.app)} >= BODIES.keys()

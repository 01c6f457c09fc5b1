"""What each request is answered by what is wrong with it; nothing that is refused is stored."""

from __future__ import annotations

import gzip
import itertools
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from server.web.guard import HEADERS
from tests.support.databases import empty
from tests.support.inbound import declare
from tests.support.product import Product

if TYPE_CHECKING:
    from collections.abc import Iterator

JSON = {"content-type": "application/json"}
_numbers = itertools.count()


@pytest.fixture(scope="module")
def shared(reused_database: str) -> Iterator[Product]:
    """One product for all of the table: each case has an endpoint of its own."""
    product = Product(reused_database)
    yield product
    product.close()
    empty(reused_database)


@pytest.mark.parametrize(
    ("declared", "sent", "status"),
    [
        ({}, {"method": "PUT"}, 405),
        ({"methods": ["PUT"]}, {"method": "PUT"}, 202),
        ({}, {"method": "DELETE"}, 405),
        ({"methods": ["GET"]}, {"method": "GET", "body": b""}, 202),
        ({}, {"path": "elsewhere"}, 404),
        ({}, {"path": "in/"}, 404),
        ({}, {"path": "{}"}, 404),
        ({"path": "a/{x}"}, {"path": "a/"}, 404),
        ({"path": "a/{x}"}, {"path": "a/{}"}, 404),
        ({"path": "a/{x}"}, {"path": "a/..%2f"}, 202),
        ({"max_body": 10}, {"body": b'{"a": 1234}'}, 413),
        ({"max_body": 11}, {"body": b'{"a": 1234}'}, 202),
        ({}, {"headers": {"content-type": "text/xml"}}, 415),
        ({}, {"headers": {"content-type": "APPLICATION/JSON; charset=UTF-8"}}, 202),
        ({}, {"headers": {"content-type": "application/json; charset=utf-16"}}, 415),
        ({}, {"headers": {"content-type": "application/vnd.api+json"}}, 202),
        ({}, {"headers": {}}, 202),
        ({"content_types": ["text/plain"], "format": "json"}, {"headers": {"content-type": "text/plain"}}, 202),
        ({"content_types": ["*/*"]}, {"headers": {"content-type": "image/png"}, "body": b"\x00\xff"}, 202),
        ({}, {"body": b"{"}, 400),
        ({}, {"body": b'{"a": 1, "a": 2}'}, 400),
        ({}, {"body": b'{"a": NaN}'}, 400),
        ({}, {"body": b'{"a": 123456789012345678901234567890}'}, 400),
        ({}, {"body": b'{"a": 1e999}'}, 400),
        ({}, {"body": b"[" * 100 + b"]" * 100}, 400),
        ({}, {"body": b"\xef\xbb\xbf{}"}, 400),
        ({}, {"body": '{"a": 1}'.encode("utf-16")}, 400),
        ({}, {"body": b'{"a": "\\u0000 \\ud800"}'}, 202),
        ({"content_types": ["application/xml"]}, {"headers": {"content-type": "application/xml"}, "body": b"<a>1</a>"}, 202),
        (
            {"content_types": ["application/xml"]},
            {"headers": {"content-type": "application/xml"}, "body": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'},
            400,
        ),
        ({"content_types": ["text/csv"]}, {"headers": {"content-type": "text/csv"}, "body": b"a,b\n1,2\n"}, 202),
        ({}, {"headers": {**JSON, "content-encoding": "gzip"}, "body": gzip.compress(b"{}")}, 415),
        ({"decompress": True}, {"headers": {**JSON, "content-encoding": "gzip"}, "body": gzip.compress(b"{}")}, 202),
        ({"decompress": True}, {"headers": {**JSON, "content-encoding": "deflate"}, "body": zlib.compress(b"{}")}, 202),
        ({"decompress": True}, {"headers": {**JSON, "content-encoding": "gzip"}, "body": b"{}"}, 400),
        ({"decompress": True}, {"headers": {**JSON, "content-encoding": "gzip"}, "body": gzip.compress(b"{}")[:-4]}, 400),
        ({"decompress": True}, {"headers": {**JSON, "content-encoding": "br"}, "body": b"{}"}, 415),
        ({"decompress": True}, {"headers": {**JSON, "content-encoding": "gzip"}, "body": gzip.compress(b" " * 2_000_000)}, 413),
        ({"allow_networks": ["192.0.2.0/24"]}, {}, 401),
        ({"allow_networks": ["127.0.0.0/8"]}, {}, 202),
        ({"dedupe": {"key": "to_number(body.id) < 'x'"}}, {}, 422),
        ({}, {"headers": [(f"x-{number}", "1") for number in range(101)]}, 422),
        ({}, {"headers": {**JSON, "crossdock-hops": "5"}}, 202),
        ({}, {"headers": {**JSON, "crossdock-hops": "6"}}, 508),
        ({}, {"query": "a=%ff"}, 202),
        ({}, {"body": b'{"a": "' + b"x" * 100_000 + b'"}'}, 202),
        ({}, {"body": b'{"a": "' + b"x" * 100_000}, 400),
    ],
)  # fmt: skip
def test_each_request_is_answered_by_what_is_wrong_with_it(
    shared: Product, declared: dict[str, Any], sent: dict[str, Any], status: int
) -> None:
    name = f"case-{next(_numbers)}"
    own = declared.get("path", "in")
    webhook = declare(shared, name, **{**declared, "path": f"{name}/{own}"})
    given = {"body": b'{"id": 1}', "headers": JSON, **sent}
    answer = shared.receive(f"{name}/{given.pop('path', own)}", given.pop("body"), given.pop("headers"), **given)
    assert answer.status == status, answer.body
    rows = shared.rows("SELECT 1 FROM inbound_requests WHERE webhook_id = :id", id=webhook.id)
    assert len(rows) == (status == 202)
    if status != 202:
        assert (answer.headers["content-type"], answer.json["status"]) == ("application/problem+json", status)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("there", JSON, 202),
        ("nowhere", JSON, 404),
        ("there", [("x-many", "1")] * 101, 422),
        ("closed", JSON, 401),
    ],
)
def test_every_answer_has_the_id_of_its_request_and_what_browsers_are_told(
    shared: Product, path: str, headers: Any, status: int
) -> None:
    name = f"case-{next(_numbers)}"
    declare(shared, name, path=f"{name}/there", answer={"headers": {"Cache-Control": "max-age=5"}})
    declare(shared, f"{name}-closed", path=f"{name}/closed", allow_networks=["192.0.2.0/24"])
    with capture_logs() as lines:
        answer = shared.receive(f"{name}/{path}", b"{}", headers)
    assert answer.status == status
    id_ = answer.headers["x-request-id"]
    assert id_ == answer.json["id" if status == 202 else "request_id"]
    assert {each.lower(): answer.headers[each.lower()] for each in HEADERS} == {
        **{each.lower(): value for each, value in HEADERS.items()},
        **({"cache-control": "max-age=5"} if status == 202 else {}),
    }
    assert status in (202, 422) or id_ in [each.get("request_id") for each in lines]

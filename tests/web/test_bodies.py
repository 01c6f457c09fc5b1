"""Bodies are read strictly: what two readers could read differently is refused, and nothing hostile costs time."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from io import BytesIO
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.kernel.errors import Malformed
from server.web.bodies import parse_json
from tests.web.toy import as_role, toy_app

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from server.store import Store

REFUSED = [
    ("nothing", b"", "MALFORMED"),
    ("a repeated key", b'{"a": 1, "a": 2}', "JSON_DUPLICATE_KEY"),
    ("a repeated key deep inside", b'[{"x": {"a": 1, "b": 2, "a": 1}}]', "JSON_DUPLICATE_KEY"),
    ("a key repeated by an escape", b'{"a": 1, "\\u0061": 2}', "JSON_DUPLICATE_KEY"),
    ("65 levels of lists", b"[" * 65 + b"]" * 65, "JSON_TOO_DEEP"),
    ("65 levels of objects", b'{"a":' * 65 + b"1" + b"}" * 65, "JSON_TOO_DEEP"),
    ("100,000 levels", b"[" * 100_000 + b"]" * 100_000, "JSON_TOO_DEEP"),
    ("100,000 levels, unfinished", b'{"a":[' * 50_000, "JSON_TOO_DEEP"),
    ("deep behind brackets in texts", b'["' + b"]" * 100 + b'",' + b"[" * 64 + b"]" * 64 + b"]", "JSON_TOO_DEEP"),
    ("2^63", b'{"a": 9223372036854775808}', "JSON_NUMBER"),
    ("-2^63 - 1", b"-9223372036854775809", "JSON_NUMBER"),
    ("an integer of 5,000 digits", b"9" * 5000, "JSON_NUMBER"),
    ("NaN", b"[NaN]", "JSON_NUMBER"),
    ("Infinity", b"Infinity", "JSON_NUMBER"),
    ("-Infinity", b'{"a": -Infinity}', "JSON_NUMBER"),
    ("1e999", b"1e999", "JSON_NUMBER"),
    ("a number so small that its digits fill a disk", b'{"a": 1e-99999999}', "JSON_NUMBER"),
    ("a zero of a hundred million digits", b"[0e-99999999, 0E+99999999]", "JSON_NUMBER"),
    ("a fraction of a million digits", b"0." + b"1" * 1_000_000, "JSON_NUMBER"),
    ("a byte order mark", b"\xef\xbb\xbf{}", "MALFORMED"),
    ("UTF-16", "{}".encode("utf-16"), "MALFORMED"),
    ("UTF-16 without a mark", '{"a":1}'.encode("utf-16-le"), "MALFORMED"),
    ("UTF-32", '{"a":1}'.encode("utf-32"), "MALFORMED"),
    ("Latin-1", b'{"a": "\xe9"}', "MALFORMED"),
    ("an overlong NUL", b'"\xc0\x80"', "MALFORMED"),
    ("an encoded surrogate", b'"\xed\xa0\x80"', "MALFORMED"),
    ("half of a pair", b'"\\ud800"', "JSON_TEXT"),
    ("the other half", b'{"\\uDC00": 1}', "JSON_TEXT"),
    ("the halves in the wrong order", b'"\\udc00\\ud800"', "JSON_TEXT"),
    ("U+0000", b'"a\\u0000"', "JSON_TEXT"),
    ("U+0000 behind a backslash", b'"\\\\\\u0000"', "JSON_TEXT"),
    ("a raw control character", b'"\x01"', "MALFORMED"),
    ("a trailing comma", b"[1,]", "MALFORMED"),
    ("something behind", b"{} {}", "MALFORMED"),
    ("a comment", b"{} // hi", "MALFORMED"),
    ("single quotes", b"{'a': 1}", "MALFORMED"),
    ("an open text", b'{"a": "', "MALFORMED"),
]
TAKEN = [
    (b"null", None),
    (b" [1, 2] \n", [1, 2]),
    (b"[" * 64 + b"]" * 64, None),
    (b'["' + b"[" * 1000 + b'", "\\"[[[[", "\\\\"]', None),
    (b"[" + b"[[]]," * 500 + b"[]]", None),
    (b"9223372036854775807", 2**63 - 1),
    (b"-9223372036854775808", -(2**63)),
    (b"1e3", 1000.0),
    (b"-0.0", -0.0),
    (b'"\\ud83d\\ude00"', "\U0001f600"),
    (b'"\\\\u0000"', "\\u0000"),
    (b'"\\\\ud800"', "\\ud800"),
    ('"é😀"'.encode(), "é😀"),
    (b'{"__proto__": {"a": 1}, "constructor": 1}', {"__proto__": {"a": 1}, "constructor": 1}),
]


@pytest.mark.parametrize(("body", "code"), [each[1:] for each in REFUSED], ids=[each[0] for each in REFUSED])
def test_json_that_readers_disagree_on_is_refused_within_a_second(body: bytes, code: str):
    started = time.perf_counter()
    with pytest.raises(Malformed) as caught:
        parse_json(body)
    assert caught.value.code == code
    assert time.perf_counter() - started < 1.0


@pytest.mark.parametrize(("body", "value"), TAKEN)
def test_json_that_is_only_unusual_is_read(body: bytes, value: object):
    assert parse_json(body) == (value if value is not None else json.loads(body))


def test_texts_that_no_column_can_hold_are_read_when_they_are_asked_for():
    assert parse_json(b'["\\u0000", "\\ud800"]', any_text=True) == ["\x00", "\ud800"]


def test_fractions_can_be_read_exactly():
    assert parse_json(b"[1.10, 12345678901234567.89]", number=Decimal) == [
        Decimal("1.10"),
        Decimal("12345678901234567.89"),
    ]


def test_a_wrong_place_is_named_by_line_and_column():
    with pytest.raises(Malformed) as caught:
        parse_json(b'{"a": 1,\n "b" 2}')
    assert caught.value.details == {"line": 2, "column": 6}


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=30,
)


@given(_JSON, st.booleans())
def test_it_reads_what_orjson_reads(value: object, ascii_only: bool):
    body = json.dumps(value, ensure_ascii=ascii_only)
    try:
        data = body.encode()
    except UnicodeEncodeError:
        return
    if "\\u0000" in body.replace("\\\\", ""):
        with pytest.raises(Malformed):
            parse_json(data)
    else:
        assert parse_json(data) == orjson.loads(data)


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\\u0dD8e+-.NaI ', max_size=60).map(str.encode))
def test_whatever_comes_it_is_a_value_or_a_named_refusal(body: bytes):
    try:
        value = parse_json(body)
    except Malformed:
        return
    assert orjson.loads(body) == value


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json"}, 200),
        ({"Content-Type": "Application/JSON; charset=UTF-8"}, 200),
        ({"Content-Type": "application/json", "Content-Encoding": "identity"}, 200),
        ({"Content-Type": "application/json; charset=utf-16"}, 415),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ({}, 415),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415),
        ({"Content-Type": "application/json", "Content-Encoding": "identity, br"}, 415),
    ],
)
def test_only_plain_json_in_utf8_is_taken(bare: FlaskClient, headers: dict[str, str], status: int):
    assert bare.post("/api/v1/echo", data=b"{}", headers=as_role("admin") | headers).status_code == status


def send(client: FlaskClient, **environ: object):
    """Post to the echo with the server's side of the request in our hands."""
    return client.post(
        "/api/v1/echo", content_type="application/json", headers=as_role("admin"), environ_overrides=environ
    )


def test_a_body_over_the_limit_is_refused_by_its_length_before_it_is_read(nowhere: Store):
    client = toy_app(nowhere, body_limit=100).test_client()
    answer = send(client, **{"CONTENT_LENGTH": "101", "wsgi.input": Unreadable()})
    assert (answer.status_code, answer.json["code"], answer.json["details"]) == (413, "TOO_LARGE", {"limit": 100})


def test_a_body_without_a_length_is_refused_as_soon_as_it_is_over_the_limit(nowhere: Store):
    client = toy_app(nowhere, body_limit=100).test_client()
    endless = Endless()
    answer = send(client, **{"CONTENT_LENGTH": "", "wsgi.input": endless, "wsgi.input_terminated": True})
    assert (answer.status_code, answer.json["details"]) == (413, {"limit": 100})
    assert endless.given < 200_000


def test_a_body_shorter_than_its_length_is_refused(bare: FlaskClient):
    answer = send(bare, **{"CONTENT_LENGTH": "50", "wsgi.input": BytesIO(b"{}")})
    assert (answer.status_code, answer.json["code"]) == (400, "MALFORMED")


def test_a_body_longer_than_its_length_is_read_to_its_length(bare: FlaskClient):
    answer = send(bare, **{"CONTENT_LENGTH": "2", "wsgi.input": BytesIO(b"{}garbage")})
    assert (answer.status_code, answer.json) == (200, {"body": {}})


class Unreadable(BytesIO):
    def read(self, *_: object) -> bytes:
        raise AssertionError("the body was read")

    readinto = readline = read  # type: ignore[assignment]


class Endless(BytesIO):
    given = 0

    def read(self, size: int | None = -1) -> bytes:
        self.given += 65_536 if size is None or size < 0 else size
        return b" " * (65_536 if size is None or size < 0 else size)

    def readinto(self, buffer) -> int:
        self.given += len(buffer)
        buffer[:] = b" " * len(buffer)
        return len(buffer)

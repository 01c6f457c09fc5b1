"""Every error is problem+json, whoever raised it."""

from __future__ import annotations

import pytest
from flask import Blueprint, abort
from marshmallow import ValidationError
from structlog.testing import capture_logs
from werkzeug.exceptions import HTTPException

from server.kernel import errors
from server.kernel.errors import CrossdockError, declared_codes
from server.web.permissions import public
from server.web.problems import MEDIA_TYPE, STATUS, Problem, status_of
from tests.web.toy import as_role, toy_app

ERRORS = [
    (errors.Invalid("x", errors=[{"pointer": "/a", "message": "m", "code": "C"}]), 422, "INVALID"),
    (errors.Malformed("x"), 400, "MALFORMED"),
    (errors.Unauthenticated("x"), 401, "UNAUTHENTICATED"),
    (errors.Forbidden("x"), 403, "FORBIDDEN"),
    (errors.NotFound("x"), 404, "NOT_FOUND"),
    (errors.NotAllowed("x"), 405, "METHOD_NOT_ALLOWED"),
    (errors.Conflict("x"), 409, "CONFLICT"),
    (errors.PreconditionFailed("x"), 412, "VERSION_CONFLICT"),
    (errors.TooLarge("x"), 413, "TOO_LARGE"),
    (errors.Unsupported("x"), 415, "UNSUPPORTED_MEDIA_TYPE"),
    (errors.PreconditionMissing("x"), 428, "IF_MATCH_REQUIRED"),
    (errors.TooMany("x", after=3.2), 429, "RATE_LIMITED"),
    (errors.Unavailable("x", after=0.1), 503, "UNAVAILABLE"),
    (errors.Retryable("x"), 502, "UPSTREAM_FAILED"),
    (errors.Permanent("x"), 502, "UPSTREAM_REFUSED"),
    (errors.Postponed("x"), 503, "POSTPONED"),
    (errors.Skipped("x"), 409, "SKIPPED"),
    (CrossdockError("inside knowledge"), 500, "INTERNAL"),
    (ValidationError({"a": {0: ["wrong"]}}), 422, "INVALID"),
    (RuntimeError("inside knowledge"), 500, "INTERNAL"),
    (KeyError("inside knowledge"), 500, "INTERNAL"),
    *[(status, status, None) for status in (400, 401, 403, 404, 406, 408, 410, 413, 418, 429, 500, 501, 503)],
]


@pytest.mark.parametrize(("error", "status", "code"), ERRORS, ids=[f"{type(e[0]).__name__}-{e[1]}" for e in ERRORS])
def test_an_error_becomes_a_problem(nowhere, error, status: int, code: str | None):
    room = Blueprint("failing", __name__)

    @room.get("/fail")
    @public
    def fail():
        if isinstance(error, int):
            abort(error)
        raise error

    answer = toy_app(nowhere, rooms=[room]).test_client().get("/fail")
    assert answer.status_code == status
    assert answer.content_type == MEDIA_TYPE
    problem = answer.json
    assert Problem().validate(problem) == {}
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert problem["code"] in declared_codes()
    assert problem["type"] == f"/docs/errors#{problem['code']}"
    assert code in (None, problem["code"])
    assert "inside knowledge" not in answer.text


def test_every_class_of_error_has_a_status():
    def below(root: type) -> set[type]:
        return {root} | {each for child in root.__subclasses__() for each in below(child)}

    ours = {each for each in below(CrossdockError) if each.__module__.startswith("server.kernel")}
    assert ours <= set(STATUS)
    assert status_of(type("Own", (errors.Conflict,), {})("x")) == 409


@pytest.mark.parametrize(("after", "header"), [(3.2, "4"), (0.01, "1"), (60, "60")])
def test_a_pause_becomes_retry_after(nowhere, after: float, header: str):
    room = Blueprint("failing", __name__)

    @room.get("/fail")
    @public
    def fail():
        raise errors.Unavailable("away", after=after)

    answer = toy_app(nowhere, rooms=[room]).test_client().get("/fail")
    assert (answer.headers["Retry-After"], answer.json["retryable"]) == (header, True)


def test_a_wrong_method_names_the_right_ones(bare):
    answer = bare.delete("/api/v1/toys", headers=as_role("admin"))
    assert (answer.status_code, answer.content_type) == (405, MEDIA_TYPE)
    assert {"GET", "POST"} <= set(answer.headers["Allow"].split(", "))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, [("/name", "REQUIRED")]),
        ({"name": "a", "id": 1, "workspace_id": 2}, [("/id", "UNKNOWN_FIELD"), ("/workspace_id", "UNKNOWN_FIELD")]),
        ({"name": 1}, [("/name", "INVALID_VALUE")]),
        ({"name": "a", "tags": ["ok", 5, "x" * 21]}, [("/tags/1", "INVALID_VALUE"), ("/tags/2", "INVALID_VALUE")]),
        ({"name": "a", "a/b~c": 1}, [("/a~1b~0c", "UNKNOWN_FIELD")]),
        ({"name": "a\x01b"}, [("/name", "INVALID_VALUE")]),
        ([], [("", "INVALID_VALUE")]),
        ("text", [("", "INVALID_VALUE")]),
    ],
)
def test_each_wrong_place_has_a_pointer_and_a_code(bare, body, expected):
    answer = bare.post("/api/v1/toys", json=body, headers=as_role("admin"))
    assert answer.status_code == 422
    assert sorted((each["pointer"], each["code"]) for each in answer.json["errors"]) == expected


def test_the_list_of_wrong_places_is_bounded(bare):
    answer = bare.post("/api/v1/toys", json={f"f{n}": n for n in range(5000)}, headers=as_role("admin"))
    assert answer.status_code == 422
    assert len(answer.json["errors"]) == 100


def test_what_nobody_foresaw_is_in_the_log_under_the_request_id(bare):
    with capture_logs() as logs:
        answer = bare.post("/api/v1/broken", json={"name": "x"}, headers=as_role("admin"))
    [line] = [each for each in logs if each["event"] == "request broke"]
    assert line["request_id"] == answer.json["request_id"]
    assert isinstance(line["exc_info"], RuntimeError)
    assert "boom" not in answer.text


def test_the_failure_of_another_system_is_a_502_that_says_when_to_try_again(bare):
    answer = bare.post("/api/v1/broken", json={"name": "upstream"}, headers=as_role("admin"))
    assert (answer.status_code, answer.json["source"], answer.json["retryable"]) == (502, "http", True)
    assert answer.headers["Retry-After"] == "7"


def test_a_problem_is_what_every_http_exception_becomes():
    assert all(each.code is None or each.code < 600 for each in HTTPException.__subclasses__())

"""Around every view: who asks, whether they may, ids, headers, and refusals of what no view should see."""

from __future__ import annotations

import itertools

import pytest
from flask import Blueprint
from structlog.testing import capture_logs

from server.kernel.errors import CrossdockError
from server.web.permissions import PERMISSIONS, ROLES, TOKEN_ROLES, requires, undeclared_routes
from server.web.principals import Principal
from tests.web.toy import as_role, toy_app

ROUTES = [
    ("GET", "/api/v1/toys", "events:read"),
    ("POST", "/api/v1/toys", "events:publish"),
    ("PUT", "/api/v1/toys/a", "definitions:apply"),
    ("POST", "/api/v1/toys/a/secret", "secrets:write"),
]


@pytest.mark.parametrize("role", TOKEN_ROLES)
@pytest.mark.parametrize(("method", "path", "permission"), ROUTES)
def test_a_role_may_what_the_table_says(bare, role: str, method: str, path: str, permission: str):
    answer = bare.open(path, method=method, json={"name": "a"} if method != "GET" else None, headers=as_role(role))
    if permission in ROLES[role]:
        assert answer.status_code not in (401, 403)
    else:
        assert (answer.status_code, answer.json["code"]) == (403, "FORBIDDEN")
        assert answer.json["details"] == {"permission": permission}


def test_each_role_holds_all_of_the_one_before():
    roles = list(ROLES.values())
    assert all(less < more for less, more in itertools.pairwise(roles))
    assert roles[-1] == set(PERMISSIONS)


def test_scopes_narrow_a_role_and_never_widen_it():
    def who(*scopes: str) -> Principal:
        return Principal(
            id="token:x", kind="token", organization_id=1, workspace_id=1, organization="a", workspace="b", role="operator",
            scopes=frozenset(scopes),
        )  # fmt: skip

    assert who().permissions == ROLES["operator"]
    assert who("events:publish", "tokens:manage").permissions == {"events:publish"}
    who("events:publish").must("events:publish")
    for lacking in ("events:read", "tokens:manage"):
        with pytest.raises(CrossdockError):
            who("events:publish", "tokens:manage").must(lacking)


@pytest.mark.parametrize("declared", [None, requires("events:read")])
def test_an_application_with_a_route_that_declares_nothing_does_not_start(nowhere, declared):
    room = Blueprint("extra", __name__)

    def view() -> str:
        return "x"

    room.add_url_rule("/api/v1/extra", view_func=declared(view) if declared else view, methods=["GET", "POST"])
    if declared:
        assert undeclared_routes(toy_app(nowhere, rooms=[room])) == []
        return
    with pytest.raises(CrossdockError) as caught:
        toy_app(nowhere, rooms=[room])
    assert caught.value.code == "ROUTE_UNDECLARED"
    assert caught.value.details == {"routes": ["GET /api/v1/extra", "POST /api/v1/extra"]}


def test_a_permission_that_is_not_in_the_table_cannot_be_declared():
    with pytest.raises(ValueError, match="no permission 'events:shred'"):
        requires("events:shred")


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer nobody",
        "Basic YWRtaW46YWRtaW4=",
        "bearer  ",
        "Token admin",
        "Bearer a b",
        "Bearer é",
    ],
)
def test_every_unknown_caller_gets_the_same_answer(bare, authorization: str | None):
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = bare.post("/api/v1/toys", data=b"not even read", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="crossdock"'
    varying = ("instance", "request_id")
    expected = bare.get("/api/v1/toys").json
    assert {k: v for k, v in answer.json.items() if k not in varying} == {
        k: v for k, v in expected.items() if k not in varying
    }


def test_after_twenty_wrong_tokens_in_a_minute_an_address_is_told_to_wait(bare):
    statuses = [bare.get("/api/v1/toys", headers=as_role("nobody")).status_code for _ in range(22)]
    assert statuses == [401] * 20 + [429] * 2
    waiting = bare.get("/api/v1/toys", headers=as_role("nobody"))
    assert (waiting.json["code"], waiting.headers["Retry-After"]) == ("AUTH_FAILURES", "30")
    assert bare.get("/api/v1/toys", headers=as_role("viewer")).status_code == 503
    assert bare.get("/api/v1/toys").status_code == 401  # no token is no guess


def test_public_routes_need_nothing(bare):
    assert bare.get("/api/v1/open").json == {"ok": True}


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("headers", "correlation"),
    [
        ({"X-Correlation-ID": "order-17:a.b_c"}, "order-17:a.b_c"),
        ({"X-Correlation-ID": "x" * 129}, None),
        ({"X-Correlation-ID": 'a"b<script>'}, None),
        ({"X-Correlation-ID": ""}, None),
        ({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, TRACE),
        ({"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"}, None),
        ({"traceparent": f"ff-{TRACE}-00f067aa0ba902b7-01"}, None),
        ({"traceparent": "rubbish"}, None),
        ({"X-Correlation-ID": "mine", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, "mine"),
    ],
)
def test_a_well_formed_correlation_id_is_taken_over(bare, headers: dict, correlation: str | None):
    answer = bare.get("/api/v1/open", headers=headers)
    assert answer.headers["X-Request-ID"].startswith("req_")
    if correlation:
        assert answer.headers["X-Correlation-ID"] == correlation
    else:
        assert answer.headers["X-Correlation-ID"].startswith("cor_")


@pytest.mark.parametrize("path", ["/api/v1/open", "/api/v1/toys", "/nowhere", "/docs", "/openapi.json"])
def test_every_answer_carries_the_security_headers(bare, path: str):
    headers = bare.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; frame-ancestors 'none'")
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/toys/a%00b", 400),
        ("/api/v1/toys?cursor=%00", 400),
        ("/api/v1/toys?x=" + "a" * 9000, 414),
        ("/api/v1/toys/" + "a" * 9000, 414),
        ("/api/v1/toys/%ff%fe", 503),
        ("/api/v1/toys/%2e%2e%2fadmin", 404),
        ("/api/v1/toys?limit=1&limit=2&unknown=1", 422),
        ("//api/v1/toys", 404),
        ("/api/v1/toys/", 503),
    ],
)
def test_a_hostile_url_is_answered_cleanly(bare, path: str, status: int):
    answer = bare.get(path, headers=as_role("viewer") | {"Host": "evil.example"})
    assert answer.status_code == status
    assert "Location" not in answer.headers
    assert "evil.example" not in answer.text


def test_a_request_is_logged_by_its_route_without_its_values(bare):
    with capture_logs() as logs:
        bare.get("/api/v1/toys/hunter2?token=hunter3", headers=as_role("viewer"))
    [line] = [each for each in logs if each["event"] == "request"]
    assert (line["route"], line["status"], line["method"]) == ("/api/v1/toys/<string:name>", 422, "GET")
    assert "hunter" not in str(logs)


def test_observers_hear_of_every_request(nowhere):
    app = toy_app(nowhere)
    heard = []
    app.extensions["crossdock"].observers.append(heard.append)
    app.test_client().get("/api/v1/toys/a", headers=as_role("viewer"))
    app.test_client().get("/nowhere")
    assert [(each.route, each.status, each.workspace) for each in heard] == [
        ("/api/v1/toys/<string:name>", 503, "default/w1"),
        ("", 404, ""),
    ]

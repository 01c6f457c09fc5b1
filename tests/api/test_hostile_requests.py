"""Hostile paths, queries, headers, methods and cursors: a problem with a code, never a 5xx, and nothing is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote
from uuid import UUID

import pytest

from server.web import paging
from tests.api.routes import BODIES, WRITES, Route, routes
from tests.api.test_workspaces import MAKING, NOBODY

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

    from tests.api.world import Place, World

INSTANCE = ("keys:rotate", "networks:manage", "organizations:manage")
NAMES = (
    "..", ".", "%00", "a%00b", "%2e%2e%2fetc%2fpasswd", "..%5c..%5cwindows", "%0d%0aX-Injected:%201", "%20", "%ff%fe", "%ed%a0%80",
    "%7b%7b7*7%7d%7d", "'%3b%20DROP%20TABLE%20events%3b--", "1%20OR%201=1", "%25s%25n", "a" * 300, "%f0%9f%92%a9" * 400, "%e2%80%ae",
    "webhook@-1", "x@99999999999999999999", "dlv_" + "z" * 26, "dead_" + "7" * 26, "__proto__", "null", "-1", "%3cscript%3e",
)  # fmt: skip
GOOD = {
    "put_secret": {"dlv_" + "z" * 26, "dead_" + "7" * 26, "null"},
    "put_member": {"webhook@-1", "x@99999999999999999999"},
}
"""Those of them that are names of a secret, and addresses."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "BREW")


def is_problem(answer: TestResponse, *statuses: int) -> bool:
    """Say whether an answer is a problem with one of these statuses, and all that a problem has."""
    return (
        answer.status_code in statuses
        and answer.content_type == "application/problem+json"
        and answer.json["status"] == answer.status_code
        and answer.json["request_id"] == answer.headers["X-Request-ID"]
        and answer.json.keys() >= {"type", "title", "code", "detail", "source", "instance", "retryable"}
    )


def ours(world: World) -> list[Route]:
    """Return the routes that an admin's token may call."""
    return [each for each in routes(world.app) if each.needs not in INSTANCE]


@pytest.fixture(autouse=True)
def _nothing_is_stored(world: World, alpha: Place):
    before = world.rows_of(alpha)
    yield
    assert world.rows_of(alpha) == before


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_none_is_a_problem_on_every_route(world: World, alpha: Place, name: str):
    for route in ours(world):
        makes_it = route.view in MAKING and unquote(name) in GOOD[route.view]
        if route.variables and not makes_it:
            path = route.path(dict.fromkeys(route.variables, name))
            answer = world.call(route.method, path, BODIES.get(route.view), headers=alpha.admin | {"If-Match": "*"})
            assert is_problem(answer, 400, 404, 405, 422), (route.name, path, answer.status, answer.text[:300])
            assert "X-Injected" not in answer.headers


@pytest.mark.parametrize("number", ["2147483648", "9223372036854775808", "9" * 20, "9" * 4400], ids=len)
@pytest.mark.parametrize("form", ["{}", "[{}]", '["a", {}]', "-{}"])
def test_a_number_that_nothing_holds_is_a_problem_in_each_place_of_a_path(
    world: World, alpha: Place, number: str, form: str
):
    word = quote(form.format(number))
    for route in ours(world):
        for variable in route.variables:
            values = NOBODY | alpha.values(route)[0] | {variable: word}
            path, headers = route.path(values), alpha.admin | {"If-Match": '"99999999999999999999"'}
            answer = world.call(route.method, path, BODIES.get(route.view), headers=headers)
            assert is_problem(answer, 400, 404, 412, 422), (route.name, path, answer.status, answer.text[:300])


def test_a_kind_that_is_none_is_not_found(world: World, alpha: Place):
    for kind in ("flow", "Webhook", "webhooks", "..", "%00", "x" * 300):
        answer = world.call("GET", f"/api/v1/definitions/{kind}/alpha-orders", headers=alpha.admin)
        assert is_problem(answer, 400, 404), (kind, answer.text)


def test_a_url_without_end_is_414(world: World, alpha: Place):
    for route in ours(world):
        path = (
            route.path(dict.fromkeys(route.variables, "a" * 9000))
            if route.variables
            else f"{route.rule}?x={'a' * 9000}"
        )
        answer = world.call(route.method, path, BODIES.get(route.view), headers=alpha.admin)
        assert is_problem(answer, 414), route.name


def test_an_unknown_parameter_is_422_on_every_route(world: World, alpha: Place):
    for route in ours(world):
        path = route.path(NOBODY | {"kind": "webhook"})
        for query in (
            "organization_id=1",
            "workspace_id=1",
            "Limit=1",
            "limit[]=1",
            "__proto__=1",
            "%ff=1",
            "=1",
            "sql=%27%3b--",
        ):
            answer = world.call(
                route.method, f"{path}?{query}", BODIES.get(route.view), headers=alpha.admin | {"If-Match": "*"}
            )
            assert is_problem(answer, 422), (route.name, query, answer.text[:300])
            assert answer.json["errors"][0]["in"] == "query", (route.name, query)


def test_a_parameter_that_comes_twice_is_422(world: World, alpha: Place):
    for route in listings(world):
        path = route.path(NOBODY | {"kind": "webhook"})
        answer = world.call("GET", f"{path}?limit=1&limit=2", headers=alpha.admin)
        assert is_problem(answer, 422), (route.name, answer.text[:200])


@pytest.mark.parametrize(
    "limit", ["0", "-1", "201", "1e3", "1.5", "abc", "", "9" * 5000, "0x10", "NaN", "null", "1 ", "%00"]
)
def test_a_limit_that_is_none_is_refused_by_every_listing(world: World, alpha: Place, limit: str):
    for route in listings(world):
        path = route.path(NOBODY | {"kind": "webhook"})
        answer = world.call("GET", f"{path}?limit={limit}", headers=alpha.admin)
        if limit == "1 ":
            assert answer.status_code in (200, 404, 422)
        else:
            assert is_problem(answer, 400, 422), (route.name, answer.text[:200])


def listings(world: World) -> list[Route]:
    document = world.client.get("/openapi.json").json
    return [
        each
        for each in ours(world)
        if each.method == "GET"
        and any(
            parameter["name"] == "cursor" for parameter in document["paths"][each.template]["get"].get("parameters", [])
        )
    ]


FORGED: list[list[Any]] = [
    [], [0], [1], [-1], [2**31], [2**62], [2**63], [2**64 - 1], [-(2**63)],
    ["\x00"], ["a\x00b"], [""], ["x" * 1400], ["é" * 500], ["\U0010ffff"],
    [None], [1.5], [True], [[]], [{}], ["a", "b"], ["\x00", "\x00"], ["Webhook", ""], [str(UUID(int=0))], [str(UUID(int=2**128 - 1))],
]  # fmt: skip
NAMED = {
    "secrets", "tokens", "members", "workspaces", "audit", "integrations", "webhooks", "event-types", "history", "definitions",
    "versions", "events", "plugins", "deliveries", "attempts", "dead-letters", "replays", "public-keys",
    "inbound-requests", "sync-jobs", "sync-schedules", "sync-conflicts", "sync-runs", "sync-parked", "sync-changes", "sync-differences",
    "flows", "flow-runs", "steps",
}  # fmt: skip
"""The listings, by the last word of their path: so they sign their cursors; of sync jobs with `sync-` before it, of flows `flow-`."""
OF_SYNCS = ("runs", "parked", "changes", "differences")


def test_a_forged_cursor_selects_nothing_odd(world: World, alpha: Place):
    """Whoever knows how cursors are made can make any: what they hold reaches the database as a bound value of its type."""
    answered = set()
    for route in listings(world):
        path = route.path(alpha.values(route)[0])
        word = route.rule.rpartition("/")[2]
        kind = "flow" if route.room == "flows" else "sync"
        listing = f"{kind}-{word}" if word in OF_SYNCS else word
        for position in FORGED:
            answer = world.call("GET", f"{path}?cursor={paging.write(listing, position)}", headers=alpha.admin)
            good = answer.status_code == 200
            assert good or is_problem(answer, 422), (route.name, position, answer.text[:300])
            if good:
                answered.add(listing)
    assert answered == NAMED


@pytest.mark.parametrize(
    "cursor", ["x", "", "AAAA", "é", "%00", "a" * 2001, "=" * 10, "../../x", "%2f%2f", "e30", "A" * 1999]
)
def test_a_cursor_that_is_none_is_422(world: World, alpha: Place, cursor: str):
    for route in listings(world):
        answer = world.call("GET", f"{route.path(alpha.values(route)[0])}?cursor={cursor}", headers=alpha.admin)
        assert is_problem(answer, 400, 422), (route.name, answer.text[:200])


FILTERS = (
    "\u202e",
    "'; DROP TABLE events; --",
    "%",
    "_",
    "\\",
    "x" * 199,
    "\U0001f4a9",
    '"',
    "{}",
    "a\nb",
    "-" * 30,
    "1e999",
    "0" * 100,
    "9" * 20,
)


@pytest.mark.parametrize("value", FILTERS)
def test_every_filter_takes_any_text_and_finds_nothing_by_it(world: World, alpha: Place, value: str):
    document = world.client.get("/openapi.json").json
    for route in listings(world):
        parameters = document["paths"][route.template]["get"]["parameters"]
        filters = [
            each["name"] for each in parameters if each["name"] not in ("limit", "cursor") and each["in"] == "query"
        ]
        if "state" in filters or route.rule.endswith("event-types"):
            filters += ["metadata.a", 'metadata."', "metadata.$.a", "metadata.a.b", "metadata.é"]
        for name in filters:
            path = f"{route.path(alpha.values(route)[0])}?{quote(name)}={quote(value)}"
            answer = world.call("GET", path, headers=alpha.admin)
            if answer.status_code == 200:
                assert answer.json["items"] == [], path
            else:
                assert is_problem(answer, 404, 422), (path, answer.text[:300])


MOMENTS = (
    "0001-01-01T00:00:00%2b23:59", "9999-12-31T23:59:59-23:59", "2026-01-01", "now", "infinity", "2026-13-45T99:99:99Z",
    "0000-00-00T00:00:00Z", "99999-01-01T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00%2b99:99",
)  # fmt: skip


@pytest.mark.parametrize("moment", MOMENTS)
def test_odd_moments_are_moments_or_refused(world: World, alpha: Place, moment: str):
    for name in ("since", "until"):
        answer = world.call("GET", f"/api/v1/events?{name}={moment}", headers=alpha.admin)
        assert answer.status_code == 200 or is_problem(answer, 422), (moment, answer.text)


def test_a_method_that_a_path_has_not_is_405_and_says_which_it_has(world: World, alpha: Place):
    served: dict[str, set[str]] = {}
    for route in routes(world.app):
        served.setdefault(route.path(NOBODY | {"kind": "webhook"}), set()).add(route.method)
    for path, has in served.items():
        for method in set(METHODS) - has - {"HEAD", "GET"}:
            answer = world.client.open(path, method=method, headers=alpha.admin)
            allowed = {each.strip() for each in answer.headers["Allow"].split(",")}
            assert answer.status_code == 405, (method, path)
            assert allowed >= has, (method, path, allowed)
            assert method not in allowed, (method, path, allowed)
            assert method == "HEAD" or is_problem(answer, 405), (method, path)


def test_no_header_makes_another_method_or_path_of_a_request(world: World, alpha: Place):
    for header in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        answer = world.client.post("/api/v1/me", headers=alpha.admin | {header: "GET"})
        assert answer.status_code == 405, header
    for header in ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix"):
        answer = world.client.get("/api/v1/nothing", headers=alpha.admin | {header: "/api/v1/me"})
        assert is_problem(answer, 404), header


@pytest.mark.parametrize("path", ["/api", "/api/v1", "/api/v1/nothing", "/api/v2/me", "/api/v1/../../etc/passwd", "//api/v1/me",
                                  "/api//v1/me", "/API/v1/me", "/.env", "/api/v1/me;x=1", "/api/v1/%6de%00"])  # fmt: skip
def test_a_path_that_is_none_is_a_problem(world: World, alpha: Place, path: str):
    for method in ("GET", *WRITES):
        answer = world.client.open(path, method=method, headers=alpha.admin)
        assert is_problem(answer, 400, 404), (method, path, answer.text[:200])
        assert "Location" not in answer.headers


HEADERS = [
    {"X-Correlation-ID": "a b"}, {"X-Correlation-ID": "x" * 10_000}, {"X-Correlation-ID": "${jndi:ldap://x}"}, {"X-Correlation-ID": "é"},
    {"traceparent": "00-" + "0" * 32 + "-" + "0" * 16 + "-01"}, {"traceparent": "x" * 5000},
    {"Accept": "text/html"}, {"Accept": "\xff"}, {"Accept-Encoding": "gzip"}, {"Accept-Language": "x" * 5000}, {"Range": "bytes=0-1"},
    {"Host": "evil.example.com"}, {"Host": "a b"}, {"Host": ""}, {"Host": "[::1"}, {"Host": "localhost:99999999"},
    {"X-Forwarded-For": "1.2.3.4, " * 500}, {"X-Forwarded-Host": "evil.example.com"}, {"X-Forwarded-Proto": "gopher"},
    {"Cookie": "session=x; " * 200}, {"If-None-Match": "*"}, {"If-Modified-Since": "never"}, {"Expect": "200-ok"}, {"Upgrade": "h2c"},
    {"Content-Type": "application/json; charset=\xff"}, {"Content-Length": "0"}, {"Origin": "https://evil.example.com"},
]  # fmt: skip


@pytest.mark.parametrize("headers", HEADERS, ids=lambda each: str(each)[:60])
def test_odd_headers_change_nothing(world: World, alpha: Place, headers: dict[str, str]):
    for path in ("/api/v1/me", "/api/v1/webhooks", "/api/v1/webhooks/alpha-orders"):
        plain = world.client.get(path, headers=alpha.admin)
        answer = world.client.get(path, headers=alpha.admin | headers)
        assert (answer.status_code, answer.content_type, answer.data) == (200, "application/json", plain.data), path
        assert "evil" not in str(answer.headers)
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_what_comes_back_of_a_request_cannot_hold_a_line_end(world: World, alpha: Place):
    for value in ("a%0d%0aSet-Cookie:%20x=1", "a%0aLocation:%20x"):
        for route in ours(world):
            path = (
                route.path(dict.fromkeys(route.variables, value)) if route.variables else f"{route.rule}?limit={value}"
            )
            answer = world.call(route.method, path, BODIES.get(route.view), headers=alpha.admin | {"If-Match": "*"})
            assert is_problem(answer, 400, 404, 422), (route.name, answer.text[:200])
            assert not any("\n" in each or "\r" in each for pair in answer.headers for each in pair)
            assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "tag", ["", "x", '"x"', "1", 'W/"1"', '"1', "*, *", '"' + "9" * 5000 + '"', "\xff", '"0"', '"-1"']
)
def test_a_tag_that_was_not_read_is_412(world: World, alpha: Place, tag: str):
    for route in ours(world):
        kind, _, noun = route.view.partition("_")
        if noun in ("webhook", "integration", "event_type") and kind in ("replace", "delete", "pause", "disable"):
            values = alpha.values(route)[0]
            body = BODIES.get(route.view)
            if kind == "replace":
                body = body | {"name": values["name"].partition("@")[0]}
            answer = world.call(route.method, route.path(values), body, headers=alpha.admin | {"If-Match": tag})
            assert is_problem(answer, 412), (route.name, tag, answer.text[:300])


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "é", "a\tb", "\x7f"])
def test_a_key_that_is_none_is_422_on_every_write(world: World, alpha: Place, key: str):
    for route in ours(world):
        if route.writes:
            path = route.path(NOBODY | {"kind": "webhook"})
            answer = world.call(
                route.method, path, BODIES.get(route.view), headers=alpha.admin | {"Idempotency-Key": key}
            )
            assert is_problem(answer, 422), (route.name, answer.text[:300])
            assert answer.json["errors"][0] == {
                "pointer": "/Idempotency-Key",
                "message": "1 to 255 visible ASCII characters",
                "code": "INVALID_VALUE",
                "in": "header",
            }


def test_every_answer_has_the_headers_that_browsers_heed(world: World, alpha: Place):
    for path in ("/api/v1/me", "/api/v1/nothing", "/openapi.json", "/docs", "/health/live"):
        headers = world.client.get(path, headers=alpha.admin).headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert "default-src 'none'" in headers["Content-Security-Policy"], path
        assert headers["X-Frame-Options"] == "DENY", path
        assert "Server" not in headers or "/" not in headers["Server"], path

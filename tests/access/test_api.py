"""Access over REST: who may do what, what each answer shows, and that secrets stay secret."""

from __future__ import annotations

import io
import json
import logging
import re
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from openapi_spec_validator import OpenAPIV31SpecValidator
from sqlalchemy import text
from structlog.testing import capture_logs

from server.access.api import Access, blueprint
from server.access.authentication import TokenAuthentication, local_admin
from server.access.keyring import KeyRing, new_key
from server.access.networks import Networks
from server.access.secrets import Secrets
from server.access.throttle import AuthenticationFailures
from server.app import create_app
from server.config import Settings
from server.telemetry.logs import configure
from server.web.permissions import KNOWN, PUBLIC, ROLES, TOKEN_ROLES, declaration
from tests.access.conftest import CAUSE, Services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask import Flask
    from flask.testing import FlaskClient

    from server.store import Scope, Store

FILLED = {"name": "sample", "token_id": "tok_" + "0" * 26, "email": "a@example.com"}
BODIES = {
    "set_secret": {"name": "S", "value": "v"},
    "put_secret": {"value": "v"},
    "rotate_secret": {"value": "v"},
    "create_token": {"name": "t", "role": "viewer"},
    "put_member": {"role": "viewer"},
    "create_workspace": {"name": "fresh"},
    "create_organization": {"name": "fresh"},
}


def routes(app: Flask) -> Iterator[tuple[str, str, str, str]]:
    """Yield (method, path, what it needs, name of the view) of every route."""
    for rule in app.url_map.iter_rules():
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
            path = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: FILLED[found[1]], rule.rule)
            yield method, path, declaration(app, rule.endpoint, method) or "", rule.endpoint.rpartition(".")[2]


@pytest.mark.parametrize("role", TOKEN_ROLES)
def test_each_role_may_call_exactly_what_the_table_says(
    app: Flask, client: FlaskClient, token_for: Callable, role: str
):
    headers = token_for(role)
    seen = set()
    for method, path, needed, view in routes(app):
        answer = client.open(path, method=method, json=BODIES.get(view), headers=headers)
        if needed in (PUBLIC, KNOWN) or needed in ROLES[role]:
            assert answer.status_code < 500, (view, answer.text)
            assert answer.status_code not in (401, 403), (view, answer.text)
        else:
            assert (answer.status_code, answer.json["details"]["permission"]) == (403, needed), view
        seen.add(needed)
    assert {"secrets:list", "secrets:write", "tokens:manage", "audit:read", "workspaces:manage"} <= seen


def test_without_a_token_only_public_routes_answer(app: Flask, client: FlaskClient):
    for method, path, needed, view in routes(app):
        answer = client.open(path, method=method, json=BODIES.get(view))
        assert (answer.status_code == 401) == (needed != PUBLIC), view


def test_a_scoped_token_may_only_what_it_is_scoped_to(app: Flask, client: FlaskClient, token_for: Callable):
    headers = token_for("admin", scopes=["secrets:list"])
    allowed = {
        view
        for method, path, _, view in routes(app)
        if client.open(path, method=method, json=BODIES.get(view), headers=headers).status_code != 403
    }
    assert allowed == {"list_secrets", "show_secret", "who_am_i", "openapi_document", "api_reference", "error_codes"}


def test_a_secret_goes_through_its_life(client: FlaskClient, token_for: Callable):
    admin = token_for()
    made = client.put("/api/v1/secrets/HOOK", json={"value": "one"}, headers=admin)
    assert (made.status_code, made.json["version"]) == (200, 1)
    rotated = client.post("/api/v1/secrets/HOOK/rotate", json={"value": "two", "overlap_seconds": 60}, headers=admin)
    assert [each["version"] for each in rotated.json["versions"]] == [2, 1]
    assert [each["valid_until"] is None for each in rotated.json["versions"]] == [True, False]
    listed = client.get("/api/v1/secrets", headers=admin)
    assert [each["name"] for each in listed.json["items"]] == ["HOOK"]
    assert client.get("/api/v1/secrets/HOOK", headers=admin).json == rotated.json
    assert client.delete("/api/v1/secrets/HOOK", headers=admin).status_code == 204
    assert client.get("/api/v1/secrets/HOOK", headers=admin).json["code"] == "SECRET_MISSING"


NOT_THEIRS: list[tuple[str, dict[str, Any], str]] = [
    ("/api/v1/secrets", {"name": "A", "value": "v", "version": 7}, "/version"),
    ("/api/v1/secrets", {"name": "A", "value": "v", "workspace_id": 2}, "/workspace_id"),
    ("/api/v1/secrets", {"name": "1", "value": "v"}, "/name"),
    ("/api/v1/secrets", {"name": "A\n", "value": "v"}, "/name"),
    ("/api/v1/secrets", {"name": "A", "value": ""}, "/value"),
    ("/api/v1/secrets", {"name": "A", "value": ["v"]}, "/value"),
    ("/api/v1/secrets", {"name": "A", "value": "v" * 65_537}, "/value"),
    ("/api/v1/secrets", {"name": "A", "value": "ä" * 40_000}, "/value"),
    ("/api/v1/tokens", {"name": "t", "role": "instance"}, "/role"),
    ("/api/v1/tokens", {"name": "t", "role": "viewer", "hash": "x"}, "/hash"),
    ("/api/v1/tokens", {"name": "t", "role": "viewer", "organization_id": 2}, "/organization_id"),
    ("/api/v1/tokens", {"name": "t", "role": "viewer", "created_by": "me"}, "/created_by"),
    ("/api/v1/tokens", {"name": "t", "role": "viewer", "scopes": ["events:publish"]}, "/scopes/0"),
    ("/api/v1/tokens", {"name": "t", "role": "viewer", "expires_in_seconds": -1}, "/expires_in_seconds"),
    ("/api/v1/tokens", {"name": "t", "role": "viewer", "expires_in_seconds": True}, "/expires_in_seconds"),
    ("/api/v1/workspaces", {"name": "A B"}, "/name"),
]


def test_nobody_sets_what_is_not_theirs_to_set(client: FlaskClient, token_for: Callable):
    admin = token_for()
    for path, body, pointer in NOT_THEIRS:
        answer = client.post(path, json=body, headers=admin)
        assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, pointer), (path, body)


def test_a_token_is_shown_once_and_works(client: FlaskClient, token_for: Callable):
    admin = token_for()
    made = client.post(
        "/api/v1/tokens", json={"name": "ci", "role": "operator", "expires_in_seconds": 3600}, headers=admin
    )
    assert made.status_code == 201
    token = made.json["token"]
    assert made.json["prefix"] == token[:12]
    mine = {"Authorization": f"Bearer {token}"}
    assert client.get("/api/v1/me", headers=mine).json["role"] == "operator"
    for path in ("/api/v1/tokens", f"/api/v1/tokens/{made.json['id']}", "/api/v1/audit"):
        assert token not in client.get(path, headers=admin).text
    assert client.delete(f"/api/v1/tokens/{made.json['id']}", headers=admin).status_code == 204
    assert client.get(f"/api/v1/tokens/{made.json['id']}", headers=admin).json["revoked_at"]


def test_a_revoked_token_is_refused_by_another_process_too(client: FlaskClient, engine: Store, token_for: Callable):
    admin = token_for()
    made = client.post("/api/v1/tokens", json={"name": "ci", "role": "viewer"}, headers=admin).json
    seconds = [0.0]
    other_process = TokenAuthentication(engine, monotonic=lambda: seconds[0])
    assert other_process(made["token"]) is not None
    client.delete(f"/api/v1/tokens/{made['id']}", headers=admin)
    seconds[0] = 2.0
    assert other_process(made["token"]) is None


def test_a_new_workspace_comes_with_the_token_that_works_in_it(client: FlaskClient, token_for: Callable):
    made = client.post("/api/v1/workspaces", json={"name": "staging"}, headers=token_for())
    assert made.status_code == 201
    inside = {"Authorization": f"Bearer {made.json['token']}"}
    me = client.get("/api/v1/me", headers=inside).json
    assert (me["organization"], me["workspace"], me["role"]) == ("default", "staging", "admin")
    names = [each["name"] for each in client.get("/api/v1/workspaces", headers=inside).json["items"]]
    assert names == ["default", "staging"]


def test_a_token_for_a_person_needs_a_member(client: FlaskClient, token_for: Callable):
    admin = token_for()
    wanted = {"name": "t", "role": "editor", "user": "a@example.com"}
    assert client.post("/api/v1/tokens", json=wanted, headers=admin).status_code == 404
    assert client.put("/api/v1/members/A@example.com", json={"role": "viewer"}, headers=admin).status_code == 204
    token = client.post("/api/v1/tokens", json=wanted, headers=admin).json["token"]
    me = client.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"}).json
    assert (me["kind"], me["role"]) == ("user", "viewer")
    assert client.delete("/api/v1/members/a@example.com", headers=admin).status_code == 204
    assert client.delete("/api/v1/members/a@example.com", headers=admin).status_code == 404


def test_every_change_is_in_the_audit_trail_with_who_and_why(client: FlaskClient, token_for: Callable):
    admin = token_for() | {"X-Correlation-ID": "ticket-7"}
    me = client.get("/api/v1/me", headers=admin).json["id"]
    client.put("/api/v1/secrets/A", json={"value": "x"}, headers=admin)
    client.post("/api/v1/secrets/A/rotate", json={"value": "y"}, headers=admin)
    client.delete("/api/v1/secrets/A", headers=admin)
    client.put("/api/v1/members/a@example.com", json={"role": "viewer"}, headers=admin)
    client.post("/api/v1/workspaces", json={"name": "more"}, headers=admin)
    rows = client.get("/api/v1/audit", headers=admin).json["items"]
    mine = [(each["action"], each["target"]) for each in rows if each["details"]["correlation_id"] == "ticket-7"]
    assert mine == [
        ("workspace.created", "workspace/default/more"),
        ("member.put", "member/a@example.com"),
        ("secret.deleted", "secret/A"),
        ("secret.rotated", "secret/A"),
        ("secret.set", "secret/A"),
    ]
    assert {each["principal"] for each in rows if each["details"]["correlation_id"] == "ticket-7"} == {me}
    only = client.get("/api/v1/audit?action=secret.set&target=secret/A&limit=1", headers=admin).json
    assert [each["action"] for each in only["items"]] == ["secret.set"]


def test_a_change_that_failed_leaves_no_audit_row(client: FlaskClient, token_for: Callable):
    admin = token_for()
    client.post("/api/v1/secrets/NOTHING/rotate", json={"value": "y"}, headers=admin)
    client.delete("/api/v1/secrets/NOTHING", headers=admin)
    assert client.get("/api/v1/audit?target=secret/NOTHING", headers=admin).json["items"] == []


def test_listings_go_on_where_they_stopped(client: FlaskClient, token_for: Callable):
    admin = token_for()
    for number in range(5):
        client.put(f"/api/v1/secrets/S{number}", json={"value": "x"}, headers=admin)
        client.post("/api/v1/tokens", json={"name": f"t{number}", "role": "viewer"}, headers=admin)
    for path, expected in (("/api/v1/secrets", 5), ("/api/v1/tokens", 6), ("/api/v1/audit", 11)):
        seen: list[str] = []
        answer: dict[str, Any] = client.get(f"{path}?limit=2", headers=admin).json
        while True:
            seen += [each.get("id") or each["name"] for each in answer["items"]]
            if answer["next"] is None:
                break
            answer = client.get(f"{path}?limit=2&cursor={answer['next']}", headers=admin).json
        assert len(seen) == len(set(seen)) == expected, path


def test_what_another_workspace_owns_is_not_found(
    client: FlaskClient, store: Store, secrets: Secrets, token_for: Callable, theirs: Scope
):
    with store.begin(theirs, CAUSE) as tx:
        secrets.set(tx, "THEIRS", "hidden")
    admin, other = token_for(), token_for("admin", theirs)
    their_token = client.get("/api/v1/tokens", headers=other).json["items"][0]["id"]
    client.put("/api/v1/members/them@example.com", json={"role": "viewer"}, headers=other)
    for method, path, body in [
        ("GET", "/api/v1/secrets/THEIRS", None),
        ("POST", "/api/v1/secrets/THEIRS/rotate", {"value": "x"}),
        ("DELETE", "/api/v1/secrets/THEIRS", None),
        ("GET", f"/api/v1/tokens/{their_token}", None),
        ("DELETE", f"/api/v1/tokens/{their_token}", None),
        ("GET", "/api/v1/tokens/not-an-id", None),
        ("GET", "/api/v1/tokens/tok_zzzzzzzzzzzzzzzzzzzzzzzzzz", None),
        ("DELETE", "/api/v1/members/them@example.com", None),
    ]:
        assert client.open(path, method=method, json=body, headers=admin).status_code == 404, path
    assert client.get(f"/api/v1/tokens/{their_token}", headers=other).json["revoked_at"] is None
    assert client.get("/api/v1/secrets/THEIRS", headers=other).json["version"] == 1


CANARIES = [f"canary-{name}-7f3a9c" for name in ("first", "second", "third", "refused", "broken", "keyed")]


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the product's own logging writes while a test runs."""
    root = logging.getLogger()
    handlers, level, written = root.handlers[:], root.level, io.StringIO()
    configure("api", "debug", written)
    yield written
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def test_no_secret_value_is_in_any_answer_log_row_or_error(
    client: FlaskClient, engine: Store, token_for: Callable, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
):
    first, second, third, refused, broken, keyed = CANARIES
    admin = token_for()
    answers = [
        client.put("/api/v1/secrets/A", json={"value": first}, headers=admin),
        client.post("/api/v1/secrets", json={"name": "B", "value": second}, headers=admin),
        client.post("/api/v1/secrets/A/rotate", json={"value": third}, headers=admin),
        client.post("/api/v1/secrets", json={"name": "1bad", "value": refused}, headers=admin),
        client.post("/api/v1/secrets", json={"name": "C", "value": refused, refused: 1}, headers=admin),
        client.put(
            "/api/v1/secrets/A",
            data=json.dumps({"value": refused})[:-1],
            content_type="application/json",
            headers=admin,
        ),
        client.put("/api/v1/secrets/K", json={"value": keyed}, headers=admin | {"Idempotency-Key": "k"}),
        client.put("/api/v1/secrets/K", json={"value": keyed}, headers=admin | {"Idempotency-Key": "k"}),
        client.get("/api/v1/secrets", headers=admin),
        client.get("/api/v1/audit", headers=admin),
    ]
    monkeypatch.setattr("server.access.audit.record", _break)
    answers.append(client.put("/api/v1/secrets/A", json={"value": broken}, headers=admin))
    assert [each.status_code for each in answers] == [200, 200, 200, 422, 422, 400, 200, 200, 200, 200, 500]
    with engine.connect() as connection:
        connection.execute(text("RESET ROLE"))
        tables = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars().all()
        dump = " ".join(
            str(connection.execute(text(f'SELECT string_agg(t::text, chr(10)) FROM "{table}" t')).scalar())
            for table in tables
        )
        connection.execute(text("SET ROLE crossdock_engine"))
    everything = " ".join([*(each.text for each in answers if each is not answers[4]), log.getvalue(), dump])
    assert "secret/A" in dump
    assert "division by zero" in log.getvalue()
    hexed = [each.encode().hex() for each in CANARIES]
    assert [each for each in CANARIES + hexed if each in everything] == []


def _break(tx: Any, *_: Any, **__: Any) -> None:
    tx.run("SELECT 1 / 0 AS oh")


def test_whoever_runs_the_instance_rewraps_the_secrets_of_all_workspaces(
    store: Store, engine: Store, ours: Scope, theirs: Scope
):
    old, new = new_key("old"), new_key("new")
    for scope in (ours, theirs):
        with store.begin(scope, CAUSE) as tx:
            Secrets(KeyRing.read(old)).set(tx, "A", str(scope))
    secrets = Secrets(KeyRing.read(f"{new},{old}"))
    local = local_admin(engine, "default")
    room = blueprint(Access(store, engine, secrets, Networks(engine, [])))
    app = create_app(Services(Settings(), store, lambda _: local, AuthenticationFailures(), [room]))
    answer = app.test_client().post("/api/v1/secret-keys/rewrap")
    assert (answer.status_code, answer.json) == (200, {"key": "new", "count": 2, "left": 0})
    for scope in (ours, theirs):
        with store.begin(scope, CAUSE) as tx:
            assert Secrets(KeyRing.read(new)).resolve(tx, "A") == [str(scope)]


def test_the_document_of_access_is_valid(client: FlaskClient):
    OpenAPIV31SpecValidator(client.get("/openapi.json").json).validate()


def test_a_request_with_a_token_logs_the_principal_and_not_the_token(client: FlaskClient, token_for: Callable):
    headers = token_for("viewer")
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        client.get("/api/v1/me", headers=headers)
    [line] = [each for each in logs if each["event"] == "request"]
    assert line["principal"].startswith("token:tok_")
    assert headers["Authorization"].partition(" ")[2] not in str(logs)

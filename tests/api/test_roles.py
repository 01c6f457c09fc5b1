"""Each role, and each scope of a token, may call exactly the routes that the table of permissions says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.web.permissions import KNOWN, PERMISSIONS, PUBLIC, ROLES, TOKEN_ROLES
from tests.api.routes import BODIES, routes
from tests.api.test_workspaces import NOBODY

if TYPE_CHECKING:
    from collections.abc import Collection

    from werkzeug.test import TestResponse

    from tests.api.routes import Route
    from tests.api.world import Place, World

VALUES = NOBODY | {"kind": "webhook"}


def refused(world: World, headers: dict[str, str], allowed: Collection[str]) -> list[str]:
    """Call every route; return those that answer otherwise than a holder of these permissions should see."""
    found = []
    for route in routes(world.app):
        answer = call(world, route, headers)
        lacking = answer.status_code == 403 and answer.json["code"] == "FORBIDDEN"
        told = answer.json["details"] == {"permission": route.needs} if lacking else True
        meant = route.needs not in (KNOWN, *allowed)
        if lacking != meant or not told or answer.status_code == 401 or answer.status_code >= 500:
            found.append(f"{route.name}: {answer.status_code} {answer.text}")
    return found


def call(world: World, route: Route, headers: dict[str, str]) -> TestResponse:
    return world.call(route.method, route.path(VALUES), BODIES.get(route.view), headers=headers)


def test_each_role_may_exactly_what_the_table_says(world: World, alpha: Place):
    for role in TOKEN_ROLES:
        assert refused(world, alpha.headers[role], ROLES[role]) == [], role


def test_each_scope_allows_its_own_routes_and_no_other(world: World, alpha: Place):
    for permission in sorted(ROLES["admin"]):
        headers, _ = world.token(alpha.scope, "admin", scopes=[permission])
        assert refused(world, headers, {permission}) == [], permission


def test_every_permission_is_needed_somewhere_and_no_route_is_open(world: World):
    needed = {each.needs for each in routes(world.app)}
    assert needed - {KNOWN} == set(PERMISSIONS)
    assert PUBLIC not in needed


def test_what_only_the_instance_may_no_token_may(world: World, alpha: Place):
    only = ROLES["instance"] - ROLES["admin"]
    assert only == {"keys:rotate", "networks:manage", "organizations:manage"}
    for route in routes(world.app):
        if route.needs in only:
            assert call(world, route, alpha.admin).status_code == 403, route.name
    made = world.call("POST", "/api/v1/tokens", {"name": "t", "role": "instance"}, headers=alpha.admin)
    assert made.status_code == 422


def test_nobody_makes_a_token_that_may_more_than_they_may(world: World, alpha: Place):
    headers, _ = world.token(alpha.scope, "admin", scopes=["tokens:manage", "events:read"])
    for body in ({"role": "admin"}, {"role": "viewer"}, {"role": "admin", "scopes": ["secrets:write"]}):
        made = world.call("POST", "/api/v1/tokens", {"name": "t", **body}, headers=headers)
        assert (made.status_code, made.json["code"]) == (403, "TOKEN_TOO_STRONG"), body
    made = world.call(
        "POST", "/api/v1/tokens", {"name": "t", "role": "viewer", "scopes": ["events:read"]}, headers=headers
    )
    assert made.status_code == 201


def test_without_a_token_every_route_is_the_same_401(world: World):
    bodies = set()
    for route in routes(world.app):
        answer = world.call(route.method, route.path(VALUES), BODIES.get(route.view))
        assert answer.status_code == 401, route.name
        bodies.add(
            (answer.json["code"], answer.json["title"], answer.json["detail"], answer.headers["WWW-Authenticate"])
        )
    assert len(bodies) == 1

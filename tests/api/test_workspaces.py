"""Two workspaces that try to see each other, over every route: whatever the other one owns is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.api.routes import BODIES, Route, routes

if TYPE_CHECKING:
    from tests.api.world import Place, World

SHARED = {"GET /api/v1/plugins/<name>": 200}
"""Routes of what belongs to the whole instance, with what they answer anybody."""
MAKING = ("put_secret", "put_member")
"""Views that make what they name, in the caller's own workspace."""
ASKED = {"/api/v1/stream": "?since=2020-01-01T00:00:00Z", "/api/v1/subjects/history": "?subject=webhook/alpha-orders"}
"""What those listings are asked that show nothing without a question."""
NOBODY = {
    "name": "none-such",
    "event_id": "none-such",
    "email": "nobody@example.com",
    "delivery_id": "dlv_" + "0" * 26,
    "letter_id": "dead_" + "0" * 26,
    "replay_id": "rpl_" + "0" * 26,
    "request_id": "req_" + "0" * 26,
    "run_id": "run_" + "0" * 26,
    "conflict_id": "cfl_" + "0" * 26,
    "key": "999",
    "path": "nothing",
    "token_id": "tok_" + "0" * 26,
}


@pytest.fixture(scope="module")
def strangers(world: World) -> list[Place]:
    """A workspace of another organization, and another one of alpha's own."""
    return [world.place("second", "beta"), world.place("first", "gamma")]


def body_for(route: Route, values: dict[str, str]) -> Any:
    """Return a body that would fit, were the thing there."""
    body = BODIES.get(route.view)
    if not route.view.startswith("replace_"):
        return body
    name, _, version = values["name"].partition("@")
    return body | {"name": name} | ({"version": int(version)} if version else {})


def nobody(values: dict[str, str]) -> dict[str, str]:
    """Return values of the same form that name nothing anywhere."""
    return {key: NOBODY.get(key, value) for key, value in values.items()}


def test_what_another_workspace_owns_is_not_there_whatever_the_verb(world: World, alpha: Place, strangers: list[Place]):
    before = world.rows_of(alpha)
    seen = set()
    for stranger in strangers:
        headers = stranger.admin | {"If-Match": "*"}
        for route in routes(world.app):
            if not route.variables or route.view in MAKING:
                continue
            for values in alpha.values(route):
                answer = world.call(route.method, route.path(values), body_for(route, values), headers=headers)
                about = (route.name, values, answer.status_code, answer.text)
                assert answer.status_code == SHARED.get(route.name, 404), about
                # Their own words come back in the message; anything else of alpha would be a leak.
                text = answer.text
                for value in values.values():
                    text = text.replace(value, "")
                assert alpha.word not in text.lower(), about
                if answer.status_code == 404:
                    other = world.call(
                        route.method, route.path(nobody(values)), body_for(route, values), headers=headers
                    )
                    assert (other.status_code, other.json["code"], other.json["title"]) == (
                        404,
                        answer.json["code"],
                        answer.json["title"],
                    ), about
            seen.add(route.rule)
    assert len(seen) > 30
    assert world.rows_of(alpha) == before


def test_no_listing_shows_anything_of_another_workspace(world: World, alpha: Place, strangers: list[Place]):
    listings = [each for each in routes(world.app) if each.method == "GET" and not each.variables]
    paths = [each.rule + ASKED.get(each.rule, "") for each in listings] + [
        "/health",
        "/metrics",
        "/api/v1/dead-letters?resolved=true",
    ]
    assert len(listings) > 14
    for stranger in strangers:
        for path in paths:
            text = everything(world, stranger, path)
            same_organization = stranger.scope.organization_id == alpha.scope.organization_id
            if path == "/api/v1/workspaces" and same_organization:
                assert alpha.word in text
            else:
                assert alpha.word not in text.lower(), path


def test_every_listing_shows_what_is_ones_own(world: World, alpha: Place):
    elsewhere = {"/api/v1/plugins", "/api/v1/metrics"}
    for route in routes(world.app):
        if route.method == "GET" and not route.variables and route.rule not in elsewhere:
            asked = route.rule + ASKED.get(route.rule, "")
            assert alpha.word in everything(world, alpha, asked).lower(), route.name


def everything(world: World, place: Place, path: str) -> str:
    """Return all pages of a listing, one item a page, or the one answer of what is no listing."""
    separator = "&" if "?" in path else "?"
    pages, cursor = [], ""
    while True:
        query = f"{separator}limit=1{cursor}"
        answer = world.call("GET", f"{path}{query}", headers=place.admin)
        if answer.status_code == 422:  # no listing
            answer = world.call("GET", path, headers=place.admin)
        assert answer.status_code in (200, 503), (path, answer.text)
        pages.append(answer.text)
        following = answer.json.get("next") if answer.is_json else None
        if following is None:
            return "\n".join(pages)
        cursor = f"&cursor={following}"


def test_filters_that_name_what_another_workspace_owns_find_nothing(world: World, alpha: Place, strangers: list[Place]):
    word = alpha.word
    for stranger in strangers:
        for path in (
            f"deliveries?event={word}-evt-1",
            f"events?type={word}.created",
            f"audit?target=secret/{word.upper()}_HOOK",
            f"definitions?origin=folder:{word}",
            f"webhooks?metadata.owner={word}-people",
        ):
            answer = world.call("GET", f"/api/v1/{path}", headers=stranger.admin)
            assert (answer.status_code, answer.json["items"]) == (200, []), path
        for path in (
            f"deliveries?webhook={word}-orders",
            f"dead-letters?owner=webhook/{word}-broken",
            f"inbound-requests?webhook={word}-in",
            f"flow-runs?flow={word}-flow",
        ):
            assert world.call("GET", f"/api/v1/{path}", headers=stranger.admin).status_code == 404, path
        export = world.call("GET", f"/api/v1/definitions/export?origin=folder:{word}", headers=stranger.admin)
        assert export.json == {"files": []}


def test_a_cursor_of_another_workspace_leads_to_nothing_of_it(world: World, alpha: Place, strangers: list[Place]):
    for route in routes(world.app):
        if route.method != "GET" or route.variables:
            continue
        page = world.call("GET", f"{route.rule}?limit=1", headers=alpha.admin)
        if page.status_code == 200 and page.json.get("next"):
            for stranger in strangers:
                answer = world.call("GET", f"{route.rule}?cursor={page.json['next']}", headers=stranger.admin)
                assert answer.status_code == 200, route.name
                assert alpha.word not in answer.text.lower() or route.rule == "/api/v1/workspaces", route.name


def test_bodies_that_name_what_another_workspace_owns_reach_nothing(world: World, alpha: Place, strangers: list[Place]):
    before = world.rows_of(alpha)
    word, upper = alpha.word, alpha.word.upper()
    for stranger in strangers:

        def post(path: str, body: Any, stranger: Place = stranger) -> Any:
            return world.call("POST", f"/api/v1/{path}", body, headers=stranger.admin)

        assert post("dead-letters/retry", {"owner": f"webhook/{word}-broken"}).status_code == 404
        assert post("tokens", {"name": "t", "role": "viewer", "user": alpha.email}).status_code == 404
        again = post("events", {"type": "some.thing", "data": {}, "id": f"{word}-evt-1"})
        assert again.json == {"id": f"{word}-evt-1", "duplicate": False}
        hook = {"name": "thief", "direction": "outbound", "events": ["x"]}
        for stolen in (
            {"integration": f"{word}-shop"},
            {
                "url": "https://thief.example.com",
                "sign": {"scheme": "standard-webhooks", "key": {"secret": f"{upper}_HOOK"}},
            },
        ):
            answer = post("webhooks", hook | stolen)
            assert answer.status_code == 422, answer.text
    assert world.rows_of(alpha) == before


def test_a_key_of_one_workspace_is_another_key_in_another(world: World, alpha: Place, strangers: list[Place]):
    answers = [
        world.call(
            "POST",
            "/api/v1/events",
            {"type": "same.body", "data": {}},
            headers=place.admin | {"Idempotency-Key": "one-for-all"},
        )
        for place in (alpha, *strangers, alpha)
    ]
    assert [each.headers.get("Idempotent-Replayed") for each in answers] == [None, None, None, "true"]
    assert len({each.json["id"] for each in answers}) == 3
    assert answers[0].data == answers[3].data


def test_the_same_name_is_another_thing_in_another_workspace(world: World, alpha: Place):
    before = world.rows_of(alpha)
    for organization, workspace in (("first", "delta"), ("third", "epsilon")):
        other = world.place(organization, workspace)
        for route in routes(world.app):
            for values in alpha.values(route) if route.view in MAKING else ():
                made = world.call(route.method, route.path(values), BODIES[route.view], headers=other.admin)
                assert made.status_code < 300, (route.name, made.text)
                gone = world.call("DELETE", route.path(values), headers=other.admin)
                assert gone.status_code == 204, (route.name, gone.text)
    assert world.rows_of(alpha) == before

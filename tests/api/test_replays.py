"""`Idempotency-Key` on every write: its work is done once, and the answer comes again byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from server.sdk.signing import generate_secret
from tests.api.routes import BODIES, Route, routes

if TYPE_CHECKING:
    from tests.api.world import Place, World

SHOWN_ONCE = {"create_token", "create_workspace"}
INSTANCE = {"create_organization", "rewrap_secrets", "set_networks"}
UPSTREAM = {"test_integration", "call_integration", "discover_integration"}
"""What is asked of another system: its answer may be another one, so only ours is compared."""
WRITTEN = {"preview_sync_job", "reconcile_sync_job", "revert_sync_run", "preview_sync_revert", "replay_sync_record"}
"""What needs records of a run at a target, which this world has not: tests/syncs asks it."""
HOOK = BODIES["create_webhook"]
SHOP = BODIES["create_integration"]
FLOW = BODIES["create_flow"]
TYPE = BODIES["create_event_type"]
JOB = {
    "name": "made",
    "source": {"call": "alpha-shop.resource.list", "path": "/things", "primary_key": ["id"]},
    "target": {"call": "alpha-shop.resource.write", "path": "/things", "match_on": ["id"]},
}

STEPS: list[tuple[str, dict[str, str], Any]] = [
    ("publish", {}, BODIES["publish"]),
    ("trigger_webhook", {"name": "alpha-orders"}, {"payload": {"order_id": "1"}}),
    ("create_inbound_request", {"name": "alpha-in"}, BODIES["create_inbound_request"]),
    ("retry_inbound_request", {"request_id": "first"}, None),
    ("retry_delivery", {"delivery_id": "first"}, None),
    ("retry_all", {}, {"owner": "webhook/alpha-broken"}),
    ("retry_dead_letter", {"letter_id": "first"}, None),
    ("discard_dead_letter", {"letter_id": "first"}, None),
    ("start_replay", {}, BODIES["start_replay"]),
    *((f"{action}_replay", {"replay_id": "first"}, None) for action in ("pause", "resume", "cancel")),
    ("set_secret", {}, {"name": "REPLAYED", "value": generate_secret()}),
    ("put_secret", {"name": "REPLAYED"}, {"value": "two"}),
    ("rotate_secret", {"name": "REPLAYED"}, {"value": "three"}),
    ("delete_secret", {"name": "REPLAYED"}, None),
    ("create_token", {}, BODIES["create_token"]),
    ("revoke_token", {"token_id": "first"}, None),
    ("put_member", {"email": "again@example.com"}, {"role": "viewer"}),
    ("remove_member", {"email": "again@example.com"}, None),
    ("create_workspace", {}, {"name": "replayed"}),
    ("check_definitions", {}, BODIES["check_definitions"]),
    ("test_definitions", {}, BODIES["test_definitions"]),
    ("plan_definitions", {}, BODIES["plan_definitions"]),
    ("apply_definitions", {}, BODIES["apply_definitions"]),
    ("create_webhook", {}, HOOK),
    ("replace_webhook", {"name": "made"}, {**HOOK, "description": "two"}),
    ("rollback_definition", {"kind": "webhook", "name": "made"}, {"version": 1}),
    ("create_integration", {}, SHOP),
    ("replace_integration", {"name": "made"}, {**SHOP, "description": "two"}),
    ("create_event_type", {}, TYPE),
    ("replace_event_type", {"name": "made.here@2"}, {**TYPE, "description": "two"}),
    ("test_integration", {"name": "alpha-shop"}, None),
    ("call_integration", {"name": "alpha-shop"}, BODIES["call_integration"]),
    ("discover_integration", {"name": "alpha-shop"}, BODIES["discover_integration"]),
    ("create_sync_job", {}, JOB),
    ("replace_sync_job", {"name": "made"}, {**JOB, "description": "two"}),
    ("start_sync_run", {"name": "alpha-sync"}, BODIES["start_sync_run"]),
    ("cancel_sync_run", {"run_id": "first"}, None),
    ("resolve_sync_conflict", {"conflict_id": "first"}, BODIES["resolve_sync_conflict"]),
    ("create_flow", {}, FLOW),
    ("replace_flow", {"name": "made"}, {**FLOW, "description": "two"}),
    ("start_flow_run", {"name": "alpha-saga"}, BODIES["start_flow_run"]),
    ("approve_flow_step", {"run_id": "flow 1", "path": "allowed"}, {"comment": "yes"}),
    ("reject_flow_step", {"run_id": "flow 2", "path": "allowed"}, {"comment": "no"}),
    ("cancel_flow_run", {"run_id": "flow 0"}, {"undo": False}),
    ("retry_flow_run", {"run_id": "flow 3"}, {"from_step": None}),
    ("compensate_flow_run", {"run_id": "flow 4"}, None),
    *((f"{action}_{noun}", {"name": "made"}, {"reason": action}) for noun in ("flow", "sync_job", "webhook", "integration") for action in
      ("pause", "resume", "disable", "activate")),
    *((f"delete_{noun}", {"name": name}, None) for noun, name in
      (("flow", "made"), ("sync_job", "made"), ("webhook", "made"), ("integration", "made"), ("event_type", "made.here@2"))),
    *((f"restore_{noun}", {"name": name}, None) for noun, name in
      (("integration", "made"), ("webhook", "made"), ("event_type", "made.here@2"), ("sync_job", "made"), ("flow", "made"))),
]  # fmt: skip
"""Every write, in an order in which each succeeds."""


@pytest.fixture(scope="module")
def views(world: World) -> dict[str, Route]:
    return {each.view: each for each in routes(world.app) if each.writes}


def test_every_write_is_here(views: dict[str, Route]):
    assert {view for view, _, _ in STEPS} | INSTANCE | WRITTEN == views.keys()


def test_a_write_with_a_key_is_done_once_and_answered_twice(world: World, alpha: Place, views: dict[str, Route]):
    first = {"delivery_id": alpha.delivered, "letter_id": alpha.letters[0], "token_id": alpha.token_ids[0]}
    first |= {"replay_id": alpha.replays[0], "request_id": alpha.requests[0]}
    first |= {"run_id": alpha.runs[0], "conflict_id": alpha.conflicts[0]}
    for number, (view, given, body) in enumerate(STEPS):
        values = {key: first.get(key, value) if value == "first" else value for key, value in given.items()}
        values |= {key: alpha.flow_runs[int(value[5:])] for key, value in values.items() if value.startswith("flow ")}
        path = views[view].path(values)
        headers = alpha.admin | {"If-Match": "*", "Idempotency-Key": f"key-{number}"}
        answer = world.call(views[view].method, path, body, headers=headers)
        assert answer.status_code < 300, (view, answer.text)
        assert "Idempotent-Replayed" not in answer.headers, view

        before = world.rows_of(alpha)
        again = world.call(views[view].method, path, body, headers=headers)
        assert world.rows_of(alpha) == before, view
        if view in SHOWN_ONCE:
            assert (again.status_code, again.json["code"]) == (409, "ANSWER_NOT_KEPT"), view
        else:
            assert (again.status_code, again.data) == (answer.status_code, answer.data), view
            for header in ("Content-Type", "ETag", "Location"):
                assert again.headers.get(header) == answer.headers.get(header), (view, header)
            assert again.headers["Idempotent-Replayed"] == "true", view

        other = world.call(views[view].method, path, {**(body or {}), "reason": "another"}, headers=headers)
        assert other.status_code == 422, (view, other.text)
        assert body is None or other.json["code"] in ("IDEMPOTENCY_KEY_REUSED", "INVALID"), (view, other.text)
        assert world.rows_of(alpha) == before, view


def test_without_a_key_the_work_is_done_again(world: World, alpha: Place):
    ids = [world.call("POST", "/api/v1/events", BODIES["publish"], headers=alpha.admin).json["id"] for _ in range(2)]
    assert ids[0] != ids[1]


def test_a_key_stands_for_one_path_of_one_method(world: World, alpha: Place):
    headers = alpha.admin | {"Idempotency-Key": "one-key"}
    answers = [
        world.call("PUT", "/api/v1/secrets/ONE", {"value": "x"}, headers=headers),
        world.call("PUT", "/api/v1/secrets/TWO", {"value": "x"}, headers=headers),
        world.call("DELETE", "/api/v1/secrets/ONE", headers=headers),
        world.call("PUT", "/api/v1/secrets/ONE", {"value": "x"}, headers=headers),
    ]
    assert [each.headers.get("Idempotent-Replayed") for each in answers] == [None, None, None, "true"]


def test_who_may_not_write_is_not_answered_by_a_key(world: World, alpha: Place):
    headers = {"Idempotency-Key": "shared"}
    made = world.call("PUT", "/api/v1/secrets/SHARED", {"value": "x"}, headers=alpha.admin | headers)
    assert made.status_code == 200
    again = world.call("PUT", "/api/v1/secrets/SHARED", {"value": "x"}, headers=alpha.headers["viewer"] | headers)
    assert again.status_code == 403
    assert world.call("PUT", "/api/v1/secrets/SHARED", {"value": "x"}, headers=headers).status_code == 401

"""The life of an Integration, a Webhook and a SyncJob: every move that the table has, and every one that it has not."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.integrations.aggregate import Integration
from server.kernel.errors import Conflict
from server.kernel.ids import new_uuid
from server.kernel.lifecycle import TRANSITIONS, Action, Declared, State
from server.syncs.aggregate import SyncJob, SyncJobTriggered
from server.webhooks.aggregate import Webhook, WebhookTriggered

KINDS = [Integration, Webhook, SyncJob]
PAIRS = list(product(get_args(State), get_args(Action)))
ALLOWED = [pair for pair in PAIRS if pair in TRANSITIONS]
FORBIDDEN = [pair for pair in PAIRS if pair not in TRANSITIONS]
WAYS: dict[State, list[Action]] = {
    "draft": [],
    "active": ["activate"],
    "paused": ["activate", "pause"],
    "failing": ["activate", "fail"],
    "disabled": ["activate", "disable"],
    "archived": ["archive"],
}


def declared(kind: type[Declared], state: State = "draft") -> Declared:
    """Make one and bring it to a state by the moves that lead there."""
    aggregate = kind(new_uuid())
    aggregate.create("orders", {"events": ["order.created"]}, 1, {})
    for action in WAYS[state]:
        aggregate.act(action)
    assert aggregate.state == state
    return aggregate


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("state", "action"), ALLOWED)
def test_each_move_of_the_table_leads_where_it_says_and_records_one_event(
    kind: type[Declared], state: State, action: Action
) -> None:
    aggregate = declared(kind, state)
    before = len(aggregate.uncommitted)
    aggregate.act(action, "because")
    assert aggregate.state == TRANSITIONS[state, action]
    assert len(aggregate.uncommitted) == before + 1
    assert type(aggregate.uncommitted[-1]) is kind.moves[action]
    assert aggregate.uncommitted[-1].data() == {"reason": "because"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("state", "action"), FORBIDDEN)
def test_each_move_outside_the_table_is_refused_and_records_nothing(
    kind: type[Declared], state: State, action: Action
) -> None:
    aggregate = declared(kind, state)
    before = aggregate.version
    with pytest.raises(Conflict) as refused:
        aggregate.act(action)
    assert refused.value.failure.code == "WRONG_STATE"
    assert refused.value.details == {"state": state, "allowed": [each for at, each in TRANSITIONS if at == state]}
    assert all(f"`{way}`" in refused.value.message for way in ("activate", "resume", "restore") if leads_on(state, way))
    assert (aggregate.state, aggregate.version) == (state, before)


def leads_on(state: State, way: Action) -> bool:
    """Say whether a person gets what is in a state going by that action."""
    return (state, way) in TRANSITIONS


@pytest.mark.parametrize("kind", KINDS)
def test_every_state_can_be_reached_and_only_a_person_brings_one_back(kind: type[Declared]) -> None:
    assert {TRANSITIONS[pair] for pair in ALLOWED} == set(get_args(State))
    assert set(kind.moves) == set(get_args(Action))


@pytest.mark.parametrize("kind", KINDS)
def test_create_records_one_event_and_activate_a_second(kind: type[Declared]) -> None:
    aggregate = kind(new_uuid())
    aggregate.create("orders", {"a": 1}, 1, {"team": "sales"})
    assert [each.type() for each in aggregate.uncommitted] == [f"crossdock.{kind.kind}.created"]
    aggregate.activate()
    assert [each.type() for each in aggregate.uncommitted] == [
        f"crossdock.{kind.kind}.created",
        f"crossdock.{kind.kind}.activated",
    ]
    assert (aggregate.state, aggregate.version, aggregate.stored_version) == ("active", 2, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_what_exists_is_not_created_again_and_what_is_archived_is_not_changed(kind: type[Declared]) -> None:
    aggregate = declared(kind, "archived")
    with pytest.raises(Conflict):
        aggregate.create("orders", {}, 1, {})
    with pytest.raises(Conflict):
        aggregate.change({}, 2, {})


@pytest.mark.parametrize("state", ["paused", "failing", "disabled", "active", "draft"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_version_leaves_the_state_as_it_is(kind: type[Declared], state: State) -> None:
    aggregate = declared(kind, state)
    aggregate.change({"new": True}, 2, {"team": "it"})
    assert (aggregate.state, aggregate.body, aggregate.definition_version) == (state, {"new": True}, 2)
    assert aggregate.metadata == {"team": "it"}


@pytest.mark.parametrize("state", ["active", "paused", "failing", "disabled"])
def test_a_trigger_by_hand_is_a_fact_that_leaves_the_state_alone(state: State) -> None:
    webhook = declared(Webhook, state)
    assert isinstance(webhook, Webhook)
    sent = webhook.trigger({"order_id": "SO-1"}, "user:anna", "evt_1")
    assert sent == {"id": "evt_1", "type": "order.created", "data": {"order_id": "SO-1"}}
    assert webhook.uncommitted[-1] == WebhookTriggered(user="user:anna", event_id="evt_1", event_type="order.created")
    assert webhook.state == state


@pytest.mark.parametrize("state", ["draft", "archived"])
def test_a_draft_and_an_archived_webhook_send_nothing(state: State) -> None:
    webhook = declared(Webhook, state)
    assert isinstance(webhook, Webhook)
    with pytest.raises(Conflict):
        webhook.trigger({}, "user:anna", "evt_1")


@pytest.mark.parametrize("state", ["active", "paused", "failing"])
def test_a_run_by_hand_is_a_fact_that_leaves_the_state_alone(state: State) -> None:
    job = declared(SyncJob, state)
    assert isinstance(job, SyncJob)
    job.trigger("user:anna", "run_1")
    assert job.uncommitted[-1] == SyncJobTriggered(user="user:anna", run_id="run_1")
    assert job.uncommitted[-1].type() == "crossdock.sync_job.triggered"
    assert job.state == state


@pytest.mark.parametrize("state", ["draft", "disabled", "archived"])
def test_a_sync_job_that_is_not_at_work_is_not_run_by_hand(state: State) -> None:
    job = declared(SyncJob, state)
    assert isinstance(job, SyncJob)
    with pytest.raises(Conflict) as refused:
        job.trigger("user:anna", "run_1")
    assert refused.value.code == "WRONG_STATE"
    assert refused.value.message.startswith(f"sync job orders is {state}: it cannot run; `")


STEPS = st.lists(st.one_of(st.sampled_from([*get_args(Action), "trigger"]), st.dictionaries(st.text(), st.integers())))


@pytest.mark.parametrize("kind", KINDS)
@given(steps=STEPS)
def test_folding_the_events_gives_the_living_state_at_every_point(kind: type[Declared], steps: list[object]) -> None:
    live = kind(new_uuid())
    live.create("orders", {"events": []}, 1, {"team": "sales"})
    snapshots = [_state(live)]
    for number, step in enumerate(steps, 2):
        try:
            if isinstance(step, dict):
                live.change(step, number, step)
            elif step == "trigger":
                if isinstance(live, Webhook):
                    live.trigger({}, "user:anna", "evt_1")
                elif isinstance(live, SyncJob):
                    live.trigger("user:anna", "run_1")
            else:
                live.act(step)  # type: ignore[arg-type]
        except Conflict:
            continue
        if len(live.uncommitted) > len(snapshots):
            snapshots.append(_state(live))
    stored = [(event.type(), event.data()) for event in live.uncommitted]
    for count, snapshot in enumerate(snapshots, 1):
        events = [kind.event_of(type_, data) for type_, data in stored[:count]]
        assert _state(kind.fold(live.id, events)) == snapshot


def _state(aggregate: Declared) -> dict[str, object]:
    return {name: value for name, value in vars(aggregate).items() if name != "uncommitted"}

"""A replay's life is one table: what it has, happens and is told; what it lacks, is refused."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from server.kernel.errors import Conflict
from server.replays.aggregate import (
    FINAL,
    STATES,
    TRANSITIONS,
    WORKING,
    Replay,
    ReplayCancelled,
    ReplayCounted,
    ReplayFailed,
    ReplayFinished,
    ReplayMoved,
    ReplayPaused,
    ReplayResumed,
)

MOVES: list[ReplayMoved] = [
    ReplayCounted(total=1),
    ReplayPaused(),
    ReplayResumed(),
    ReplayCancelled(),
    ReplayFailed(error={}),
    ReplayFinished(done=1, skipped=0),
]
WAYS: dict[str, list[ReplayMoved]] = {
    "counting": [],
    "running": [MOVES[0]],
    "paused": [MOVES[1]],
    "done": [MOVES[0], MOVES[5]],
    "cancelled": [MOVES[3]],
    "failed": [MOVES[4]],
}


def replay_in(state: str) -> Replay:
    replay = Replay(uuid4())
    replay.start({"webhook": "hook"}, {"payload": "original"})
    for event in WAYS[state]:
        replay.move(event)
    assert replay.state == state
    return replay


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("event", MOVES, ids=lambda event: event.action)
def test_every_pair_of_state_and_action_is_in_the_table_or_refused(state: str, event: ReplayMoved) -> None:
    replay = replay_in(state)
    becomes: Any = TRANSITIONS.get((replay.state, event.action))
    if becomes is None:
        with pytest.raises(Conflict) as refused:
            replay.move(event)
        assert refused.value.code == "WRONG_STATE"
        assert replay.state == state
        assert refused.value.details["state"] == state
    else:
        replay.move(event)
        assert replay.state == becomes


def test_the_table_speaks_of_known_states_and_final_ones_have_no_way_out() -> None:
    assert {state for state, _ in TRANSITIONS} | set(TRANSITIONS.values()) == set(STATES)
    assert {state for state, _ in TRANSITIONS} & FINAL == set()
    assert set() == WORKING & FINAL


def test_a_refusal_lists_what_a_person_may_do_instead() -> None:
    with pytest.raises(Conflict) as refused:
        replay_in("failed").move(ReplayPaused())
    assert refused.value.details["allowed"] == ["resume", "cancel"]


def test_a_fold_of_its_events_gives_the_same_replay() -> None:
    live = replay_in("done")
    folded = Replay.fold(live.id, [Replay.event_of(each.type(), each.data()) for each in live.uncommitted])
    assert (folded.state, folded.filter, folded.options, folded.version) == (
        live.state,
        live.filter,
        live.options,
        live.version,
    )
    assert [each.type() for each in live.uncommitted] == [
        "crossdock.replay.started",
        "crossdock.replay.counted",
        "crossdock.replay.finished",
    ]

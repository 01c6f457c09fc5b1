"""A chain that comes back to itself is stopped and says by which way it came; what is no loop is left alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.events import hops, loops
from server.events.hops import FIRST, Hop, hop_of
from server.events.loops import DEEPEST, MOST_HOPS, MOST_PASSES, Heard, Trail, echoes, trail_of
from server.kernel.errors import Looping, Permanent
from server.kernel.ids import show

NAMES = st.sampled_from(["webhook/in", "webhook/out", "flow/a", "flow/b", "sync/c"])
START = datetime(2026, 1, 1, tzinfo=UTC)


@given(st.lists(NAMES, max_size=200), st.integers(0, 5))
def test_every_chain_ends_within_its_limits_and_says_its_path(steps: list[str], hopped: int) -> None:
    trail = Trail((), hopped)
    for step in steps:
        if trail.path.count(step) < MOST_PASSES and len(trail.path) < DEEPEST:
            trail = trail.through(step)
            continue
        with pytest.raises(Permanent) as stopped:
            trail.through(step)
        assert stopped.value.code == loops.LOOP_DETECTED
        assert stopped.value.details["path"] == [*trail.path, step]
        assert trail.full
    assert len(trail.path) <= DEEPEST
    assert all(trail.path.count(each) <= MOST_PASSES for each in trail.path)


@given(st.lists(NAMES, max_size=DEEPEST), st.integers(0, 99))
def test_what_an_event_carries_is_read_back_whole(path: list[str], hopped: int) -> None:
    trail = Trail(tuple(path), hopped)
    assert trail_of(trail.extensions() or None) == trail


def test_an_event_from_outside_carries_nothing() -> None:
    assert Trail().extensions() == {}
    assert trail_of(None) is loops.NOWHERE
    assert trail_of({"dataschema": "x"}) is loops.NOWHERE


@pytest.mark.parametrize(
    "extensions", [{"crossdockpath": 7}, {"crossdockhops": "x"}, {"crossdockpath": ""}, {"crossdockhops": None}]
)
def test_what_is_no_trail_is_read_as_none(extensions: dict[str, object]) -> None:
    assert trail_of(extensions) == Trail()


def test_the_eleventh_pass_is_stopped_by_its_rule() -> None:
    trail = Trail()
    for _ in range(MOST_PASSES):
        assert trail.refusal("flow/a") is None
        trail = trail.through("flow/a")
    failure = trail.refusal("flow/a")
    assert failure is not None
    assert (failure.details["rule"], failure.details["path"]) == ("definition", ["flow/a"] * 11)
    assert trail.refusal("flow/b") is None


def test_the_thirty_third_step_is_stopped_whichever_it_is() -> None:
    trail = Trail(tuple(f"flow/f{number}" for number in range(DEEPEST)))
    failure = trail.refusal("flow/new")
    assert failure is not None
    assert failure.details["rule"] == "depth"


def heard(*moments: tuple[float, float | None], correlation: str = "") -> list[Heard]:
    at = [(START + timedelta(seconds=came), None if told is None else START + timedelta(seconds=told))
          for came, told in moments]  # fmt: skip
    return [Heard(str(number), correlation or str(number), *each) for number, each in enumerate(at)]


@pytest.mark.parametrize(
    ("events", "count"),
    [
        (heard(), 0),
        (heard((0, 0.1)), 0),
        (heard((0, 0.1), (0.2, 0.3), (0.4, None)), 2),
        (heard((0, 0.5), (0.1, 0.5), (0.2, 0.5), (0.3, 0.5)), 0),  # a burst does not wait for its deliveries
        (heard((0, None), (1, None), (2, None)), 0),  # nobody was told
        (heard((0, 0.1), (0.2, 0.3), (0.4, None), correlation="cor_1"), 0),  # the correlation was kept
        (heard((0, 0.2), (0.2, None)), 1),
    ],
    ids=["none", "one", "echoes", "burst", "untold", "correlated", "at-once"],
)
def test_an_echo_comes_after_the_delivery_of_the_one_before(events: list[Heard], count: int) -> None:
    assert echoes(events) == count


@given(st.lists(st.floats(0, 5), max_size=40))
def test_whatever_is_sent_at_once_is_never_an_echo(told: list[float]) -> None:
    assert echoes(heard(*[(0, 0.01 + each) for each in told])) == 0


DELIVERY = UUID(int=7 << 100)


@pytest.mark.parametrize(
    ("headers", "hop"),
    [
        ({}, FIRST),
        ({"crossdock-hops": "2"}, Hop(2)),
        ({"crossdock-hops": " 3 "}, Hop(3)),
        ({"crossdock-hops": "1, 4,2"}, Hop(4)),
        ({"crossdock-hops": "x, 2"}, Hop(2)),
        ({"crossdock-hops": "-1"}, FIRST),
        ({"crossdock-hops": "1e9"}, FIRST),
        ({"crossdock-hops": "٣"}, FIRST),
        ({"crossdock-hops": "9" * 5000}, FIRST),
        ({"crossdock-correlation-id": "cor_1"}, FIRST),
        ({"crossdock-hops": "1", "crossdock-correlation-id": "cor_1"}, Hop(1, "cor_1")),
        ({"crossdock-hops": "1", "crossdock-correlation-id": "a b\n"}, Hop(1)),
        ({"crossdock-hops": "1", "crossdock-correlation-id": "a" * 129}, Hop(1)),
        ({"crossdock-hops": "1", "crossdock-delivery-id": show("dlv", DELIVERY)}, Hop(1, None, DELIVERY)),
        ({"crossdock-hops": "1", "crossdock-delivery-id": "dlv_'; DROP"}, Hop(1)),
    ],
    ids=str,
)
def test_a_request_says_how_far_its_chain_has_come(headers: dict[str, str], hop: Hop) -> None:
    assert hop_of(headers) == hop


@given(st.dictionaries(st.sampled_from(hops.HEADERS), st.text(max_size=300)))
def test_nonsense_in_the_headers_is_never_an_error(headers: dict[str, str]) -> None:
    assert hop_of(headers).hops >= 0


def test_five_hops_are_taken_and_the_sixth_is_not() -> None:
    hops.refuse(FIRST)
    hops.refuse(Hop(MOST_HOPS))
    with pytest.raises(Looping) as refused:
        hops.refuse(Hop(MOST_HOPS + 1))
    assert refused.value.code == loops.LOOP_DETECTED

"""The judge finds what it is there for; a judge that finds nothing would pass every fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults import history
from tests.faults.history import NOTHING, Record, judge

if TYPE_CHECKING:
    from pathlib import Path


def sent(event: str, at: float = 0.0) -> Record:
    return {"what": "sent", "event": event, "at": at}


def tried(event: str, status: int | str = 202, at: float = 0.0) -> Record:
    return {"what": "try", "event": event, "status": status, "at": at, "seconds": 0.5}


def hit(event: str, at: float = 1.0, message: str = "") -> Record:
    return {"what": "hit", "event": event, "message": message or f"msg-{event}", "path": "/", "at": at}


def fault(at: float, until: float) -> Record:
    return {"what": "fault", "name": "killed", "at": at, "until": until}


GOOD = [sent("a"), tried("a"), hit("a"), sent("b"), tried("b"), hit("b", 2.0)]


def test_a_history_without_a_fault_is_sound() -> None:
    verdict = judge(GOOD)
    assert (verdict.accepted, verdict.received, verdict.sound, verdict.duplicates) == (2, 2, NOTHING, 0)
    assert (verdict.recovered, verdict.slowest, verdict.recovery) == (set(), 1.5, 0.0)


@pytest.mark.parametrize(
    ("records", "found"),
    [
        ([*GOOD, sent("c"), tried("c")], {"lost": {"c"}}),
        ([*GOOD, sent("c"), tried("c", "ServerDisconnectedError"), tried("c")], {"lost": {"c"}, "accepted": 3}),
        ([*GOOD, sent("c"), tried("c", 503)], {"lost": set(), "accepted": 2}),
        ([*GOOD, hit("c")], {"unexpected": {"c"}, "lost": set()}),
        ([*GOOD, hit("a"), hit("a")], {"repeated": {"a": 2}, "duplicates": 2, "received": 2}),
        ([*GOOD, sent("c"), tried("c", "ClientOSError"), hit("c")], {"recovered": {"c"}, "lost": set(), "accepted": 2}),
        ([*GOOD, sent("c"), tried("c", 500), hit("c")], {"recovered": {"c"}}),
        ([*GOOD, hit("a", message="another")], {"split": {"a"}, "duplicates": 1}),
        ([sent("a"), tried("a")], {"lost": {"a"}, "received": 0, "silence": 0.0}),
    ],
    ids=["lost", "lost after a retry", "refused", "unexpected", "duplicated", "recovered", "recovered 500", "split", "all lost"],
)  # fmt: skip
def test_the_judge_finds(records: list[Record], found: dict[str, Any]) -> None:
    verdict = judge(records)
    assert {name: getattr(verdict, name) for name in found} == found


@pytest.mark.parametrize(
    ("at", "until", "recovery"),
    [(10.0, 10.0, 7.0), (3.0, 4.0, 7.0), (17.0, 17.5, 7.0), (41.0, 42.0, 2.0), (200.0, 201.0, 0.0)],
    ids=["in the gap", "before it", "at its end", "long after it", "after everything"],
)
def test_recovery_is_the_longest_silence_around_a_fault(at: float, until: float, recovery: float) -> None:
    times = [1.0, 5.0, 10.0, 17.0, *(17.0 + 2 * number for number in range(20)), 150.0]
    load = [record for number, time in enumerate(times) for record in (sent(str(number)), hit(str(number), time))]
    times.remove(150.0)
    assert judge([*load[:-2], fault(at, until)]).recovery == recovery


def test_a_history_is_the_same_after_it_was_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "history.jsonl"
    history.write(path, [*GOOD, fault(1.0, 2.0)])
    assert judge(history.read(path)) == judge([*GOOD, fault(1.0, 2.0)])
    assert [each["at"] for each in history.read(path)] == sorted(each["at"] for each in [*GOOD, fault(1.0, 2.0)])


EVENTS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 3), st.booleans()), max_size=30
)  # accepted or not, how often it came, sent or not


@given(EVENTS)
def test_every_event_ends_in_the_sums(events: list[tuple[bool, int, bool]]) -> None:
    records: list[Record] = []
    for number, (taken, hits, known) in enumerate(events):
        name = str(number)
        records += [sent(name)] if known or taken else []
        records += [tried(name, 202 if taken else 503)] if known or taken else []
        records += [hit(name)] * hits
    verdict = judge(records)
    assert verdict.received + verdict.duplicates == sum(hits for _, hits, _ in events)
    assert verdict.accepted + len(verdict.recovered) + len(verdict.unexpected) == verdict.received + len(verdict.lost)

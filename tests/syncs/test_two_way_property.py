"""Whatever people do on both sides, and wherever a worker dies: both sides become the same, and no edit is lost.

The oracle is told only what was on each side before a run, and what was agreed on at the end of the last one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.syncs.pairing import Sides, pair, prepare
from tests.syncs.test_two_way import died_in, dying

if TYPE_CHECKING:
    from tests.syncs.running import Syncing

POLICIES = {"name": "source_wins", "email": "newest", "credit": "target_wins"}
ABSENT = object()
EDITS = st.tuples(
    st.just("edit"),
    st.sampled_from(("source", "target")),
    st.integers(1, 3),
    st.one_of(
        st.tuples(st.sampled_from(("name", "email")), st.sampled_from(("a", "b", "c", "1.0", "1"))),
        st.tuples(st.just("credit"), st.sampled_from(("1.00", "2.50", "30.00"))),
    ),
)
STEPS = st.lists(
    st.one_of(EDITS, EDITS, EDITS, st.tuples(st.just("run")), st.tuples(st.just("killed"), st.integers(1, 7))),
    min_size=3,
    max_size=14,
)


@pytest.fixture
def syncing(syncing: Syncing) -> Syncing:
    prepare(syncing)
    return syncing


class Oracle:
    """What may be agreed on for each field, and what therefore may come of a run."""

    def __init__(self, sides: Sides) -> None:
        self.sides = sides
        self.bases: dict[tuple[int, str], list[Any]] = {}

    def before_run(self) -> dict[tuple[int, str], set[str]]:
        source, target = self.sides.rows("source"), self.sides.rows("target")
        mine, theirs = self.sides.times("source"), self.sides.times("target")
        expected: dict[tuple[int, str], set[str]] = {}
        for number in source.keys() | target.keys():
            for name, policy in POLICIES.items():
                if number not in source or number not in target:
                    expected[number, name] = {(source.get(number) or target[number])[name]}
                    continue
                later = "target" if theirs[number] > mine[number] else "source"
                one, other = source[number][name], target[number][name]
                bases = self.bases.get((number, name), [ABSENT])
                expected[number, name] = {_expected(policy, base, one, other, later) for base in bases}
        return expected

    def killed(self) -> None:
        """Nobody knows what was agreed on, except that where both sides are the same it may be that."""
        source, target = self.sides.rows("source"), self.sides.rows("target")
        for number in source.keys() & target.keys():
            for name in POLICIES:
                if source[number][name] == target[number][name]:
                    self.bases.setdefault((number, name), [ABSENT]).append(source[number][name])

    def ended(self, expected: dict[tuple[int, str], set[str]]) -> None:
        found = self.sides.rows("source")
        assert found == self.sides.rows("target"), "both sides are the same"
        for (number, name), values in expected.items():
            assert found[number][name] in values, (number, name, values, found[number])
            self.bases[number, name] = [found[number][name]]


def _expected(policy: str, base: Any, source: str, target: str, later: str) -> str:
    if source in (base, target):
        return target
    if target == base or policy == "source_wins" or (policy == "newest" and later == "source"):
        return source
    return target


def test_any_edits_runs_and_deaths_end_with_both_sides_the_same(syncing):
    jobs = iter(range(10_000))

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(STEPS)
    def holds(steps: list[Any]) -> None:
        syncing.old("DELETE FROM customers")
        syncing.new("DELETE FROM shop.customers")
        name = f"customers-{next(jobs)}"
        pair(syncing, name, fields=POLICIES)
        sides = Sides(syncing)
        oracle = Oracle(sides)
        for step, *how in [*steps, ("run",)]:
            if step == "edit":
                side, number, (field, value) = how
                sides.edit(side, number, **{field: value})
                continue
            expected = oracle.before_run()
            with pytest.MonkeyPatch.context() as patch:
                if step == "killed":
                    dying(patch, how[0])
                if died_in(lambda: _work(syncing, name)):
                    oracle.killed()
                    continue
            oracle.ended(expected)
        assert syncing.run(name).written == 0, "nothing goes back and forth"

    holds()


def _work(syncing: Syncing, name: str) -> None:
    """Let the run that was left go on, then do one more."""
    syncing.ours("UPDATE due SET due_at = now() - interval '1 minute'")
    while syncing.slice():
        pass
    row = syncing.run(name)
    assert (row.state, row.refused) == ("succeeded", 0), row.error

"""Two sides of one record become one, field by field, against what they last agreed on. Pure: no database, no network.

A side has changed a field when its value is not the one agreed on; what we wrote ourselves was agreed on, so it is no change (an
echo). Only a field that both have changed, to different values, is in conflict, and its policy decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from server.syncs import windows
from server.syncs.preview import same

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.sdk.sources import Row

Policy = Literal["source_wins", "target_wins", "newest", "manual"]
POLICIES: tuple[Policy, ...] = ("source_wins", "target_wins", "newest", "manual")
DEFAULT_POLICY: Policy = "source_wins"
_ABSENT: Any = object()


@dataclass(frozen=True, slots=True)
class Contested:
    """A field that both sides have changed: what they agreed on (None where they never did), and what each has now."""

    base: Any
    source: Any
    target: Any

    def as_json(self) -> dict[str, Any]:
        """Return it as it is stored and shown."""
        return {"base": self.base, "source": self.source, "target": self.target}


@dataclass(frozen=True, slots=True)
class Rules:
    """How fields are decided: `policies` by name, else `default`; `later` is the side that was changed last, if that is known."""

    default: Policy = DEFAULT_POLICY
    policies: Mapping[str, Policy] = field(default_factory=dict)

    def of(self, name: str) -> Policy:
        """Return the policy of a field."""
        return self.policies.get(name, self.default)


@dataclass(slots=True)
class Plan:
    """What becomes of a record: what both agree on after it, and which fields each side is given for that."""

    base: Row = field(default_factory=dict)
    to_source: Row = field(default_factory=dict)
    to_target: Row = field(default_factory=dict)
    conflicts: dict[str, Contested] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decided:
    """What a person has decided of a field, and the values that they saw: it holds for those alone."""

    choice: Mapping[str, Any]
    seen: Contested

    def value(self, source: Any, target: Any) -> Any:
        """Return the value decided on, `_ABSENT` where what was seen is no more."""
        if not (equal(self.seen.source, source) and equal(self.seen.target, target)):
            return _ABSENT
        sides = {"source": source, "target": target}
        return sides[self.choice["side"]] if "side" in self.choice else self.choice["value"]


def equal(left: Any, right: Any) -> bool:
    """Say whether two systems mean the same value; two texts only when they are, unless both are moments."""
    if left is _ABSENT or right is _ABSENT:
        return False
    if isinstance(left, str) and isinstance(right, str) and left != right:
        mine, theirs = windows.moment(left), windows.moment(right)
        return mine is not None and mine == theirs
    return same(left, right)


def changed(base: Mapping[str, Any], side: Mapping[str, Any]) -> bool:
    """Say whether a side has anything that was not agreed on."""
    return any(not equal(base.get(name, _ABSENT), value) for name, value in side.items())


def agreed(base: Mapping[str, Any], plan: Plan, *, source: bool, target: bool) -> Row:
    """Return what is agreed on after a plan of which the source, the target, or both were written."""
    kept = {
        name: value
        for name, value in plan.base.items()
        if (source or name not in plan.to_source) and (target or name not in plan.to_target)
    }
    return {**base, **kept}


def recovered(base: Mapping[str, Any], plan: Plan, source: Row | None, target: Row | None) -> Row:
    """Return what is agreed on where nobody knows what of a plan was written: a side that shows a value of it was."""
    return agreed(base, plan, source=_shows(source, plan.to_source), target=_shows(target, plan.to_target))


def merge(
    rules: Rules,
    base: Mapping[str, Any],
    source: Row | None,
    target: Row | None,
    later: Literal["source", "target"],
    decided: Mapping[str, Decided],
) -> Plan:
    """Return what becomes of a record that has these values on each side; None is a side that lacks it.

    A side that lacks a record gets it when it is new, or was changed on the other side: an edit outlives a delete.
    """
    plan = Plan()
    if source is None or target is None:
        there = source or target or {}
        if not base or changed(base, there):
            plan.base = dict(there)
            plan.to_source = dict(there) if source is None else {}
            plan.to_target = dict(there) if target is None else {}
        else:
            plan.base = dict(base)
        return plan
    for name, mine in source.items():
        value = _merged(rules.of(name), base.get(name, _ABSENT), mine, target[name], later, decided.get(name))
        if value is _ABSENT:
            plan.conflicts[name] = Contested(base.get(name), mine, target[name])
            if name in base:
                plan.base[name] = base[name]
            continue
        plan.base[name] = value
        if not equal(mine, value):
            plan.to_source[name] = value
        if not equal(target[name], value):
            plan.to_target[name] = value
    return plan


def _merged(policy: Policy, base: Any, source: Any, target: Any, later: str, decided: Decided | None) -> Any:
    """Return the value of a field, `_ABSENT` where a person has to say it."""
    if equal(source, target) or equal(source, base):
        return target
    if equal(target, base) or policy == "source_wins":
        return source
    if policy == "target_wins":
        return target
    if policy == "newest":
        return source if later == "source" else target
    return decided.value(source, target) if decided is not None else _ABSENT


def _shows(side: Row | None, given: Row) -> bool:
    return side is not None and any(equal(side.get(name, _ABSENT), value) for name, value in given.items())

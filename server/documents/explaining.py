"""Why a value breaks a schema, told as a person would: the branch of a `oneOf` that was meant, the key that is too many.

For schemas that we trust (those of plugins) only: the patterns run in Python.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from server.documents.findings import nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

Pointer = tuple[str | int, ...]


# What `jsonschema` puts into its errors is typed too loosely for a strict reader: they are Any in this file.
@dataclass(frozen=True, slots=True)
class Explanation:
    """One broken rule; `key` names the key under `pointer` that it is about. No value is shown."""

    pointer: Pointer
    message: str
    key: str | None = None
    suggestion: str | None = None


_DECISIVE = ("type", "oneOf", "anyOf")  # what also tells of a text that is not known yet; the forms are looked into


def explain(schema: Any, value: Any, hidden: Collection[Pointer] = ()) -> list[Explanation]:
    """Return what is wrong with a value. At a `hidden` pointer stands a text that is not known yet: only its type counts."""
    errors = Draft202012Validator(schema).iter_errors(value)
    found = [each for error in errors for each in _explain(error, hidden)]
    return sorted(dict.fromkeys(found), key=lambda each: (list(map(str, each.pointer)), each.message))


def _explain(error: Any, hidden: Collection[Pointer]) -> Iterator[Explanation]:
    pointer = tuple(error.absolute_path)
    if error.validator not in _DECISIVE and any(pointer[: len(each)] == each for each in hidden):
        return
    if error.validator in ("oneOf", "anyOf") and error.context:
        yield from _branch(error, hidden)
    elif error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = [str(name) for name in error.schema.get("properties", {})]
        for name in error.instance.keys() - set(known):
            missing = [each for each in known if each not in error.instance]
            yield Explanation(pointer, f'"{name}" is not taken here', name, nearest(name, missing))
    elif error.validator == "required" and isinstance(error.instance, dict):
        for name in error.validator_value:
            if name not in error.instance:
                yield Explanation(pointer, f'"{name}" is missing')
    else:
        yield Explanation(pointer, _sentence(error), suggestion=_near_choice(error))


def _branch(error: Any, hidden: Collection[Pointer]) -> Iterator[Explanation]:
    """Explain by the branch that was meant: constants fit, and of those the one with the fewest faults."""
    branches: dict[Any, list[Any]] = {}
    for inner in error.context:
        branches.setdefault(inner.schema_path[0], []).append(inner)
    choices = {number: _told_by(inner) for number, inner in branches.items()}
    meant = [number for number, told in choices.items() if told is None] or list(branches)
    if len(meant) == len(branches) and all(choices.values()):
        yield from _wrong_choice(error, [told for told in choices.values() if told is not None])
        return
    explained = [[each for inner in branches[number] for each in _explain(inner, hidden)] for number in meant]
    yield from min(explained, key=len)


def _told_by(errors: Iterable[Any]) -> Any:
    """Return the error of a constant that says: this branch was not meant."""
    return next((each for each in errors if each.validator in ("const", "enum")), None)


def _wrong_choice(error: Any, told: list[Any]) -> Iterator[Explanation]:
    words: dict[str, None] = {}
    for each in told:
        values = [each.validator_value] if each.validator == "const" else each.validator_value
        words.update(dict.fromkeys(str(value) for value in values))
    given = str(told[0].instance)
    pointer = tuple(told[0].absolute_path) or tuple(error.absolute_path)
    yield Explanation(pointer, f"one of {', '.join(words)} is needed here", suggestion=nearest(given, words))


def _near_choice(error: Any) -> str | None:
    choices = error.validator_value if error.validator == "enum" else ()
    return nearest(str(error.instance), [str(each) for each in choices])


_SENTENCES = {
    "type": "{} is needed here",
    "enum": "one of {} is needed here",
    "const": "{} is needed here",
    "pattern": "the value does not have the form {}",
    "minimum": "the number is less than {}",
    "maximum": "the number is more than {}",
    "exclusiveMinimum": "the number is not more than {}",
    "exclusiveMaximum": "the number is not less than {}",
    "minLength": "the text has fewer than {} characters",
    "maxLength": "the text has more than {} characters",
}


def _sentence(error: Any) -> str:
    """Say what the rule asks for; the value itself may be a secret and is not shown."""
    wanted = error.validator_value
    listed = ", ".join(map(str, wanted)) if isinstance(wanted, list) else str(wanted)
    return _SENTENCES.get(error.validator, f"the value breaks the rule {error.validator}").format(listed[:200])

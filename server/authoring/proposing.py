"""The start of a sync job: from what a data set looks like to the text of a definition, with every guess said beside it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from server.kernel.errors import Invalid, code

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from server.sdk.sources import Dataset, Source
    from server.sdk.targets import Target

CANNOT_PROPOSE = code("CANNOT_PROPOSE", "No sync job can be begun from that: the message says what is missing.")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_READ_OTHERWISE = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_OPTIONS = frozenset({"from", "each", "value"})
_MOST_FIELDS = 500


@dataclass(frozen=True, slots=True)
class End:
    """One end of the job to be: the call, and what its plugin says it can do."""

    call: str
    able: Any


@dataclass(frozen=True, slots=True)
class _Target:
    fields: Sequence[tuple[str, str | None]]
    options: Mapping[str, Any]
    mode: str
    match_on: Sequence[str]
    unused: Sequence[str]


def sync_job(name: str, dataset: Dataset, reads: End, writes: End) -> list[str]:
    """Return the lines of a SyncJob that reads a data set and writes it to a target.

    Raises:
        Invalid: CANNOT_PROPOSE.

    """
    properties = dataset.schema.get("properties", {})
    if not properties:
        raise Invalid(f"nothing is known of the fields of {dataset.name}", code=CANNOT_PROPOSE, source="cli")
    key, guessed = _key(dataset, list(properties))
    target = _target(dataset, key, writes)
    lines = ["kind: SyncJob", f"name: {written(name)}"]
    if dataset.about:
        lines.append(f"description: {written(dataset.about[:200])}")
    lines.append('# schedule: {cron: "*/15 * * * *"}  # without one it runs by `crossdock sync run`')
    lines += ["source:", f"  call: {reads.call}"]
    lines += [f"  {option}: {written(value)}" for option, value in dataset.options.items()]
    lines.append(
        f"  primary_key: {written(list(key))}{'  # a guess: it must tell every row from the others' if guessed else ''}"
    )
    lines += _cursor(dataset, key, target.mode, reads.able)
    lines += ["map:", *_map(target, properties, writes.able)]
    lines += ["target:", f"  call: {writes.call}"]
    lines += [f"  {option}: {written(value)}  # a guess" for option, value in target.options.items()]
    lines.append(f"  mode: {target.mode}")
    if target.match_on:
        lines.append(f"  match_on: {written(list(target.match_on))}  # by which a record is found again over there")
    return lines


def written(value: Any) -> str:
    """Write a value as YAML on one line; a text is bare where nobody could take it for anything else."""
    if isinstance(value, str):
        bare = _WORD.fullmatch(value) and value.lower() not in _READ_OTHERWISE
        return value if bare else json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written(str(name))}: {written(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(written, value)) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value)


def _key(dataset: Dataset, fields: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    if dataset.primary_key:
        return dataset.primary_key, False
    telling = [each for each in fields if each.lower().endswith(("id", "key", "code", "number"))]
    return ((telling or list(fields))[0],), True


def _cursor(dataset: Dataset, key: Sequence[str], mode: str, source: Source) -> Iterator[str]:
    properties = dataset.schema["properties"]
    changed = next((each for each in dataset.cursor if each in properties), None)
    if "fields" not in source.cursors:
        if "token" in source.cursors:
            yield "  cursor: {kind: file_time}  # each run reads what is new or was changed since the last"
        return
    first = key[0]
    if changed is None and mode == "append" and "integer" in _types(properties.get(first, {})):
        yield f"  cursor: {{kind: integer, fields: {written([first])}}}  # a guess: rows only come, with higher numbers"
    elif changed is None:
        yield "  # no field says when a row has changed: each run reads all rows, and what is unchanged is known by its hash"
    elif {"integer", "number"} & _types(properties[changed]):
        yield f"  cursor: {{kind: integer, fields: {written([changed, *_others(key, changed)])}}}  # a guess"
    else:
        fields = written([changed, *_others(key, changed)])
        yield f"  cursor: {{fields: {fields}, lookback: 5m}}  # a guess: {changed} moves on with every change of a row"


def _others(key: Sequence[str], name: str) -> list[str]:
    return [each for each in key if each != name][: 5 - 1]


def _map(target: _Target, properties: Mapping[str, Any], able: Target) -> Iterator[str]:
    schema = able.record_schema(target.options)
    listed = schema.get("properties", {}) if not isinstance(schema, bool) else {}
    for name, source in target.fields[:_MOST_FIELDS]:
        if name in _OPTIONS:
            yield f"  # {name} is left out: a map reads this name as an option"
        elif source is None:
            yield f"  {written(name)}: {{value: unknown}}  # the target needs it, and no field looks like it"
        else:
            yield f"  {written(name)}: {_value(source, properties[source], listed.get(name, {}))}"
    if target.unused:
        yield f"  # not taken by the target, or not recognised: {', '.join(target.unused)[:500]}"


def _value(name: str, schema: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    path = f"row.{name}" if _NAME.fullmatch(name) else f"row.{json.dumps(name, ensure_ascii=False)}"
    kinds = _types(schema) - {"null"}
    if schema.get("format") == "decimal" or kinds == {"number"}:
        return written({"from": path, "type": "decimal" if schema.get("format") == "decimal" else "number"})
    if _types(wanted) - {"null"} == {"string"} and kinds and kinds != {"string"}:
        return written(f"text({path})")
    if kinds in ({"integer"}, {"boolean"}):
        return written({"from": path, "type": next(iter(kinds))})
    return path if _NAME.fullmatch(name) else written(path)


def _types(schema: Mapping[str, Any]) -> set[str]:
    kind = schema.get("type", ())
    return {kind} if isinstance(kind, str) else set(kind)


def _target(dataset: Dataset, key: Sequence[str], writes: End) -> _Target:
    able, fields = writes.able, list(dataset.schema["properties"])
    options = dict(_needed(able, dataset.name, writes.call))
    schema = able.record_schema(options)
    if isinstance(schema, bool) or schema.get("additionalProperties") is not False:
        pairs: list[tuple[str, str | None]] = [(each, each) for each in fields]
    else:
        pairs = list(_pairs(schema, fields, key))
    made = {name for name, source in pairs if source is not None and name not in _OPTIONS}
    by_source = {source: name for name, source in pairs if source is not None}
    match_on = ["external_id"] if "external_id" in made else [by_source[each] for each in key if each in by_source]
    mode = next((each for each in ("upsert", "insert_only") if each in able.modes and match_on), "append")
    if mode not in able.modes:
        raise Invalid(f"{writes.call} writes nothing that {dataset.name} could be", code=CANNOT_PROPOSE, source="cli")
    used = {source for _, source in pairs}
    return _Target(
        pairs, options, mode, match_on if mode != "append" else (), [each for each in fields if each not in used]
    )


def _pairs(schema: Mapping[str, Any], fields: Sequence[str], key: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Yield the target's fields with the field of a row that looks like each, by name; `external_id` is the row's key."""
    alike = {_plain(each): each for each in reversed(fields)}
    for name in schema.get("properties", {}):
        found = alike.get(_plain(name)) or (key[0] if name == "external_id" else None)
        if found is not None or name in schema.get("required", ()):
            yield name, found


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _needed(able: Target, name: str, call: str) -> Iterator[tuple[str, Any]]:
    """Yield what the target's options need, made of the data set's name."""
    schema = able.options_schema
    for option in schema.get("required", ()):
        declared = schema.get("properties", {}).get(option, {})
        if option == "table":
            yield option, name
        elif option == "path":
            yield option, f"/{name}" if str(declared.get("pattern", "")).startswith("^/") else f"{name}.jsonl"
        else:
            message = f"{call} needs {option}, which cannot be guessed"
            raise Invalid(message, code=CANNOT_PROPOSE, source="cli")

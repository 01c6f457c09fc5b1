"""The contract of plugins: one list of checks that runs over every plugin and its mock.

`tests/sdk/test_contract.py` runs it over all that are discovered; `crossdock plugin check FOLDER` over one of anybody's:

    findings(check, Rig(load_plugin(folder), http)) == []      for check in CHECKS

where `http(seconds)` makes a guarded `requests.Session` that may reach loopback. A check of a higher tier than the
plugin claims is left out; one that the manifest exempts must fail, so that no exemption outlives its reason.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from server.kernel.clock import SystemClock
from server.kernel.errors import CrossdockError, Permanent, Retryable
from server.sdk.adapter import Adapter, CallRequest, Health, Validation
from server.sdk.context import Context, Tenant
from server.sdk.manifest import OPERATION, TIERS
from server.sdk.mocking import PAUSE, Mock, Scenario
from server.sdk.ports.port import NOT_SUPPORTED_HERE
from server.sdk.schemas import Schema, is_json
from server.sdk.testing_syncs import check_source, check_target
from server.sdk.testing_transactions import ended_well, left_by_an_exception

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import requests

    from server.sdk.plugin import Plugin

PATIENCE = 0.5
_SLOW_CALLS = 8
_GARBAGE: tuple[Any, ...] = (
    None,
    [],
    "text",
    7,
    {"no such field": {"deep": [1, 2, 3]}},
    {"": None},
    {"\x00": "\ud800"},
)
_SHORTEST_ABOUT = 10


def _nothing_more(_folder: Path | None) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Rig:
    """A plugin under test and the session that it gets: `http(seconds)`, guarded, with loopback allowed.

    `reach(mock.folder)` gives what else a context has, by name: `sql` for a plugin that talks to databases.
    """

    plugin: Plugin
    http: Callable[[float], requests.Session]
    reach: Callable[[Path | None], Mapping[str, Any]] = _nothing_more

    def context(self, mock: Mock, seconds: float = PATIENCE) -> Context:
        """Return the context of a call to the mock."""
        return Context(
            correlation_id="cor_contract",
            tenant=Tenant("default", "default"),
            user=None,
            timestamp=datetime.now(UTC),
            http=self.http(seconds),
            clock=SystemClock(),
            config=mock.config,
            idempotency_key="key_contract",
            **self.reach(mock.folder),
        )

    def fixtures(self) -> dict[str, CallRequest]:
        """Return the calls of `fixtures/<noun>.<verb>__<detail>.json` (`{"input": …}`), by file name."""
        found = {}
        for path in sorted((self.plugin.folder / "fixtures").glob("*.*__*.json")):
            operation = path.name.partition("__")[0]
            found[path.name] = CallRequest(operation, json.loads(path.read_text("utf-8"))["input"])
        return found


@dataclass(frozen=True, slots=True)
class Check:
    """One rule of the contract; `run` yields a sentence per breach."""

    name: str
    tier: str
    run: Callable[[Rig], Iterator[str]]

    def __str__(self) -> str:
        return self.name


def findings(check: Check, rig: Rig) -> list[str]:
    """Return what a plugin breaks of one check, as its manifest's tier and exemptions ask."""
    manifest = rig.plugin.manifest
    if TIERS.index(check.tier) > TIERS.index(manifest.tier):
        return []
    found = [f"{rig.plugin.name}: {check.name}: {each}" for each in _run(check, rig)]
    if check.name not in manifest.exempt:
        return found
    return [] if found else [f"{rig.plugin.name}: {check.name}: it is exempt but passes; take the exemption out"]


def _run(check: Check, rig: Rig) -> list[str]:
    try:
        return list(check.run(rig))
    except Exception as error:  # noqa: BLE001 - a plugin under test may raise anything, and that is a finding
        return [f"{type(error).__name__} was raised{_said(error)}"]


def _said(error: Exception) -> str:
    try:
        return f": {error}"
    except Exception:  # noqa: BLE001 - an error of a plugin may not even be able to say what it is
        return ""


def _manifest(rig: Rig) -> Iterator[str]:
    manifest, adapter = rig.plugin.manifest, rig.plugin.adapter_factory()
    if adapter.id != manifest.name or adapter.version != manifest.version:
        yield f"the adapter is {adapter.id} {adapter.version}, the manifest says {manifest.name} {manifest.version}"
    if {each.name for each in adapter.operations} != set(manifest.operations):
        yield "the adapter's operations are not those of the manifest"
    for unknown in manifest.exempt.keys() - {check.name for check in CHECKS}:
        yield f"there is no check {unknown} to be exempt from"


def _operations(rig: Rig) -> Iterator[str]:
    seen = set()
    for operation in rig.plugin.adapter_factory().operations:
        if operation.name in seen or not re.search(OPERATION, operation.name):
            yield f"{operation.name} is no name of its own of the form noun.verb"
        seen.add(operation.name)
        if len(operation.about) < _SHORTEST_ABOUT:
            yield f"{operation.name} does not say what it is about"
        for side, schema in (("input", operation.input_schema), ("output", operation.output_schema)):
            yield from (f"{operation.name}: {side} {problem}" for problem in _schema_problems(dict(schema)))


def _schema_problems(schema: dict[str, Any]) -> Iterator[str]:
    try:
        Schema(schema)
    except ValueError as error:
        yield f"schema is invalid: {str(error).splitlines()[0]}"
    if schema.get("type") != "object":
        yield "schema is not one of an object"


def _config(rig: Rig) -> Iterator[str]:
    problems = [f"config {problem}" for problem in _schema_problems(dict(rig.plugin.config_schema))]
    if problems:
        yield from problems
        return
    with rig.plugin.mock_factory() as mock:
        schema = Schema(dict(rig.plugin.config_schema))
        yield from (f"the mock's config is refused: {each}" for each in schema.errors(mock.config))
        if schema.accepts({**mock.config, "no_such_key": 1}):
            yield "config.schema.json accepts an unknown key"


def _files(rig: Rig) -> Iterator[str]:
    for name in ("README.md", "__init__.py", "adapter.py", "mock.py", "config.schema.json"):
        if not (rig.plugin.folder / name).is_file():
            yield f"{name} is missing"
    covered = {call.operation for call in rig.fixtures().values()}
    for name in rig.plugin.manifest.operations:
        if name not in covered | rig.plugin.adapter_factory().not_supported:
            yield f"fixtures/{name}__….json is missing"


def _validate(rig: Rig) -> Iterator[str]:
    adapter = rig.plugin.adapter_factory()
    for name, call in rig.fixtures().items():
        for error in adapter.validate(call).errors:
            yield f"{name} is refused: {error}"
        if adapter.validate(CallRequest(call.operation, {**call.input, "no_such_field": 1})).is_valid:
            yield f"{call.operation} accepts an unknown field"
    for operation in adapter.operations:
        for garbage in _GARBAGE:
            result = adapter.validate(CallRequest(operation.name, garbage))
            if not isinstance(result, Validation) or result.is_valid or not result.errors[0].message:
                yield f"{operation.name} accepts {garbage!r} or does not say why not"
    if adapter.validate(CallRequest("no.such", {})).is_valid:
        yield "a call of an unknown operation is accepted"


def _answers(rig: Rig) -> Iterator[str]:
    adapter = rig.plugin.adapter_factory()
    with rig.plugin.mock_factory() as mock:
        for name, call in rig.fixtures().items():
            output = adapter.transform(adapter.execute(call, rig.context(mock, 10.0)))
            operation = adapter.operation(call.operation)
            if not isinstance(output, dict) or not is_json(output) or operation is None:
                yield f"{name}: the output is no JSON object"
                continue
            for error in Schema(dict(operation.output_schema)).errors(output):
                yield f"{name}: the output breaks its schema: {error}"


def _not_supported(rig: Rig) -> Iterator[str]:
    adapter = rig.plugin.adapter_factory()
    with rig.plugin.mock_factory() as mock:
        for name in sorted(adapter.not_supported):
            try:
                adapter.execute(CallRequest(name, {}), rig.context(mock))
            except Permanent as error:
                if error.code != NOT_SUPPORTED_HERE or error.details.get("operation") != name:
                    yield f"{name}: it is refused as {error.code}, or without its name"
            else:
                yield f"{name}: it is answered, so it is supported"


def _failing(scenario: Scenario, expected: type[CrossdockError], code: str = "") -> Callable[[Rig], Iterator[str]]:
    def run(rig: Rig) -> Iterator[str]:
        adapter = rig.plugin.adapter_factory()
        with rig.plugin.mock_factory() as mock:
            mock.play(scenario)
            calls = list(rig.fixtures().items())
            if scenario == "slow":  # each waits for its time-out: of a plugin with many operations some stand for all
                calls = calls[:: max(1, -(-len(calls) // _SLOW_CALLS))]
            for name, call in calls:
                yield from (f"{name}: {each}" for each in _outcome(adapter, call, rig.context(mock), mock))

    def _outcome(adapter: Adapter, call: CallRequest, context: Context, mock: Mock) -> Iterator[str]:
        try:
            adapter.transform(adapter.execute(call, context))
        except expected as error:
            if code and error.code != code:
                yield f"the code is {error.code}, not {code}"
            if scenario == "429" and error.after != PAUSE:
                yield f"Retry-After of {PAUSE} s was read as {error.after}"
            if any(secret in f"{error} {error.failure}" for secret in mock.secrets):
                yield "the error shows a secret"
        except Exception as error:  # noqa: BLE001 - whatever else a plugin raises is what this check reports
            yield f"{type(error).__name__} was raised where {expected.__name__} is due"
        else:
            yield f"nothing was raised where {expected.__name__} is due"

    return run


def _health(rig: Rig) -> Iterator[str]:
    adapter = rig.plugin.adapter_factory()
    with rig.plugin.mock_factory() as mock:
        health = adapter.health_check(rig.context(mock, 10.0))
        if not isinstance(health, Health) or health.status != "healthy" or health.latency_ms < 0:
            yield f"of a well system it says {health}"
        if not is_json(health.as_dict()) or health.last_checked.tzinfo is None:
            yield "the health is no JSON, or its time has no zone"
        mock.play("500")
        try:
            if adapter.health_check(rig.context(mock)).status == "healthy":
                yield "of a failing system it says healthy"
        except CrossdockError:
            pass  # the guarded call turns it into unhealthy


def _endpoint(rig: Rig) -> Iterator[str]:
    with rig.plugin.mock_factory() as mock:
        endpoint = rig.plugin.adapter_factory().endpoint(mock.config)
        if endpoint is not None and not endpoint.base_url.startswith(("http://", "https://")):
            yield "the endpoint's base_url is no http(s) URL"


def _tests(rig: Rig) -> Iterator[str]:
    if not (rig.plugin.folder / "test_plugin.py").is_file():
        yield "test_plugin.py is missing"


def _sources(rig: Rig) -> Iterator[str]:
    adapter = rig.plugin.adapter_factory()
    known = {operation.name for operation in adapter.operations}
    for source in adapter.sources:
        if source.operation.name not in known:
            yield f"{source.operation.name} is a source but no operation"
        with rig.plugin.mock_factory() as mock:
            yield from check_source(source, mock, rig.context(mock, 10.0))


def _targets(rig: Rig) -> Iterator[str]:
    adapter = rig.plugin.adapter_factory()
    known = {operation.name for operation in adapter.operations}
    for target in adapter.targets:
        if target.operation.name not in known:
            yield f"{target.operation.name} is a target but no operation"
        with rig.plugin.mock_factory() as mock:
            yield from check_target(target, mock, rig.context(mock, 10.0))


def _transactions(rig: Rig) -> Iterator[str]:
    for way in (left_by_an_exception, ended_well):
        with rig.plugin.mock_factory() as mock:
            context = replace(rig.context(mock, 10.0), idempotency_key=None)
            yield from way(rig.plugin.adapter_factory(), rig.fixtures(), context)


CHECKS: tuple[Check, ...] = (
    Check("manifest", "bronze", _manifest),
    Check("files", "bronze", _files),
    Check("operations", "bronze", _operations),
    Check("config", "bronze", _config),
    Check("validate", "bronze", _validate),
    Check("answers", "bronze", _answers),
    Check("not-supported", "bronze", _not_supported),
    Check("sources", "bronze", _sources),
    Check("targets", "bronze", _targets),
    Check("transactions", "bronze", _transactions),
    Check("health", "silver", _health),
    Check("endpoint", "silver", _endpoint),
    Check("unauthorized", "silver", _failing("401", Permanent)),
    Check("not-found", "silver", _failing("404", Permanent)),
    Check("rate-limited", "silver", _failing("429", Retryable)),
    Check("server-error", "silver", _failing("500", Retryable)),
    Check("slow", "silver", _failing("slow", Retryable, "TIMEOUT")),
    Check("broken-json", "silver", _failing("broken_json", CrossdockError)),
    Check("tests", "gold", _tests),
)

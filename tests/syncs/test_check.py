"""What a sync job may say: the example, every field, and each mistake at its place."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from server.authoring.check import check
from server.authoring.testing import test as run_tests
from server.documents.catalog import FixedCatalog
from server.documents.reading import File
from server.integrations.plugins import discover
from server.integrations.spec import plugin_facts
from server.syncs.job import OF_SOURCE, OF_TARGET, job_of
from tests.syncs.worlds import EVENT, EXAMPLE, KINDS, body, catalog, checked

SOURCE = "primary_key: [id]\n"
CURSOR = 'cursor: {fields: [updated_at, id], initial: "2026-01-01T00:00:00Z", lookback: 5m, settle: 10s}'
DELETE = "delete: {detect: key_snapshot, every: 24h, action: archive, max_percent: 2}"


def test_the_example_passes_check_and_its_test_passes() -> None:
    result = checked()
    assert [str(each) for each in result.findings] == []
    report = run_tests(result.documents, catalog(), KINDS)
    assert [(each.test, each.differences) for each in report.outcomes] == [
        ("an e-mail is lowered and a missing city is unknown", ())
    ]


def test_the_typed_view_holds_what_the_example_says() -> None:
    job = job_of(body())
    assert (job.source.integration, job.source.operation) == ("legacy-db", "query.read")
    assert job.source.options == {"sql": "SELECT id, name, email, city, credit, updated_at FROM customers"}
    assert job.source.cursor is not None
    assert (job.source.cursor.fields, job.source.cursor.lookback, job.source.cursor.settle) == (
        ("updated_at", "id"),
        300,
        10,
    )
    assert job.source.cursor.initial == ("2026-01-01T00:00:00Z",)
    assert (job.target.mode, job.target.match_on, job.target.skip_unchanged) == ("upsert", ("external_id",), True)
    assert job.target.delete is not None
    assert (job.target.delete.detect, job.target.delete.max_percent) == ("key_snapshot", Decimal(2))
    assert job.schedule is not None
    assert (job.schedule.misfire, job.schedule.grace) == ("latest", timedelta(hours=2))
    assert (job.batch, job.on_record_error, job.guards.max_error_percent) == (500, "dead_letter", Decimal(5))
    assert (job.retry.tries, job.events, job.one) == (6, ("legacy.customer.changed",), "data.customer_id")


def test_defaults_are_those_of_the_guide() -> None:
    job = job_of(
        {
            "name": "x",
            "source": {"call": "db.query.read", "sql": "SELECT 1"},
            "target": {"call": "api.request.send", "mode": "append"},
        }
    )
    assert (job.batch, job.on_record_error, job.schedule, job.compiled) == (100, "dead_letter", None, None)
    assert job.target.skip_unchanged


def but(old: str, new: str) -> str:
    assert EXAMPLE.count(old) == 1, old
    return EXAMPLE.replace(old, new)


GOOD = [
    but("on_event: {one: data.customer_id}", "on_event: {run: true}"),
    but("mode: upsert ", "mode: mirror "),
    but(CURSOR, "cursor: {kind: integer, fields: [id], initial: 0, lookback: 100, step: 5000, until: 100000}"),
    but(CURSOR, 'cursor: {kind: string, fields: [name, id], initial: [a, "1"], missing: fail}'),
    but(CURSOR, "partitions: 4"),
    but(DELETE, "delete: {detect: flag, when: row.deleted}"),
    but(DELETE, "delete: {detect: tombstone}"),
    but('"*/15 6-22 * * 1-6"', '"0 */6 * * *"'),
    but("grace: 2h", "grace: 2h, jitter: 10m"),
    but("batch: {size: 500}", "batch: {size: 100}\npriority: low\nactive: false"),
    but("overlap: skip", "overlap: queue"),
    but("[legacy.customer.changed]", "[legacy.customer.changed@1]"),
    but("overlap: skip", "overlap: cancel"),
    but("tests:\n", "tests:\n  - {name: none, given: {rows: [{id: 1, name: null}]}, expect: {refused: [{row: 0}]}}\n"),
]


@pytest.mark.parametrize("text", GOOD)
def test_what_is_declared_is_taken(text: str) -> None:
    assert [str(each) for each in checked(text).findings] == []
    assert job_of(body(text)).name == "customers-to-erp"


WRONG = [
    # text, the code, a word of the message
    (but("*/15 6-22", "59/15 6-22"), "CRON", "does not say where it ends"),
    (but("skip_unchanged: true", "revertible: 7d"), "CANNOT", "cannot tell what it holds"),
    (but("mode: upsert ", "revertible: 7d\n  mode: append "), "CONTRADICTION", "keeps nothing of them"),
    (but('"*/15 6-22 * * 1-6"', '"0 0 31 2 *"'), "CRON", "never comes"),
    (but("Asia/Almaty", "Asia/Almaly"), "TIME_ZONE", "Asia/Almaly"),
    (but("grace: 2h", "grace: 2h, jitter: 15m"), "WRONG_VALUE", "900 s apart"),
    (but("grace: 2h", "grace: 60d"), "WRONG_VALUE", "1m to 30d"),
    (but("misfire: latest", "misfire: last"), "WRONG_VALUE", "none, latest, all"),
    (but("legacy-db.query.read", "legacy.query.read"), "UNKNOWN_REFERENCE", "legacy"),
    (but("legacy-db.query.read", "legacy-db.query.raed"), "UNKNOWN_OPERATION", "raed"),
    (but("legacy-db.query.read", "erp.customers.upsert"), "NO_SOURCE", "no sync job reads"),
    (but("erp.customers.upsert", "legacy-db.query.read"), "NO_TARGET", "no sync job writes"),
    (but("  sql: SELECT", "  sqll: SELECT"), "OPTION", "sqll"),
    (but("  sql: SELECT", "  limit: many\n  sql: SELECT"), "OPTION", "integer"),
    (but("  primary_key: [id]\n", ""), "MISSING_KEY", "primary_key"),
    (but("primary_key: [id]", "primary_kye: [id]"), "OPTION", "primary_kye"),
    (but(CURSOR, "cursor: {initial: 1}"), "MISSING_KEY", "fields"),
    (but(CURSOR, "cursor: {kind: token}"), "CANNOT", "token"),
    (but(CURSOR, "cursor: {kind: token, fields: [a]}"), "CONTRADICTION", "fields"),
    (but(CURSOR, "cursor: {kind: integer, fields: [id], lookback: 5m}"), "WRONG_TYPE", "whole number"),
    (but(CURSOR, "cursor: {kind: integer, fields: [id], settle: 5s}"), "CONTRADICTION", "settle"),
    (but(CURSOR, "cursor: {kind: integer, fields: [id], initial: a}"), "WRONG_TYPE", "integer"),
    (but(CURSOR, "cursor: {fields: [a], lookback: 5}"), "WRONG_TYPE", "duration"),
    (but(CURSOR, "cursor: {fields: [a], initial: yesterday}"), "WRONG_VALUE", "a time"),
    (but(CURSOR, 'cursor: {fields: [a], initial: ["2026-01-01T00:00:00Z", 1]}'), "WRONG_VALUE", "one value"),
    (but("mode: upsert ", "mode: replace "), "CANNOT", "cannot replace"),
    (but("mode: upsert ", "mode: upsrt "), "WRONG_VALUE", "upsrt"),
    (but("  match_on: [external_id]\n", ""), "MISSING_KEY", "match_on"),
    (but("match_on: [external_id]", "match_on: [externalid]"), "WRONG_VALUE", "the map makes no"),
    (but("  name: {from: row.name, required: true}", "  nmae: row.name"), "UNKNOWN_KEY", "takes no"),
    (but("  external_id: text(row.id)\n", ""), "MISSING_KEY", "external_id"),
    (but("action: archive", "action: delete"), "CANNOT", "cannot delete"),
    (but(DELETE, "delete: {detect: flag}"), "MISSING_KEY", "when"),
    (but(DELETE, "delete: {detect: tombstone, every: 1h}"), "CONTRADICTION", "every"),
    (but(DELETE, "delete: {detect: key_snapshot, when: row.gone}"), "CONTRADICTION", "when"),
    (but("mode: upsert ", "mode: insert_only "), "CONTRADICTION", "insert_only"),
    (but(DELETE, "").replace("mode: upsert ", "mode: mirror "), "MISSING_KEY", "mirror"),
    (but("events: [legacy.customer.changed]", ""), "CONTRADICTION", "on_event"),
    (but("data.customer_id", "data.customerid"), "PATH_UNKNOWN", "customerid"),
    (but("[legacy.customer.changed]", "[legacy.customer.changed@2]"), "UNKNOWN_REFERENCE", "its versions are 1"),
    (but("data.customer_id", "row.id"), "EXPR_UNKNOWN_ROOT", "row"),
    (but("{one: data.customer_id}", "{run: false}"), "WRONG_VALUE", "true"),
    (but("row.city", "run.city"), "PATH_UNKNOWN", "city"),
    (but("row.city", "data.city"), "EXPR_UNKNOWN_ROOT", "data"),
    (but("size: 500", "size: 0"), "WRONG_VALUE", "1 to 10000"),
    (but("max_error_percent: 5", "max_error_percent: 101"), "WRONG_VALUE", "0 to 100"),
    (but("attempts: 6", "tries: 6"), "UNKNOWN_KEY", "tries"),
    (but("on_record_error: dead_letter", "on_record_error: ignore"), "WRONG_VALUE", "dead_letter"),
    (but("      records:", "      recods:"), "UNKNOWN_KEY", "recods"),
    (but("legacy-db.query.read", "legacy-db.feed.read").replace("sql: SELECT", "path: SELECT"), "CANNOT", "one record"),
    (but("  sql: SELECT", "  sql: sk_live_0123456789abcdef SELECT"), "CREDENTIAL", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "code", "word"), WRONG)
def test_each_mistake_is_found(text: str, code: str, word: str) -> None:
    found = [each for each in checked(text).findings if each.code == code and each.severity == "error"]
    assert found, checked(text).findings
    assert any(word in str(each) for each in found), found
    assert all(each.file == "a.yaml" and each.line > 10 for each in found)


def test_the_sync_job_of_the_guide_passes_check_and_its_test_passes() -> None:
    page = (Path(__file__).parents[2] / "docs" / "syncs.md").read_text("utf-8")
    text = next(each.partition("```")[0] for each in page.split("```yaml\n") if "customers-to-crm" in each)
    world = FixedCatalog(plugins=plugin_facts(discover()))
    result = check([File("guide.yaml", text.encode())], world, KINDS)
    assert [str(each) for each in result.findings] == []
    report = run_tests(result.documents, world, KINDS)
    assert [(each.test, each.differences) for each in report.outcomes] == [
        ("a customer without a name is refused, and no other", ())
    ]
    job = job_of(next(each.body for each in result.documents if each.kind == "SyncJob"))
    assert (job.batch, job.retry.tries) == (100, 3)
    assert job.schedule is not None
    assert job.schedule.cron.text == "0 */6 * * *"


def test_no_option_of_a_plugin_is_hidden_by_a_field_of_ours() -> None:
    for name, plugin in discover().items():
        adapter = plugin.adapter_factory()
        for ends, ours in ((adapter.sources, OF_SOURCE), (adapter.targets, OF_TARGET)):
            for end in ends:
                assert not end.options_schema.get("properties", {}).keys() & {*ours}, (name, end.operation.name)


FAILING = [
    ("city: unknown, credit_limit", "city: Paris, credit_limit", 'records[0].city: expected "Paris", got "unknown"'),
    ("{id: 1, name: ACME,", "{id: 1, name: null,", "records[0]: expected"),
    ("      records:", "      refused: [{row: 0, code: EXPR_MISSING}]\n      records:", "refused.row 0"),
]


@pytest.mark.parametrize(("old", "new", "said"), FAILING)
def test_a_test_that_fails_says_what_differs(old: str, new: str, said: str) -> None:
    report = run_tests(checked(but(old, new)).documents, catalog(), KINDS)
    assert not report.ok
    assert any(said in each for each in report.outcomes[0].differences), report.outcomes[0].differences


def test_a_refused_row_is_expected_with_its_code_and_a_deleted_one_by_its_number() -> None:
    text = (
        but(DELETE, "delete: {detect: flag, when: row.deleted}").partition("tests:\n")[0]
        + """tests:
  - name: a row without a name is refused, one that is flagged is gone
    given:
      rows: [{id: 1, name: null}, {id: 2, name: B, email: X, deleted: true}]
    expect: {records: [], refused: [{row: 0, code: EXPR_MISSING}], deleted: [1]}
"""
    )
    report = run_tests(checked(text).documents, catalog(), KINDS)
    assert [each.differences for each in report.outcomes] == [()]


PLUGINS = plugin_facts({name: plugin for name, plugin in discover().items() if name in ("sql", "http")})
ENDS = """\
kind: Integration
name: db
plugin: sql
config: {url: "sqlite:///a.db"}
---
kind: Integration
name: api
plugin: http
config: {base_url: "https://api.example.com"}
---
kind: SyncJob
name: copies
source:
  call: db.query.read
  sql: SELECT id FROM a WHERE b = :b
  params: {b: 1}
  primary_key: [id]
target:
  call: api.resource.write
  path: /as
  find: {path: "/as/{{ record.id }}"}
  update: {path: "/as/{{ found.id }}"}
  match_on: [id]
"""
FIND = ENDS[ENDS.index("  find:") : ENDS.index("  match_on")]
READS_API = (
    ENDS[: ENDS.index("kind: SyncJob")]
    + """\
kind: SyncJob
name: back
source:
  call: api.resource.list
  path: /as
  pagination: {kind: cursor, param: after, next: meta.next}
  primary_key: [id]
target: {call: db.table.write, table: a, match_on: [id]}
"""
)


def told(text: str) -> list[str]:
    return [str(each) for each in check([File("a.yaml", text.encode())], FixedCatalog(plugins=PLUGINS), KINDS).findings]


def test_ends_of_real_plugins_pass() -> None:
    assert told(ENDS) == []
    assert told(READS_API) == []


@pytest.mark.parametrize(
    ("text", "old", "new", "place", "word"),
    [
        (ENDS, "SELECT id FROM a WHERE b = :b", "DELETE FROM a", "a.yaml:15:8", "SELECT"),
        (ENDS, "b = :b", "b = :c", "a.yaml:16:11", ":c has no value here"),
        (ENDS, "{b: 1}", "{b: 1, d: 2}", "a.yaml:16:21", "no parameter of that name"),
        (ENDS, "  params: {b: 1}\n", "", "a.yaml:14:3", ":b has no value here"),
        (ENDS, "params:", "parms:", "a.yaml:16:3", "parms"),
        (ENDS, '  update: {path: "/as/{{ found.id }}"}\n', "", "a.yaml:21:9", '"update"'),
        (ENDS, "{{ record.id }}", "{{ record..id }}", "a.yaml:21:16", "no JMESPath"),
        (
            ENDS.replace(FIND, ""),
            "  match_on",
            "  mode: update_only\n  bulk: {size: 5}\n  match_on",
            "a.yaml:22:9",
            "bulk",
        ),
        (READS_API, "next: meta.next", "next: meta..next", "a.yaml:16:50", "no JMESPath"),
        (READS_API, "kind: cursor, param: after, ", "kind: cursor, ", "a.yaml:16:15", "param"),
        (READS_API, "kind: cursor", "kind: coursor", "a.yaml:16:22", "did you mean cursor"),
        (
            READS_API,
            "table: a,",
            "table: a, mode: replace, add_columns: true,",
            "a.yaml:18:70",
            "columns are not added",
        ),
    ],
)
def test_what_a_plugin_knows_of_its_options_is_told_at_its_place(
    text: str, old: str, new: str, place: str, word: str
) -> None:
    assert text.count(old) == 1
    findings = told(text.replace(old, new))
    assert [each for each in findings if place in each and word in each], findings


def test_a_plugin_that_breaks_while_it_checks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    source = PLUGINS["sql"].operations["query.read"].source

    def broken(_options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(source, "problems", broken)
    assert [each for each in told(ENDS) if "a.yaml:14:9" in each and "ZeroDivisionError" in each]


def test_a_schedule_that_is_closer_than_the_server_allows_is_refused() -> None:
    every_five = but('"*/15 6-22 * * 1-6"', '"*/5 * * * *"')

    def findings(least: float) -> list[str]:
        world = FixedCatalog(plugins=catalog().plugins, min_interval=least)
        files = [File("a.yaml", every_five.encode()), File("b.yaml", EVENT.removeprefix("\n---\n").encode())]
        return [str(each) for each in check(files, world, KINDS).findings]

    assert findings(300.0) == []
    [found] = findings(301.0)
    assert "300 s apart; 301 s is the least here (CROSSDOCK_SYNC_MIN_INTERVAL)" in found

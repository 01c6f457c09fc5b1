"""What `two_way` may say, and each mistake at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.authoring.check import check
from server.authoring.kinds import default_kinds
from server.authoring.testing import test as run_tests
from server.documents.catalog import FixedCatalog
from server.documents.reading import File
from server.integrations.plugins import discover
from server.integrations.spec import plugin_facts

TEXT = """
kind: Integration
name: old
plugin: sql
config: {url: "sqlite:///old.db"}
---
kind: Integration
name: new
plugin: sql
config: {url: "sqlite:///new.db"}
---
kind: SyncJob
name: customers
source:
  call: old.query.read
  sql: SELECT * FROM customers
  primary_key: [id]
map:
  external_id: text(row.id)
  name: row.name
  email: lower(row.email)
target: {call: new.table.write, table: people, match_on: [external_id]}
two_way:
  source: {call: new.query.read, sql: SELECT * FROM people, primary_key: [external_id]}
  map:
    id: {from: row.external_id, type: integer}
    name: row.name
    email: row.email
  target: {call: old.table.write, table: customers, match_on: [id]}
  conflicts: {default: target_wins, fields: {email: newest, name: manual}}
  updated: {source: row.updated_at, target: row.changed_at}
tests:
  - name: both ways
    given:
      rows: [{id: 1, name: ACME, email: A@B.C}]
      target_rows: [{external_id: "1", name: ACME, email: a@b.c}]
    expect:
      records: [{external_id: "1", name: ACME, email: a@b.c}]
      back: [{id: 1, name: ACME, email: a@b.c}]
"""
CATALOG = FixedCatalog(plugins=plugin_facts(discover()))


def found(text: str) -> list[tuple[str, str]]:
    result = check([File("a.yaml", text.encode())], CATALOG, default_kinds())
    return [(each.code, each.message) for each in result.findings]


def test_a_job_that_goes_both_ways_passes_check_and_its_tests_play_both_directions() -> None:
    assert found(TEXT) == []
    assert found(TEXT.replace("  conflicts:", "  deletes: {of: source, every: 1h, action: delete}\n  conflicts:")) == []
    result = check([File("a.yaml", TEXT.encode())], CATALOG, default_kinds())
    assert [each.differences for each in run_tests(result.documents, CATALOG, default_kinds()).outcomes] == [()]
    wrong = TEXT.replace("back: [{id: 1, name: ACME", "back: [{id: 1, name: OTHER")
    result = check([File("a.yaml", wrong.encode())], CATALOG, default_kinds())
    [outcome] = run_tests(result.documents, CATALOG, default_kinds()).outcomes
    assert "OTHER" in str(outcome.differences)


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ("{email: newest", "{e_mail: newest", "WRONG_VALUE", 'makes no "e_mail"'),
        ("{email: newest", "{email: latest", "WRONG_VALUE", "latest"),
        (", target: row.changed_at}", "}", "MISSING_KEY", "updated.target"),
        ("match_on: [id]}", "match_on: [name]}", "WRONG_VALUE", "the source's primary_key: id"),
        ("primary_key: [external_id]}", "primary_key: [name]}", "WRONG_VALUE", "the target's match_on: external_id"),
        ("    email: row.email\n", "", "CONTRADICTION", "does not read row.email"),
        ("match_on: [external_id]}\n", "match_on: [external_id], mode: append}\n", "CONTRADICTION", "mode append"),
        (
            "match_on: [external_id]}\n",
            "match_on: [external_id], skip_unchanged: false}\n",
            "CONTRADICTION",
            "skip_unchanged",
        ),
        (
            "match_on: [external_id]}\n",
            "match_on: [external_id], revertible: 1d}\n",
            "CONTRADICTION",
            "two sides to undo",
        ),
        (
            "match_on: [external_id]}\n",
            "match_on: [external_id], delete: {detect: tombstone}}\n",
            "CONTRADICTION",
            "say two_way.deletes",
        ),
        ("  conflicts:", "  deletes: {of: nobody}\n  conflicts:", "WRONG_VALUE", "nobody"),
        ("  conflicts:", "  deletes: {max_percent: 101}\n  conflicts:", "WRONG_VALUE", "0 to 100"),
        ("call: new.query.read, sql", "call: new.table.write, sql", "NO_SOURCE", "reads"),
        ("call: old.table.write, table", "call: old.query.read, table", "NO_TARGET", "writes"),
    ],
)
def test_each_mistake_is_found(old: str, new: str, code: str, message: str) -> None:
    assert old in TEXT
    findings = found(TEXT.replace(old, new, 1))
    assert any(each == code and message in said for each, said in findings), findings


def test_the_example_of_the_documentation_passes_check_and_its_test() -> None:
    page = (Path(__file__).parents[2] / "docs" / "syncs.md").read_text("utf-8")
    example = page.split("## Both ways")[1].split("```yaml\n")[1].split("```")[0]
    ends = (
        TEXT.split("---\nkind: SyncJob", maxsplit=1)[0]
        .replace("name: old", "name: crm-db")
        .replace("name: new", "name: erp-db")
    )
    text = f"{ends}---\n{example}"
    assert found(text) == []
    result = check([File("a.yaml", text.encode())], CATALOG, default_kinds())
    assert [each.differences for each in run_tests(result.documents, CATALOG, default_kinds()).outcomes] == [()]

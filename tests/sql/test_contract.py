"""The contract of sources and targets on a real PostgreSQL; the suite of all plugins runs it on SQLite."""

from __future__ import annotations

from server.sdk import SourceStage, TargetStage
from server.sdk.testing_syncs import check_source, check_target


class Stages:
    """Sets the stage of the contract in PostgreSQL."""

    def __init__(self, database):
        self._database = database
        database.run("CREATE TABLE items (id int PRIMARY KEY, name text, updated_at timestamptz)")
        database.run("CREATE TABLE copies (id int PRIMARY KEY, name text, note json, archived boolean)")

    def source(self, _operation, ticks):
        self._database.run("TRUNCATE items")
        for number, tick in enumerate(ticks):
            moment = f"2026-01-01T00:00:{tick:02d}Z"
            self._database.run("INSERT INTO items VALUES (%s, %s, %s)", number, "tea", moment)
        return SourceStage(options={"sql": "SELECT * FROM items"}, primary_key=("id",), cursor=("updated_at",))

    def target(self, _operation):
        self._database.run("TRUNCATE copies")
        return TargetStage(
            options={"table": "copies", "archive_field": "archived"},
            match_on=("id",),
            record=lambda number, text: {"id": number, "name": text, "note": {"a": text}},
        )

    def stored(self, _operation):
        rows = self._database.run("SELECT id, name, note FROM copies")
        return [dict(zip(("id", "name", "note"), row, strict=True)) for row in rows]


def test_the_source_keeps_the_contract_on_postgresql(postgres):
    assert list(check_source(postgres.source, Stages(postgres), postgres.context)) == []


def test_the_target_keeps_the_contract_on_postgresql(postgres):
    assert list(check_target(postgres.target, Stages(postgres), postgres.context)) == []

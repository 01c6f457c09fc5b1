"""`new sync` begins a sync job from a table, an API or a file: what it writes passes the check, and runs."""

from __future__ import annotations

import json
import random
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from server.authoring.openapi import read_openapi
from server.kernel.errors import Invalid

if TYPE_CHECKING:
    from pathlib import Path

    from server.config import Settings

ERP = "kind: Integration\nname: erp\nplugin: erp_sandbox\n"
OLD = "kind: Integration\nname: old\nplugin: sql\nconfig: {url: 'sqlite:///old.db'}\n"
OPENAPI: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Shop API"},
    "servers": [{"url": "https://shop.example.com/v1"}],
    "components": {
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        "schemas": {
            "Customer": {
                "type": "object",
                "properties": {
                    "id": {"type": "integer"},
                    "name": {"type": "string"},
                    "updated_at": {"type": "string", "format": "date-time"},
                    "credit": {"type": "number"},
                },
            }
        },
    },
    "paths": {
        "/customers": {
            "get": {
                "summary": "All customers",
                "parameters": [{"name": "page", "in": "query"}, {"name": "per_page", "in": "query"}],
                "responses": {
                    "200": {
                        "content": {
                            "application/json": {
                                "schema": {
                                    "type": "object",
                                    "properties": {
                                        "data": {"type": "array", "items": {"$ref": "#/components/schemas/Customer"}},
                                        "total": {"type": "integer"},
                                    },
                                }
                            }
                        }
                    }
                },
            }
        },
        "/customers/{id}": {"get": {"responses": {"200": {}}}},
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "definitions"
    made.mkdir()
    (made / "erp.yaml").write_text(ERP)
    return made


def begun(cli: Any, folder: Path, source: str, to: str = "erp.customers.upsert", *more: str) -> str:
    cli.ok("new", "sync", "begun", "--from", source, "--to", to, "--dir", str(folder), *more)
    assert cli.ok("check", str(folder)).endswith("0 errors, 0 warnings\n")
    return (folder / "sync-jobs" / "begun.yaml").read_text()


CSV = "id,name,Email,credit,updated_at\n1,ACME,a@b.c,10.5,2026-01-01T00:00:00Z\n2,Beta,b@b.c,1,2026-01-02T00:00:00Z\n"
ROWS = [{"id": 1, "name": "ACME", "tags": ["a"]}, {"id": 2, "name": "Beta", "tags": []}]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("customers.csv", CSV),
        ("customers.json", json.dumps(ROWS)),
        ("customers.jsonl", "\n".join(map(json.dumps, ROWS))),
    ],
)
def test_a_sample_file_begins_a_job_into_the_erp(cli, tmp_path, folder, file, content):
    (tmp_path / file).write_text(content)
    text = begun(cli, folder, str(tmp_path / file))
    assert "call: begun-files.files.read" in text
    assert f"path: {file}" in text
    assert "match_on: [external_id]" in text
    assert "name: row.name" in text
    assert "# " in text


def test_a_parquet_file_and_a_sheet_are_read_too(cli, tmp_path, folder):
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    parquet.write_table(arrow.Table.from_pylist([{"id": 1, "name": "a"}]), tmp_path / "c.parquet")
    assert "name: row.name" in begun(cli, folder, str(tmp_path / "c.parquet"))
    from openpyxl import Workbook

    book = Workbook()
    for row in (["id", "name"], [1, "a"]):
        book.active.append(row)
    book.save(tmp_path / "c.xlsx")
    assert "path: c.xlsx" in begun(cli, folder, str(tmp_path / "c.xlsx"), "erp.customers.upsert", "--force")


@pytest.mark.parametrize("content", [random.Random(6).randbytes(1000), b"\xff\xfe\x00", b'id,name\n1,"a\n'])
def test_a_sample_whose_rows_cannot_be_read_begins_nothing(cli, tmp_path, folder, content):
    (tmp_path / "r.csv").write_bytes(content)
    command = ("new", "sync", "s6", "--from", str(tmp_path / "r.csv"), "--to", "erp.customers.upsert")
    result = cli(*command, "--dir", str(folder))
    assert (result.exit_code, "cannot be read" in result.stderr) == (2, True), result.output
    assert not (folder / "sync-jobs" / "s6.yaml").exists()


def test_nothing_is_written_over_a_file_without_force(cli, tmp_path, folder):
    (tmp_path / "c.csv").write_text(CSV)
    begun(cli, folder, str(tmp_path / "c.csv"))
    arguments = (
        "new",
        "sync",
        "begun",
        "--from",
        str(tmp_path / "c.csv"),
        "--to",
        "erp.customers.upsert",
        "--dir",
        folder,
    )
    assert cli(*map(str, arguments)).exit_code == 4
    cli.ok(*map(str, arguments), "--force")


def test_an_openapi_document_begins_a_job_with_pages_and_a_secret(cli, tmp_path, folder):
    (tmp_path / "api.json").write_text(json.dumps(OPENAPI))
    text = begun(cli, folder, str(tmp_path / "api.json"))
    assert 'base_url: "https://shop.example.com/v1"' in text
    assert "token: {secret: SHOP_API_TOKEN}" in text
    assert "pagination: {kind: page, param: page, first: 1, size_param: per_page, size: 100}" in text
    assert "records: data" in text
    assert "fields: [updated_at, id]" in text
    (folder / "sync-jobs" / "begun.yaml").unlink()
    two = {**OPENAPI, "paths": {**OPENAPI["paths"], "/vendors": OPENAPI["paths"]["/customers"]}}
    (tmp_path / "api.json").write_text(json.dumps(two))
    refused = cli(
        "new", "sync", "x", "--from", str(tmp_path / "api.json"), "--to", "erp.customers.upsert", "--dir", str(folder)
    )
    assert refused.exit_code == 2
    assert "/vendors" in refused.output
    assert 'path: "/vendors"' in begun(cli, folder, f"{tmp_path / 'api.json'}#/vendors")


@pytest.mark.parametrize("document", [{}, {"paths": []}, [], None, "x"])
def test_what_is_no_openapi_document_is_refused(document):
    with pytest.raises(Invalid):
        read_openapi(document)


def test_a_document_that_refers_to_itself_ends():
    loop = {"openapi": "3", "paths": {}, "components": {"schemas": {"A": {"$ref": "#/components/schemas/A"}}}}
    loop["paths"] = {"/a": {"get": {"responses": {"200": {"$ref": "#/components/schemas/A"}}}}}
    assert read_openapi(loop).datasets == ()


@pytest.mark.parametrize(
    ("source", "to", "message"),
    [
        ("nowhere", "erp.customers.upsert", "INTEGRATION:TABLE"),
        ("FILE", "erp.customers.get", "customers.upsert"),
        ("FILE", "erp.nothing.here", "customers.upsert"),
    ],
)
def test_what_cannot_be_begun_says_why(cli, tmp_path, folder, source, to, message):
    (tmp_path / "c.csv").write_text(CSV)
    source = source.replace("FILE", str(tmp_path / "c.csv"))
    refused = cli("new", "sync", "x", "--from", source, "--to", to, "--dir", str(folder))
    assert (refused.exit_code, message in refused.output) == (2, True), refused.output
    assert not (folder / "sync-jobs").exists()


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """Local files are allowed, and the workspace has a database among them."""
    file = tmp_path / "files" / "default" / "default" / "old.db"
    file.parent.mkdir(parents=True)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, updated_at TIMESTAMP)")
    return replace(settings, files=tmp_path / "files")


def test_a_table_of_an_integration_of_the_workspace_begins_a_job(local, tmp_path):
    there = tmp_path / "there"
    there.mkdir()
    (there / "all.yaml").write_text(ERP + "---\n" + OLD)
    local.ok("apply", str(there))
    arguments = ("--to", "erp.customers.upsert", "--dir", str(tmp_path / "here"))
    local.ok("new", "sync", "customers", "--from", "old:customers", *arguments)
    text = (tmp_path / "here" / "sync-jobs" / "customers.yaml").read_text()
    assert "kind: Integration" not in text, "the workspace has it"
    assert "call: old.query.read" in text
    assert "cursor: {fields: [updated_at, id], lookback: 5m}" in text
    local.ok("apply", str(tmp_path / "here"))
    assert local.json("sync", "list")["items"][0]["name"] == "customers"
    refused = local("new", "sync", "other", "--from", "old:nothing", *arguments)
    assert refused.exit_code != 0
    assert "nothing" in refused.output
    assert local("new", "sync", "other", "--from", "older:customers", *arguments).exit_code != 0

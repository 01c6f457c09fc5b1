"""`files.read` and `files.write`: every row of every format once, wherever a reading stops; files whole or not at all."""

from __future__ import annotations

import gzip
import json
import os
import tracemalloc
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import openpyxl
import pytest

from plugins.files.adapter import FilesAdapter
from plugins.files.mock import FilesMock
from server.integrations.scaffold import loopback_reach, loopback_session
from server.kernel.errors import Permanent
from server.sdk import Batch, Destination, ReadRequest, Schema
from server.sdk.plugin import load_plugin
from server.sdk.testing import Rig

FOLDER = Path(__file__).parents[2] / "plugins" / "files"
SOURCE, TARGET = FilesAdapter.sources[0], FilesAdapter.targets[0]
ROWS = [{"id": str(number), "name": f"Thing {number}"} for number in range(7)]
OLD = 1_767_225_600  # 2026-01-01


def csv_of(rows):
    return "id,name\n" + "".join(f"{row['id']},{row['name']}\n" for row in rows)


def xlsx(path, rows):
    book = openpyxl.Workbook()
    for row in (["id", "name"], *([row["id"], row["name"]] for row in rows)):
        book.active.append(row)
    book.save(path)


def parquet(path, rows):
    from pyarrow import Table
    from pyarrow.parquet import write_table

    write_table(Table.from_pylist(rows), path)


def xml(rows, mark=""):
    items = "".join(f'<item id="{row["id"]}"><name>{row["name"]}</name></item>' for row in rows)
    return f'<?xml version="1.0"?>{mark}<all xmlns="urn:x"><head/><items>{items}</items></all>'


MAKERS = {
    "a.csv": lambda path: path.write_text(csv_of(ROWS)),
    "a.csv.gz": lambda path: path.write_bytes(gzip.compress(csv_of(ROWS).encode(), mtime=0)),
    "a.tsv": lambda path: path.write_text(csv_of(ROWS).replace(",", "\t")),
    "a.jsonl": lambda path: path.write_text("\n".join(map(json.dumps, ROWS))),
    "a.jsonl.gz": lambda path: path.write_bytes(gzip.compress("\n".join(map(json.dumps, ROWS)).encode())),
    "a.json": lambda path: path.write_text(json.dumps(ROWS)),
    "a.json.gz": lambda path: path.write_bytes(gzip.compress(json.dumps(ROWS).encode(), mtime=0)),
    "a.xlsx": lambda path: xlsx(path, ROWS),
    "a.parquet": lambda path: parquet(path, ROWS),
    "a.xml": lambda path: path.write_text(xml(ROWS)),
}


@pytest.fixture
def mock():
    with FilesMock() as running:
        (running.folder / "in/things.csv").unlink()
        yield running


def context(mock):
    return Rig(load_plugin(FOLDER, "plugins.files"), loopback_session, loopback_reach).context(mock)


def request(path, *, size=2, token=None, position=None, **options):
    options = {"path": path, **options}
    assert Schema(dict(SOURCE.options_schema)).errors(options) == ()
    return ReadRequest(options=options, primary_key=("id",), size=size, token=token, position=position)


def put(mock, name, content, changed=OLD):
    path = mock.folder / "in" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if callable(content):
        content(path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content, "utf-8")
    os.utime(path, (changed, changed))
    return path


def read(mock, path, **given):
    return list(SOURCE.read(request(path, **given), context(mock)))


def rows(pages):
    return [row for page in pages for row in page.rows]


def shaped(name, found):
    return [{"id": row["@id"], "name": row["name"]} for row in found] if name == "a.xml" else found


@pytest.mark.parametrize("name", MAKERS)
def test_every_row_comes_once_and_a_reading_goes_on_after_any_page(mock, name):
    put(mock, name, MAKERS[name])
    more = {"records": "item"} if name == "a.xml" else {}
    pages = read(mock, f"in/{name}", **more)
    assert shaped(name, rows(pages)) == ROWS
    assert [len(page.rows) for page in pages] == [2, 2, 2, 1]
    for place, page in enumerate(pages):
        position = json.loads(json.dumps(page.position))
        assert rows(read(mock, f"in/{name}", position=position, **more)) == rows(pages[place + 1 :])


def test_the_next_run_reads_what_is_new_or_changed(mock):
    put(mock, "a.csv", csv_of(ROWS[:2]))
    put(mock, "b.csv", csv_of(ROWS[2:3]), OLD + 10)
    pages = read(mock, "in/*.csv")
    assert rows(pages) == ROWS[:3]
    token = pages[-1].token
    assert read(mock, "in/*.csv", token=token) == []
    put(mock, "0.csv", csv_of(ROWS[3:4]), OLD + 10)  # as old as the last one, and before it by name
    put(mock, "c.csv", csv_of(ROWS[4:5]), OLD + 20)
    pages = read(mock, "in/*.csv", token=token)
    assert rows(pages) == ROWS[3:5]
    put(mock, "a.csv", csv_of(ROWS[5:6]), OLD + 30)
    assert rows(read(mock, "in/*.csv", token=pages[-1].token)) == ROWS[5:6]


def test_a_run_that_stopped_between_files_or_in_one_goes_on_there(mock):
    for number in range(3):
        put(mock, f"{number}.csv", csv_of(ROWS[number * 2 : number * 2 + 2]), OLD + number // 2)
    pages = read(mock, "in/*.csv", size=1)
    for place, page in enumerate(pages):
        assert rows(read(mock, "in/*.csv", size=1, position=page.position)) == rows(pages[place + 1 :])


def test_a_file_that_changed_while_it_was_read_is_read_from_its_start(mock):
    put(mock, "a.csv", csv_of(ROWS[:4]))
    position = read(mock, "in/*.csv")[0].position
    put(mock, "a.csv", csv_of(ROWS[4:]), OLD + 5)
    assert rows(read(mock, "in/*.csv", position=position)) == ROWS[4:]


def test_a_file_that_may_not_be_finished_waits(mock):
    put(mock, "a.csv", csv_of(ROWS[:1]), datetime.now(UTC).timestamp())
    assert read(mock, "in/*.csv", settle="1h") == []
    assert rows(read(mock, "in/*.csv", settle="0s")) == ROWS[:1]


def test_older_files_are_left_out_and_a_place_can_be_added(mock):
    put(mock, "a.csv", csv_of(ROWS[:1]))
    put(mock, "b.csv", csv_of(ROWS[1:2]), OLD + 100)
    found = rows(read(mock, "in/*.csv", modified_since="2026-01-01T00:01:00Z", with_place=True))
    moment = datetime(2026, 1, 1, 0, 1, 40, tzinfo=UTC)
    assert found == [{**ROWS[1], "_file": "in/b.csv", "_row": 1, "_modified": moment}]


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        ("\ufeffid;name\n1;ä\n".encode(), {"delimiter": ";"}, [{"id": "1", "name": "ä"}]),
        ("id,name\n1,ä\n".encode("latin-1"), {"encoding": "latin-1"}, [{"id": "1", "name": "ä"}]),
        ('id,name\r\n1,"a\r\nb ""c"""\r\n', {}, [{"id": "1", "name": 'a\r\nb "c"'}]),
        ("id,name\n1,'a\\'b'\n", {"quote": "'", "escape": "\\"}, [{"id": "1", "name": "a'b"}]),
        ("1,a\n", {"header": False, "fields": ["x", "y"]}, [{"x": "1", "y": "a"}]),
        ("1,a\n", {"header": False}, [{"column_1": "1", "column_2": "a"}]),
        ("id,name\n1,a\n", {"fields": ["x", "y"]}, [{"x": "1", "y": "a"}]),
        ("# of yesterday\n\nid,name\n1,a\n", {"skip": 2}, [{"id": "1", "name": "a"}]),
        ("id,name\n1,NULL\n2,\n", {"null": ["NULL"]}, [{"id": "1", "name": None}, {"id": "2", "name": ""}]),
        ("id,name\n", {}, []),
        ("", {}, []),
    ],
)
def test_csv_comes_in_many_dialects(mock, content, options, expected):
    put(mock, "a.csv", content)
    assert rows(read(mock, "in/a.csv", **options)) == expected


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", "id,name\n1,a\n2\n3,c\n", "line 3 has 1 fields where 2 are due"),
        ("a.csv", "id,name\n1,a\n2,b,c\n3,c\n", "line 3 has 3 fields where 2 are due"),
        ("a.csv", b"id,name\n1,a\n2,\xff\n3,c\n", "line 3 is not utf-8"),
        ("a.csv", 'id,name\n1,a\n2,"b"c\n3,c\n', "line 3: ',' expected after '\"'"),
        ("a.jsonl", '{"id": "1", "name": "a"}\n{"id"\n{"id": "3", "name": "c"}', "line 2 is no JSON"),
        ("a.jsonl", '{"id": "1", "name": "a"}\n[1]\n{"id": "3", "name": "c"}', "line 2 is no object"),
        ("a.json", '[{"id": "1", "name": "a"}, 7, {"id": "3", "name": "c"}]', "element 2 is no object"),
    ],
)
def test_a_bad_row_is_handed_out_with_its_place_and_the_rest_is_read(mock, name, content, reason):
    put(mock, name, content)
    found = rows(read(mock, f"in/{name}"))
    assert [row.get("id") for row in found] == ["1", None, "3"]
    assert found[1]["_error"] == reason


LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.csv", "id,id\n1,2\n", "FILE_BROKEN"),
        ("a.csv", "id\n" + "x" * (17 * 1024 * 1024), "FILE_BROKEN"),
        ("a.csv.gz", b"no gzip", "FILE_BROKEN"),
        ("a.csv.gz", gzip.compress(csv_of(ROWS * 100).encode(), mtime=0)[:-20], "FILE_BROKEN"),
        ("a.json", '[{"id": 1}', "FILE_BROKEN"),
        ("a.xml", xml(ROWS)[:-9], "FILE_BROKEN"),
        ("a.xml", xml(ROWS, LAUGHS), "FILE_BROKEN"),
        ("a.xml", xml(ROWS, OUTSIDE), "FILE_BROKEN"),
        ("a.xml", "<a>" + "<b>" * 5_000 + "</b>" * 5_000 + "</a>", "FILE_BROKEN"),
        ("a.xlsx", b"no zip", "FILE_BROKEN"),
        ("a.parquet", b"no parquet", "FILE_BROKEN"),
        ("a.dat", "x", "FORMAT_MISSING"),
    ],
)
def test_a_file_that_is_not_of_its_format_is_named(mock, name, content, code):
    put(mock, name, content)
    with pytest.raises(Permanent) as error:
        read(mock, f"in/{name}")
    assert error.value.code == code
    assert name in error.value.message


def test_numbers_keep_their_digits(mock):
    put(mock, "a.jsonl", '{"id": 1, "price": 12345678901234.5678901234}\n{"id": 2, "price": 1.5}\n')
    assert [row["price"] for row in rows(read(mock, "in/a.jsonl"))] == [Decimal("12345678901234.5678901234"), 1.5]


def test_a_sheet_is_chosen_and_its_times_have_a_zone(mock):
    def make(path):
        book = openpyxl.Workbook()
        sheet = book.create_sheet("Second")
        for row in (["of yesterday"], ["id", "at", "n"], [1, datetime(2026, 1, 2, 3, 4), 2.0], [], [2, None, 1.5]):  # noqa: DTZ001 - as in a sheet
            sheet.append(row)
        book.save(path)

    put(mock, "a.xlsx", make)
    assert rows(read(mock, "in/a.xlsx", sheet="Second", skip=1)) == [
        {"id": 1, "at": datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "n": 2},
        {"id": 2, "at": None, "n": 1.5},
    ]


def test_xml_keeps_attributes_lists_and_text(mock):
    put(mock, "a.xml", '<r><o n="1"><l>a</l><l>b</l><t k="v">x</t><e/></o><o>plain</o></r>')
    assert rows(read(mock, "in/a.xml")) == [
        {"@n": "1", "l": ["a", "b"], "t": {"@k": "v", "#text": "x"}, "e": None},
        {"value": "plain"},
    ]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.xml", "a.csv.gz"])
def test_memory_stays_flat_whatever_the_size_of_a_file(mock, name):
    many = [{"id": str(number), "name": "x" * 100} for number in range(40_000)]
    contents = {"csv": csv_of(many), "jsonl": "\n".join(map(json.dumps, many)), "json": json.dumps(many)}
    text = contents.get(name.removesuffix(".gz").rpartition(".")[2]) or xml(many)
    put(mock, name, gzip.compress(text.encode(), mtime=0) if name.endswith(".gz") else text)
    del many, contents, text
    given = request(f"in/{name}", size=500, **({"records": "item"} if name == "a.xml" else {}))
    tracemalloc.start()
    try:
        assert sum(len(page.rows) for page in SOURCE.read(given, context(mock))) == 40_000
        assert tracemalloc.get_traced_memory()[1] < 6 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_a_sample_proposes_a_definition(mock):
    put(
        mock,
        "a.jsonl",
        "\n".join(json.dumps({"id": n, "updated_at": "2026-01-01T00:00:00Z", "x": None}) for n in (1, 2)),
    )
    assert [each.options for each in SOURCE.discover({}, context(mock))] == [{"path": "in/a.jsonl"}]
    (found,) = SOURCE.discover({"path": "in/*.jsonl"}, context(mock))
    assert (found.primary_key, found.cursor) == (("id",), ("updated_at",))
    assert found.schema["properties"]["x"] == {"type": "null"}


RECORDS = [
    {"id": 1, "price": Decimal("1.50"), "at": datetime(2026, 1, 1, tzinfo=UTC), "ok": True},
    {"id": 2, "price": None, "tags": ["a"]},
]
WRITTEN = {
    "out/x.csv": 'id,price,at,ok,tags\n1,1.50,2026-01-01T00:00:00+00:00,true,\n2,,,,"[""a""]"\n',
    "out/x.jsonl": '{"id":1,"price":"1.50","at":"2026-01-01T00:00:00+00:00","ok":true}\n{"id":2,"price":null,"tags":["a"]}\n',
    "out/x.json": '[\n{"id":1,"price":"1.50","at":"2026-01-01T00:00:00+00:00","ok":true},\n{"id":2,"price":null,"tags":["a"]}\n]\n',
}


def destination(path, mode, run="run_1", **options):
    return Destination(options={"path": path, **options}, mode=mode, run=run)


def text_of(path):
    return gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text("utf-8")


@pytest.mark.parametrize("path", [*WRITTEN, *(f"{each}.gz" for each in WRITTEN)])
def test_records_are_written_in_their_format(mock, path):
    to = destination(path, "replace")
    TARGET.begin(to, context(mock))
    TARGET.write(to, Batch(RECORDS, ["a", "b"]), context(mock))
    assert not (mock.folder / path).exists()
    TARGET.finish(to, context(mock))
    assert text_of(mock.folder / path) == WRITTEN[path.removesuffix(".gz")]
    assert [each.name for each in (mock.folder / "out").rglob("*") if each.is_file()] == [Path(path).name]


def test_a_part_written_again_is_the_same_file(mock):
    to = destination("out/x.csv.gz", "append")
    for batch in (Batch(RECORDS[:1], ["a"]), Batch(RECORDS[1:], ["b"]), Batch(RECORDS[:1], ["a"])):
        TARGET.write(to, batch, context(mock))
    names = sorted(each.name for each in (mock.folder / "out").iterdir())
    assert len(names) == 2
    assert all(name.startswith("x-") and name.endswith(".csv.gz") for name in names)


def test_a_run_without_records_leaves_an_empty_file_and_only_once(mock):
    put(mock, "../out/x.csv", "old\n")
    to = destination("out/x.csv", "replace", fields=["id", "name"])
    TARGET.begin(to, context(mock))
    TARGET.finish(to, context(mock))
    assert (mock.folder / "out/x.csv").read_text() == "id,name\n"
    (mock.folder / "out/x.csv").write_text("new\n")
    TARGET.finish(to, context(mock))
    assert (mock.folder / "out/x.csv").read_text() == "new\n"


@pytest.mark.parametrize("path", ["../x.csv", "/etc/x.csv", "a/../../x.csv"])
def test_no_path_of_a_job_leads_out_of_the_place(mock, path):
    with pytest.raises(Permanent) as error:
        list(SOURCE.read(ReadRequest(options={"path": path}, primary_key=()), context(mock)))
    assert error.value.code == "FILE_REFUSED"
    with pytest.raises(Permanent) as error:
        TARGET.write(destination(path, "append"), Batch(RECORDS, ["a", "b"]), context(mock))
    assert error.value.code == "FILE_REFUSED"

"""Reading: whatever stands in a file, every value means one thing or is a finding with its place."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.documents.nodes import MappingNode, ScalarNode, at, plain
from server.documents.reading import File, gather, read, read_file

if TYPE_CHECKING:
    from pathlib import Path


def yaml_value(text: str) -> object:
    reading = read_file(File("a.yaml", f"v: {text}\n".encode()))
    assert reading.findings == []
    return plain(reading.documents[0])["v"]


def codes(text: str, name: str = "a.yaml") -> list[str]:
    return [finding.code for finding in read_file(File(name, text.encode())).findings]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("no", "no"),
        ("NO", "NO"),
        ("y", "y"),
        ("12:30", "12:30"),
        ("12:30:45", "12:30:45"),
        ("010", "010"),
        ("-010", "-010"),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("1_000.5", "1_000.5"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("=", "="),
        ("<<", "<<"),
        ("true", True),
        ("True", True),
        ("TRUE", True),
        ("tRUE", "tRUE"),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("Null", None),
        ("nil", "nil"),
        ("0", 0),
        ("-0", 0),
        ("+7", 7),
        ("42", 42),
        ("0o17", 15),
        ("0x1F", 31),
        ("0X1F", "0X1F"),
        ("1.50", Decimal("1.50")),
        (".5", Decimal("0.5")),
        ("5.", Decimal(5)),
        ("1e3", Decimal("1E+3")),
        ("-1.5E-2", Decimal("-0.015")),
        ("'12'", "12"),
        ('"true"', "true"),
        ('"\\ud83d\\ude00"', "😀"),
        ('"a\\/b"', "a/b"),
        ("9223372036854775807", 2**63 - 1),
        ("1.2.3", "1.2.3"),
        ("٣", "٣"),
    ],
)
def test_a_scalar_means_what_the_core_schema_says(written: str, meant: object) -> None:
    value = yaml_value(written)
    assert value == meant
    assert type(value) is type(meant)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: 1\na: 2\n", "DUPLICATE_KEY"),
        ("{a: 1, a: 2}", "DUPLICATE_KEY"),
        ("a: &x 1\nb: 2\n", "ALIAS"),
        ("b: *x\n", "ALIAS"),
        ("a: !!python/object:os.system x\n", "TAG"),
        ("a: !mine x\n", "TAG"),
        ("a: !!str 1\n", "TAG"),
        ("? [a]\n: 1\n", "KEY"),
        ("a: {{ data.x }}\n", "KEY"),
        ("a: .inf\n", "NUMBER_RANGE"),
        ("a: -.Inf\n", "NUMBER_RANGE"),
        ("a: .nan\n", "NUMBER_RANGE"),
        ("a: 9223372036854775808\n", "NUMBER_RANGE"),
        ("a: " + "9" * 5000 + "\n", "NUMBER_RANGE"),
        ("a: 1e999999999\n", "NUMBER_RANGE"),
        ("a: 1e" + "9" * 5000 + "\n", "NUMBER_RANGE"),
        ('a: "\\ud800"\n', "ENCODING"),
        ('a: "\\0"\n', "ENCODING"),
        ("a: b\u2028c\n", "ENCODING"),
        ("a: \x07\n", "ENCODING"),
        ('a: "\\U00110000"\n', "SYNTAX"),
        ("a: [1\n", "SYNTAX"),
        ("a: b: c\n", "SYNTAX"),
        ("a: @x\n", "SYNTAX"),
        ("\ta: 1\n", "SYNTAX"),
        ("%YAML " + "9" * 5000 + ".1\n---\na: 1\n", "SYNTAX"),
        ("%YAML 2.0\n---\na: 1\n", "SYNTAX"),
        ("a: " + "[" * 3000, "TOO_DEEP"),
        ("- " * 3000 + "a", "TOO_DEEP"),
        ("{a: " * 3000, "TOO_DEEP"),
        ("[" + "a, " * 20_000 + "]", "TOO_MANY_NODES"),
        ("- a\n" * 20_000, "TOO_MANY_NODES"),
        ("a" * (256 * 1024 + 1), "FILE_TOO_LARGE"),
    ],
)
def test_what_no_definition_may_hold_is_a_finding(text: str, code: str) -> None:
    started = time.perf_counter()
    assert code in codes(text)
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"a": 1, "a": 2}', "DUPLICATE_KEY"),
        ('{"a": NaN}', "SYNTAX"),
        ('{"a": Infinity}', "SYNTAX"),
        ('{"a": 1,}', "SYNTAX"),
        ("{'a': 1}", "SYNTAX"),
        ('{"a": 01}', "SYNTAX"),
        ('{"a": "\\ud800"}', "ENCODING"),
        ('{"a": "\\u0000"}', "ENCODING"),
        ('{"a": "\t"}', "SYNTAX"),
        ('{"a": 1} {"b": 2}', "SYNTAX"),
        ("", "SYNTAX"),
        ("[" * 3000, "TOO_DEEP"),
        ('{"a":' * 3000, "TOO_DEEP"),
        ("[" + "1," * 20_000 + "1]", "TOO_MANY_NODES"),
        ('{"a": 1e400}', "NUMBER_RANGE"),
        ('{"a": 99999999999999999999999}', "NUMBER_RANGE"),
    ],
)
def test_json_is_read_strictly(text: str, code: str) -> None:
    assert codes(text, "a.json") == [code]


def test_json_surrogate_pairs_become_one_character() -> None:
    reading = read_file(File("a.json", b'{"a": "\\ud83d\\ude00", "b": [1.50, -0, true]}'))
    assert plain(reading.documents[0]) == {"a": "😀", "b": [Decimal("1.50"), 0, True]}


def test_a_json_list_holds_many_documents() -> None:
    assert [plain(each) for each in read_file(File("a.json", b'[{"a": 1}, {"b": 2}]')).documents] == [
        {"a": 1},
        {"b": 2},
    ]


def test_bytes_that_are_not_utf_8_are_a_finding_with_its_place() -> None:
    (finding,) = read_file(File("a.yaml", b"a: 1\nb: \xff\n")).findings
    assert (finding.code, finding.line, finding.col) == ("ENCODING", 2, 4)
    assert [f.code for f in read_file(File("a.yaml", "a: 1".encode("utf-16"))).findings] == ["ENCODING"]


def test_a_byte_order_mark_does_not_shift_columns() -> None:
    (document,) = read_file(File("a.yaml", b"\xef\xbb\xbfa: 1\n")).documents
    assert (document.line, document.col) == (1, 1)


def test_every_syntax_error_of_a_file_is_found_at_once_with_its_line() -> None:
    reading = read_file(File("a.yaml", b"a: 1\n---\nb: [\n---\nc: @\n---\nd: 4\n"))
    assert [(f.code, f.line) for f in reading.findings] == [("SYNTAX", 4), ("SYNTAX", 5)]
    assert [plain(each) for each in reading.documents] == [{"a": 1}, {"d": 4}]
    assert reading.documents[1].line == 7


def test_empty_documents_are_left_out() -> None:
    assert read_file(File("a.yaml", b"# nothing\n---\n---\na: 1\n...\n")).documents[0].line == 4


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("when: 'paid' == data.status\n", "quotes round the whole"),
        ("when: @.x\n", "begins with @"),
        ("m: {a: items[0]}\n", "needs quotes"),
        ("title: Order: new\n", "needs quotes"),
        ("when: `1` == a\n", "needs quotes"),
        ("when: !data.flag\n", "needs quotes"),
        ("when: *x\n", "needs quotes"),
        ("path: {{ data.x }}\n", "needs quotes"),
    ],
)
def test_an_expression_that_yaml_cannot_read_gets_a_hint(text: str, hint: str) -> None:
    assert hint in read_file(File("a.yaml", text.encode())).findings[0].message


@pytest.mark.parametrize(
    ("text", "col", "meant"),
    [
        ("m: {a: mul(q, p)}\n", 8, '"mul(q, p)"'),
        ("m: {a: mul(q, p), b: c}\n", 8, '"mul(q, p)"'),
        ("m: {a: concat('x, y', b)}\n", 8, "\"concat('x, y', b)\""),
        ("m: [mul(q, p), c]\n", 5, '"mul(q, p)"'),
    ],
)
def test_a_text_that_yaml_split_is_one_finding_and_stays_whole(text: str, col: int, meant: str) -> None:
    reading = read_file(File("a.yaml", text.encode()))
    assert [(f.code, f.col, f.suggestion) for f in reading.findings] == [("SPLIT", col, meant)]
    assert len(plain(reading.documents[0])["m"]) == (2 if "c" in text[-4:] else 1)


@pytest.mark.parametrize(
    "text", ["t: [it's, that's]\n", "t: [':(', ':)']\n", "t: {a: x, b}\n", "t: [a (b), c]\n", "t: [(, a]\n"]
)
def test_what_only_looks_split_is_left_alone(text: str) -> None:
    assert codes(text) == []


@pytest.mark.parametrize(
    ("text", "index", "place"),
    [
        ("v: abc\n", 2, (1, 6)),
        ("v: 'a''bc'\n", 3, (1, 9)),
        ('v: "a\\u00e9b"\n', 2, (1, 12)),
        ('v: "\\ud83d\\ude00b"\n', 1, (1, 17)),
        ("v: |\n  ab\n  cd\n", 4, (3, 4)),
        ("v: >\n  ab\n  cd\n", 4, (1, 4)),
    ],
)
def test_a_position_in_a_text_is_a_place_in_the_file(text: str, index: int, place: tuple[int, int]) -> None:
    (document,) = read_file(File("a.yaml", text.encode())).documents
    assert isinstance(document, MappingNode)
    node = document.get("v")
    assert isinstance(node, ScalarNode)
    assert node.place(index) == place


def test_a_pointer_leads_to_the_nearest_node() -> None:
    (document,) = read_file(File("a.yaml", b"a:\n  - b: 1\n")).documents
    assert at(document, ["a", 0, "b"]).col == 8
    assert at(document, ["a", 0, "x"]).line == 2


def test_a_folder_is_read_recursively_and_in_order(tmp_path: Path) -> None:
    for name in ("b.yaml", "a/c.yml", "a/d.json", "a/readme.md", ".git/x.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('{"a": 1}')
    assert [file.name for file in gather(tmp_path).files] == ["b.yaml", "a/c.yml", "a/d.json"]


def test_links_that_lead_out_are_findings_and_show_no_content(tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text("password: hunter2")
    root = tmp_path / "definitions"
    (root / "sub").mkdir(parents=True)
    (root / "out.yaml").symlink_to(tmp_path / "secret.yaml")
    (root / "loop.yaml").symlink_to(root / "loop.yaml")
    (root / "gone.yaml").symlink_to(root / "nowhere.yaml")
    (root / "up").symlink_to(tmp_path)
    (root / "dir.yaml").mkdir()
    gathered = gather(root)
    assert gathered.files == []
    assert {f.file for f in gathered.findings} == {"out.yaml", "loop.yaml", "gone.yaml", "up"}
    assert "hunter2" not in str(gathered.findings)


def test_a_missing_folder_is_a_finding(tmp_path: Path) -> None:
    assert [f.code for f in gather(tmp_path / "none").findings] == ["UNREADABLE"]


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(["a.yaml", "a.json"]))
def test_any_bytes_give_findings_and_never_an_exception(content: bytes, name: str) -> None:
    read([File(name, content)])


YAML_PIECES = [
    "a",
    ": ",
    ":",
    "\n",
    "  ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "'",
    '"',
    "#",
    " #",
    "|",
    ">",
    "|2-",
    "---\n",
    "...\n",
    "&x ",
    "*x",
    "!t ",
    "? ",
    "\\",
    "\\u",
    "0x",
    "%YAML 1.1\n",
    "@",
    "`",
    "\t",
    "\r",
    "é",
    "😀",
    "1e5",
    "<<",
]


@settings(max_examples=1500, deadline=None)
@given(st.lists(st.sampled_from(YAML_PIECES), max_size=40).map("".join), st.sampled_from(["a.yaml", "a.json"]))
def test_any_mixture_of_yaml_signs_is_read_or_found(text: str, name: str) -> None:
    for document in read([File(name, text.encode())]).documents:
        plain(document)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
    lambda below: (
        st.lists(below, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8), below, max_size=4
        )
    ),
    max_leaves=15,
)


@settings(max_examples=300, deadline=None)
@given(JSON, st.booleans())
def test_json_reads_the_same_as_json_and_as_yaml(value: object, ascii_only: bool) -> None:
    text = json.dumps({"v": value}, ensure_ascii=ascii_only)
    (document,) = read_file(File("a.json", text.encode())).documents
    assert plain(document) == {"v": value}
    if ascii_only and "\\u007f" not in text and "\x7f" not in text:
        (document,) = read_file(File("a.yaml", text.encode())).documents
        assert plain(document) == {"v": value}

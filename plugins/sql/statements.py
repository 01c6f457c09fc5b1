"""The SQL of a definition: one statement that reads, with named parameters, fit to stand in brackets.

The database's own rights are the wall (use a role that may only read); this is the early no. It does not parse SQL: it
knows what a literal, a quoted name and a comment are, so that nothing in them is taken for anything else.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from server.sdk import FieldError, Permanent, code

if TYPE_CHECKING:
    from collections.abc import Iterator

STATEMENT_REFUSED = code("STATEMENT_REFUSED", "The SQL is not one statement that only reads; the message says why.")

_TOKENS = re.compile(
    r"""
      (?P<literal> (?:\b[eEbBxXnN])?'(?:[^']|'')*' )
    | (?P<dollar> \$(?P<tag>[A-Za-z_]\w*)?\$.*?\$(?P=tag)\$ | \$\$.*?\$\$ )
    | (?P<quoted> (?:\b[uU]&)?"(?:[^"]|"")*" | `(?:[^`]|``)*` )
    | (?P<comment> --[^\n]*(?:\n|\Z) | /\*.*?\*/ )
    | (?P<cast> :: )
    | (?P<assign> := )
    | (?P<parameter> (?<![\w:]):[A-Za-z_]\w* )
    | (?P<word> [A-Za-z_][\w$]* )
    | (?P<open> \( ) | (?P<close> \) )
    | (?P<semicolon> ; )
    | (?P<stray> ['"`\\] | \$\$ | /\* | \#(?![>\-]) )
    | (?P<space> \s+ )
    | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_UNCLEAR = re.compile(r"""\\['"`]""")
_FIRST = frozenset({"select", "with", "values"})
_CHANGES = frozenset({"insert", "update", "delete", "merge"})
# They reach files, other servers or other sessions, or change state although they are only selected.
_REACHING = re.compile(
    r"(?i)pg_(read_(binary_)?file|ls_\w+|stat_file|terminate_backend|cancel_backend|reload_conf|rotate_logfile|sleep\w*"
    r"|advisory\w*|logical\w*|create\w*|drop\w*|switch_wal|promote|file_\w+|notify)"
    r"|lo_\w+|loread|lowrite|dblink\w*|(table|query|schema|database|cursor)_to_xml\w*|set_config|setval|nextval"
    r"|load_file|sleep|benchmark|get_lock|sys_exec|sys_eval"
    r"|load_extension|readfile|writefile|fts3_tokenizer|edit|xp_\w+|utl_\w+"
)
_LONGEST = 100_000


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that passed: `text` for SQLAlchemy's `text()`, and the names of its parameters."""

    text: str
    parameters: frozenset[str]


@functools.lru_cache(maxsize=1024)
def statement_of(sql: str) -> Statement:
    """Return the statement of a definition's text.

    Raises:
        Permanent: STATEMENT_REFUSED.

    """
    if len(sql) > _LONGEST or "\x00" in sql:
        raise _refused("it is longer than 100,000 characters, or has a character that no text has")
    parts: list[str] = []
    parameters: set[str] = set()
    depth, first, before = 0, "", ""
    for kind, token in _scanned(sql):
        if kind in {"space", "comment"}:
            parts.append(" ")
            continue
        if kind == "open":
            _vet_call(before)
        depth += {"open": 1, "close": -1}.get(kind, 0)
        if depth < 0:
            raise _refused("a bracket is closed that was not opened")
        if kind == "word":
            first = first or token.lower()
            _vet_word(token.lower(), first)
        elif kind != "open":
            first = first or "?"
        if kind == "parameter":
            parameters.add(token[1:])
        parts.append(token if kind == "parameter" else token.replace(":", "\\:"))
        before = token.strip('"`') if kind in {"word", "quoted"} else ""
    if depth or first not in _FIRST:
        raise _refused("a bracket is not closed" if depth else "it does not begin with SELECT, WITH or VALUES")
    return Statement("".join(parts).strip(), frozenset(parameters))


def problems_of(options: dict[str, object]) -> Iterator[FieldError]:
    """Yield what is wrong with the options of a query before it runs."""
    sql, given = options.get("sql"), options.get("params", {})
    if not isinstance(sql, str) or not isinstance(given, dict):
        return
    try:
        statement = statement_of(sql)
    except Permanent as error:
        yield FieldError("/sql", error.message)
        return
    for name in sorted(statement.parameters - given.keys()):
        yield FieldError("/params", f"the statement's :{name} has no value here")
    for name in sorted(given.keys() - statement.parameters):
        yield FieldError(f"/params/{name}", "the statement has no parameter of that name")


def _scanned(sql: str) -> Iterator[tuple[str, str]]:
    """Yield kind and text of each token; a semicolon may stand at the end alone."""
    text = sql.strip()
    text = text[:-1].rstrip() if text.endswith(";") else text
    for found in _TOKENS.finditer(text):
        kind = found.lastgroup or "other"
        kind = "dollar" if kind == "tag" else kind
        if kind == "semicolon":
            raise _refused("it is more than one statement")
        if kind == "stray":
            raise _refused("a quotation, name or comment in it has no end, or a backslash stands outside of one")
        if kind in {"literal", "quoted"} and "\\" in found[0] and _UNCLEAR.search(found[0]):
            raise _refused("a backslash before a quotation mark: databases do not agree what it means")
        if kind == "quoted" and found[0][:2].lower() == "u&":
            raise _refused('names of the form U&"…" are not taken')
        if kind == "comment" and found[0].startswith("/*!"):
            raise _refused("a comment of it would be executed by some databases")
        if kind == "assign":
            raise _refused("it assigns a variable")
        yield kind, found[0]


def _vet_call(name: str) -> None:
    if _REACHING.fullmatch(name):
        raise _refused(f"the function {name.lower()} is not called from here")


def _vet_word(word: str, first: str) -> None:
    if word == "into" or (first == "with" and word in _CHANGES):
        raise _refused(f"it says {word.upper()}: it must only read")


def _refused(why: str) -> Permanent:
    return Permanent(f"the statement is refused: {why}", code=STATEMENT_REFUSED, source="sql")

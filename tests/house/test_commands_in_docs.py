"""No command of the docs rots: every `crossdock …` in them is one that this version understands.

Placeholders in capitals, `…`, brackets around what may be left out, pipes, redirections and variables are let be.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from server.cli.main import root
from server.cli.shell import Shell

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGES = sorted(str(each.relative_to(ROOT)) for each in [*ROOT.glob("docs/**/*.md"), ROOT / "README.md"])
FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
CALL = re.compile(r"(?<![\w./-])crossdock +(?=[a-z-])")
ENDS = "();<>|&"


def commands(text: str) -> Iterator[str]:
    """Yield what follows `crossdock` in inline code, in console blocks and in blocks of no language."""
    lines = [code for language, block in FENCED.findall(text) for code in shell_lines(language, block)]
    for line in [*lines, *INLINE.findall(FENCED.sub("", text))]:
        for call in CALL.finditer(line):
            yield line[call.end() :]


def shell_lines(language: str, block: str) -> list[str]:
    if language == "console":
        return [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
    return block.splitlines() if not language else []


def words(command: str) -> Iterator[str]:
    """Yield the words of a command, to where the shell would end it."""
    read = shlex.shlex(command.replace("[OPTIONS]", ""), posix=True, punctuation_chars=ENDS)
    read.whitespace_split = True
    for word in read:
        if set(word) <= set(ENDS):
            return
        yield word.strip("[]")


def refusal(command: str) -> str | None:
    """Return why the command line is not understood."""
    try:
        understand(list(words(command)))
    except click.ClickException as error:
        return f"crossdock {command}: {error.format_message()}"
    return None


def understand(arguments: list[str]) -> None:
    ctx = root.make_context("crossdock", arguments, resilient_parsing=True, obj=Shell())
    group: click.Command = root
    while isinstance(group, click.Group):
        rest = [*ctx._protected_args, *ctx.args]
        if not rest:
            return
        name, command, arguments = group.resolve_command(ctx, rest)
        if command is None:
            raise click.UsageError(f"there is no command {rest[0]}", ctx)
        ctx = command.make_context(name, [*arguments], parent=ctx, resilient_parsing=True)
        group = command
    whole = click.Context(group, info_name=ctx.command_path)
    given, left, _ = group.make_parser(whole).parse_args(arguments)
    if left:
        raise click.UsageError(f"nobody takes {left}", whole)
    for each in group.params:
        if each.name in given and isinstance(each.type, click.Choice):
            choose(each, given[each.name], whole)


def choose(option: click.Parameter, value: str | list[str], ctx: click.Context) -> None:
    for each in [value] if isinstance(value, str) else value:
        if not each.isupper():
            option.type.convert(each, option, ctx)


@pytest.mark.parametrize("path", PAGES)
def test_every_command_is_understood(path: str) -> None:
    refused = [refusal(each) for each in commands((ROOT / path).read_text("utf-8"))]
    assert [each for each in refused if each] == []


def test_there_are_commands_to_look_at() -> None:
    assert len(list(commands((ROOT / "docs/operations.md").read_text("utf-8")))) > 50


@pytest.mark.parametrize(
    "command",
    [
        "flow list --flow NAME --state compensated",
        "flow lst",
        "flows",
        "nonsense",
        "flow show RUN STEP",
        "token create --role god",
        "definition show --kind",
    ],
)
def test_a_command_that_is_not_understood_is_found(command: str) -> None:
    assert list(commands(f"See `crossdock {command}`.")) == [command]
    assert refusal(command)


@pytest.mark.parametrize(
    "command",
    [
        "webhook new-key [--asymmetric] | crossdock secret set NAME",
        "flow start NAME --data '{…}'",
        "replay dlv_…   # one delivery",
        "deliveries --replay ID",
        "deliveries retry $(crossdock deliveries list --json)",
        "flow",
    ],
)
def test_placeholders_and_the_shell_are_let_be(command: str) -> None:
    assert refusal(command) is None

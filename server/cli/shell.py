"""What every command shares: the options `--json` and `--workspace`, the way to the API, how answers are shown."""

from __future__ import annotations

import functools
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from server.cli import output
from server.cli.client import Rest, connect, items_of
from server.cli.place import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from server.cli.client import Answer
    from server.config import Settings

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"([0-9]{1,9})([smhdw])")
_MOST_INPUT = 16 * 1024 * 1024
_SENTENCE = 300


@dataclass
class Shell:
    """One run of the command line. Tests hand one in whose `rest` is there already."""

    workspace: str | None = None
    json: bool = False
    given: Rest | None = field(default=None, repr=False)

    @functools.cached_property
    def settings(self) -> Settings:
        """The settings of this process."""
        return read_settings()

    @functools.cached_property
    def rest(self) -> Rest:
        """The API, connected when it is first needed."""
        return self.given or connect(self.settings, self.workspace)

    def close(self) -> None:
        """Close what this run has opened."""
        if self.given is None and "rest" in self.__dict__:
            self.rest.close()

    def show(self, answer: Answer, human: Callable[[Any], None] = output.details) -> None:
        """Write an answer: with `--json` as it came, else by `human`."""
        if self.json:
            click.echo(answer.body)
        else:
            human(answer.value)

    def result(self, value: Any, human: Callable[[Any], None] = output.details) -> None:
        """Write what was found out on this side, in the form of an answer."""
        if self.json:
            click.echo(output.write_json(value))
        else:
            human(value)

    def listing(self, path: str, columns: Mapping[str, str], paging: Paging, **query: Any) -> None:
        """Write a page of a listing, or all of it."""
        if paging.whole:
            with output.working("reading"):
                items = list(self.rest.pages(path, limit=200, **query))
            self.result({"items": items, "next": None}, lambda page: output.table(page["items"], columns))
            return
        answer = self.rest.get(path, limit=paging.limit, cursor=paging.cursor, **query)
        self.show(answer, lambda page: _page(page, columns))


def _page(page: Mapping[str, Any], columns: Mapping[str, str]) -> None:
    output.table(items_of(page), columns)
    if page["next"] is not None:
        output.note(f"there are more: --all, or --cursor {page['next']}")


@dataclass(frozen=True, slots=True)
class Paging:
    """How much of a listing is asked for."""

    limit: int | None
    cursor: str | None
    whole: bool


class Whole(click.Group):
    """A group whose help tells what each command does in a whole sentence, over several lines where it must be."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands; click would cut what they do to the width of the terminal."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(_SENTENCE)) for name, each in found if each is not None])


class Noun(Whole):
    """A group of verbs; without one it lists."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `list` where no verb stands."""
        verbless = not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names)
        if verbless and "list" in self.commands:
            args = ["list", *args]
        return super().parse_args(ctx, args)


def _set_json(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    ctx.ensure_object(Shell).json |= value


def _set_workspace(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Shell).workspace = value


workspace_option = click.option(
    "--workspace",
    metavar="ORGANIZATION/NAME",
    expose_value=False,
    callback=_set_workspace,
    help="The workspace to act in; default/default when left out.",
)
json_option = click.option(
    "--json", is_flag=True, expose_value=False, callback=_set_json, help="Write JSON, for programs."
)


def asks(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a command that asks the API: it takes `--json` and `--workspace` and gets the shell first."""
    return json_option(workspace_option(click.pass_obj(function)))


def lists(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a listing: it also takes `--limit`, `--cursor` and `--all`, and gets `paging`."""

    @functools.wraps(function)
    def with_paging(shell: Shell, *, limit: int, cursor: str | None, whole: bool, **values: Any) -> Any:
        return function(shell, paging=Paging(limit, cursor, whole), **values)

    command = click.option("--all", "whole", is_flag=True, help="Every page of it.")(with_paging)
    command = click.option("--cursor", help="Where to go on: `next` of the page before.")(command)
    limit = click.option(
        "--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="How many on a page."
    )
    return asks(limit(command))


class Duration(click.ParamType[Any]):
    """`30s`, `15m`, `12h`, `90d`, `2w`, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the seconds."""
        if isinstance(value, int):
            return value
        found = _DURATION.fullmatch(str(value))
        if found is None:
            self.fail(f"{value!r} is no duration such as 30s, 15m, 12h, 90d or 2w", param, ctx)
        return int(found[1]) * _UNITS[found[2]]


class JsonText(click.ParamType[Any]):
    """JSON itself, `@FILE`, or `-` for standard input; the digits of its numbers are kept."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the JSON value."""
        if not isinstance(value, str):
            return value
        try:
            given = output.read_json(_input(value))
            output.write_json(given)
        except TypeError as error:  # half of a surrogate pair, or more than 250 levels
            self.fail(f"cannot be sent: {error}", param, ctx)
        except (ValueError, RecursionError) as error:
            self.fail(f"not JSON: {error}", param, ctx)
        except OSError as error:
            self.fail(f"{value.removeprefix('@')}: {error.strerror}", param, ctx)
        else:
            return given


def _input(text: str) -> bytes:
    if text == "-":
        return read_stdin()
    if text.startswith("@"):
        with Path(text[1:]).open("rb") as file:
            return _bounded(file.read(_MOST_INPUT + 1))
    return text.encode()


def read_stdin() -> bytes:
    """Read standard input to its end; 16 MiB at most."""
    return _bounded(sys.stdin.buffer.read(_MOST_INPUT + 1))


def _bounded(content: bytes) -> bytes:
    if len(content) > _MOST_INPUT:
        raise ValueError(f"more than {_MOST_INPUT} bytes")
    return content


class Pair(click.ParamType[Any]):
    """`KEY=VALUE`."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Return key and value."""
        key, equals, text = str(value).partition("=")
        if not key or not equals:
            self.fail(f"{value!r} is not KEY=VALUE", param, ctx)
        return key, text


def confirmed(question: str, *, sure: bool) -> None:
    """Ask before something that cannot be undone, on a terminal only: scripts are not asked.

    Raises:
        click.Abort: the answer was no.

    """
    if not sure and sys.stdin.isatty() and os.isatty(2):
        click.confirm(question, abort=True, err=True)

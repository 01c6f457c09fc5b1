"""The page docs/cli.md, made of the tree of commands: run `python -m server.cli.reference > docs/cli.md`."""

from __future__ import annotations

from inspect import cleandoc
from typing import TYPE_CHECKING, Any

import click

from server.cli.examples import example_of
from server.cli.exits import MEANING
from server.cli.main import root

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = "docs/cli.md"
_HEAD = """# The command line

<!-- Made by `python -m server.cli.reference`; a test holds it equal. Do not edit. -->

`crossdock` acts on the server of `CROSSDOCK_HOME` (the one that `crossdock up` runs there) or on `DATABASE_URL`, as the
local admin. With `CROSSDOCK_URL` and `CROSSDOCK_TOKEN` it goes over REST to another. Both ways the same requests are made
and the same answers shown.

- `--json` writes the answer of the REST API, for programs. Without it a table or lines are written, in colour on a
  terminal; what is no result (hints, progress, errors) goes to standard error.
- `--workspace ORGANIZATION/NAME` names the workspace, before or after the command. Over REST the token decides, and
  another workspace than the token's is refused.
- A noun without a verb lists: `crossdock events` is `crossdock events list`. Listings show a page; `--all` shows the rest.
- JSON is given as it is, as `@FILE`, or as `-` for standard input. Secrets come from standard input only.
- Nothing asks a question unless standard input is a terminal.
- To try something again, `deliveries retry` and `dead-letters retry` go on with the same delivery; `replay` makes a new one of
  the same message, of one delivery or of all that a filter means.
- Errors are one line, `CODE message`, then each wrong place and the way out. `CROSSDOCK_LOG_LEVEL=debug` adds where it
  broke. The codes are listed in [reference/errors.md](reference/errors.md) and at `/docs/errors` of a server.
- Settings are environment variables: [reference/settings.md](reference/settings.md).
- Tab completion: `eval "$(_CROSSDOCK_COMPLETE=bash_source crossdock)"` (or `zsh_source`, `fish_source`).
"""


def reference() -> str:
    """Return the page as Markdown."""
    parts = [_HEAD, "\n".join(_exits())]
    parts += ["\n".join(_command(command, path)) for path, command in commands()]
    return "\n".join(parts)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command that does something, with the words that call it, in the order of the page."""
    yield from _below(root, "crossdock")


def _below(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _below(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def _exits() -> Iterator[str]:
    yield "## Exit codes"
    yield ""
    yield "| code | means |"
    yield "|---|---|"
    for code, meaning in MEANING.items():
        yield f"| {code.value} | {meaning} |"
    yield ""
    yield "## Commands"
    yield ""


def _command(command: click.Command, path: str) -> Iterator[str]:
    context = click.Context(command, info_name=path)
    yield f"### {path}"
    yield ""
    yield f"`{' '.join([path, *command.collect_usage_pieces(context)])}`"
    yield ""
    yield cleandoc(command.help or "")
    yield ""
    yield "```"
    yield example_of(path.removeprefix("crossdock "))
    yield "```"
    options = [each for each in command.params if isinstance(each, click.Option)]
    if options:
        yield ""
        yield "| option | means |"
        yield "|---|---|"
        for each in options:
            yield _option(each, context)
    yield ""


def _option(option: click.Option, context: click.Context) -> str:
    record: Any = option.get_help_record(context)
    names, about = record
    return f"| `{_cell(names)}` | {_cell(about)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    click.echo(reference(), nl=False)

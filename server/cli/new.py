"""`crossdock new`: begins a definition file that passes the check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from server.cli import output
from server.cli.exits import Exit
from server.cli.files import FOLDER, gather_all, local_catalog, show_findings
from server.cli.shell import json_option
from server.kernel.errors import Conflict, code

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from server.cli.shell import Shell

FILE_EXISTS = code("FILE_EXISTS", "There is a file of that name already; nothing was written.")
_HEAD = "# yaml-language-server: $schema={schema}definition.v1.json\n"


@click.group
def new() -> None:
    """Begin a webhook, an integration, an event type, a sync job or a flow: writes a definition file that passes `check`."""


def begins(function: Callable[..., Exit]) -> Callable[..., Exit]:
    """Mark a command that begins a file: it takes `--dir` and `--json`, and gets the shell first."""
    folder = click.option(
        "--dir",
        "folder",
        type=click.Path(file_okay=False, path_type=Path),
        default=FOLDER,
        show_default=True,
        help="The folder of definitions.",
    )
    return json_option(click.pass_obj(folder(function)))


@new.command
@click.argument("name")
@click.option("--event", "events", multiple=True, required=True, metavar="TYPE", help="What is sent; may be repeated.")
@click.option("--url", help="The receiver.")
@click.option("--integration", metavar="NAME", help="The integration whose address is used, instead of --url.")
@click.option("--path", default="/", show_default=True, help="Appended to the integration's address.")
@click.option("--secret", metavar="NAME", help="The secret that signs; made of the name when left out.")
@begins
def webhook(
    shell: Shell,
    name: str,
    events: Sequence[str],
    url: str | None,
    integration: str | None,
    path: str,
    secret: str | None,
    folder: Path,
) -> Exit:
    """Begin an outbound webhook."""
    if (url is None) == (integration is None):
        raise click.UsageError("name the receiver by --url, or by --integration")
    key = secret or f"{name.upper().replace('-', '_')}_KEY"
    receiver = [f"url: {text_of(url)}"] if url else [f"integration: {text_of(integration)}"]
    lines = [
        "kind: Webhook",
        f"name: {text_of(name)}",
        "direction: outbound",
        *receiver,
        *([] if url else [f"request: {{method: POST, path: {text_of(path)}}}"]),
        f"events: [{', '.join(text_of(each) for each in events)}]",
        "sign:",
        "  scheme: standard-webhooks",
        f"  key: {{secret: {text_of(key)}}}",
    ]
    return write_begun(shell, folder, f"webhooks/{name}.yaml", lines, f"printf whsec_… | crossdock secret set {key}")


@new.command
@click.argument("name")
@click.option("--base-url", required=True, metavar="URL", help="Where the system's API is.")
@click.option("--secret", metavar="NAME", help="The secret that holds its bearer token; without, it takes none.")
@begins
def integration(shell: Shell, name: str, base_url: str, secret: str | None, folder: Path) -> Exit:
    """Begin an integration with a system that has an HTTP API (plugin `http`)."""
    auth = [f"  auth: {{scheme: bearer, token: {{secret: {text_of(secret)}}}}}"] if secret else []
    lines = [
        "kind: Integration",
        f"name: {text_of(name)}",
        "plugin: http",
        "config:",
        f"  base_url: {text_of(base_url)}",
        *auth,
    ]
    following = f"crossdock secret set {secret}" if secret else ""
    return write_begun(shell, folder, f"integrations/{name}.yaml", lines, following)


@new.command("event-type")
@click.argument("type_", metavar="TYPE")
@begins
def event_type(shell: Shell, type_: str, folder: Path) -> Exit:
    """Begin a catalogue entry for events of a TYPE, such as sales.order.booked."""
    lines = [
        "kind: EventType",
        f"name: {text_of(type_)}",
        "version: 1",
        "schema:",
        "  type: object",
        "  required: [number]",
        "  properties:",
        "    number: {type: string, description: the document's number}",
        'example: {number: "SO-1"}',
    ]
    return write_begun(shell, folder, f"event-types/{type_}@1.yaml", lines, "")


def text_of(value: str | None) -> str:
    """Write a text as YAML: bare where nobody could take it for anything else."""
    text = value or ""
    bare = text.isascii() and text.replace("-", "").replace(".", "").replace("_", "").isalnum() and text[0].isalpha()
    return text if bare else json.dumps(text, ensure_ascii=False)


def write_begun(
    shell: Shell,
    folder: Path,
    name: str,
    lines: Sequence[str],
    following: str,
    *,
    force: bool = False,
    catalog: Any = None,
) -> Exit:
    """Check the new file together with the folder and what `catalog` knows, then write it; `force` writes over one of that name.

    Raises:
        Conflict: FILE_EXISTS.

    """
    from server.authoring.check import check  # noqa: PLC0415 (see server/cli/__init__.py)
    from server.documents.reading import File, Gathered  # noqa: PLC0415

    place = folder / name
    if not place.resolve().is_relative_to(folder.resolve()):
        raise click.UsageError(f"{name!r} is no name of a definition")
    if place.exists() and not force:
        raise Conflict(f"{place} exists", code=FILE_EXISTS, source="cli")
    text = _HEAD.format(schema="../" * name.count("/")) + "\n".join(lines) + "\n"
    gathered = gather_all([folder]) if folder.is_dir() else Gathered()
    gathered.files = [each for each in gathered.files if Path(each.name).resolve() != place.resolve()]
    gathered.files.append(File(place.as_posix(), text.encode()))
    found = check(gathered, catalog or local_catalog(shell)).errors
    errors = [each.as_dict() for each in found if each.file == place.as_posix()]
    if errors:
        show_findings(errors)
        return Exit.FAILED
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, "utf-8")
    steps = [*([following] if following else []), f"crossdock plan {folder}", f"crossdock apply {folder}"]
    shell.result({"file": place.as_posix(), "next": steps}, lambda _: output.say(place.as_posix()))
    for each in steps:
        output.note(f"next: {each}")
    return Exit.OK

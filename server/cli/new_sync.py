"""`crossdock new sync`: a sync job begun from a table, an OpenAPI document or a sample file."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from server.cli import output
from server.cli.failing import Refused
from server.cli.files import FOLDER, gather_all, local_catalog
from server.cli.new import write_begun
from server.cli.paths import path_of
from server.cli.shell import json_option
from server.kernel.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.authoring.proposing import End
    from server.cli.exits import Exit
    from server.cli.shell import Shell
    from server.sdk.sources import Dataset

_OF_INTEGRATION = re.compile(r"([a-z][a-z0-9-]{0,62}):(?!//)(.+)")
_URL = re.compile(r"https?://")
_SECONDS = 30.0
_LARGEST = 20 * 1024 * 1024
_SAMPLE_PLUGIN, _SAMPLE_CALL = "files", "files.read"
_API_PLUGIN, _API_CALL = "http", "resource.list"
_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Begun:
    """What a job reads: the call, what is read, the lines of an Integration where a new one is needed, its secrets."""

    integration: str
    operation: str
    dataset: Dataset
    lines: Sequence[str] = ()
    plugin: str = ""
    secrets: Sequence[str] = ()


@click.command("sync")
@click.argument("name")
@click.option(
    "--from",
    "source",
    required=True,
    metavar="SOURCE",
    help="INTEGRATION:TABLE, an OpenAPI document (file or URL, with #/PATH where it has several lists), or a sample file.",
)
@click.option("--to", required=True, metavar="CALL", help="Where records go: INTEGRATION.NOUN.VERB.")
@click.option("--force", is_flag=True, help="Write over a file of that name.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=FOLDER,
    show_default=True,
    help="The folder of definitions.",
)
@json_option
@click.pass_obj
def begin_sync(shell: Shell, name: str, source: str, to: str, folder: Path, *, force: bool) -> Exit:
    """Begin a sync job from what a source looks like: a table, an API, a file; what was guessed is said in comments."""
    from server.authoring.proposing import sync_job  # noqa: PLC0415 (see server/cli/__init__.py)

    world = _World(shell, folder)
    begun = _begin(shell, world, name, source)
    plugin = begun.plugin if begun.lines else world.plugin_of(begun.integration)
    reads = _end(world, begun.integration, begun.operation, plugin, "source")
    target, _, operation = to.partition(".")
    writes = _end(world, target, operation, world.plugin_of(target), "target")
    lines = [*begun.lines, *(["---"] if begun.lines else []), *sync_job(name, begun.dataset, reads, writes)]
    following = "; ".join(f"crossdock secret set {each}" for each in begun.secrets)
    return write_begun(shell, folder, f"sync-jobs/{name}.yaml", lines, following, force=force, catalog=world.catalog)


class _World:
    """The integrations of the folder, and beyond them those of the workspace, asked for only where they are named."""

    def __init__(self, shell: Shell, folder: Path) -> None:
        from server.authoring.check import check  # noqa: PLC0415

        self._shell = shell
        self.catalog = local_catalog(shell)
        documents = check(gather_all([folder]), self.catalog).documents if folder.is_dir() else ()
        self._known = {each.name: each.body for each in documents if each.kind == "Integration"}

    def plugin_of(self, integration: str) -> str:
        """Return the plugin of an integration.

        Raises:
            click.UsageError: neither the folder nor the workspace has it.

        """
        body = self._known.get(integration) or self._ask(integration)
        return str(body["plugin"])

    def _ask(self, integration: str) -> Mapping[str, Any]:
        try:
            answer = self._shell.rest.get(path_of("integrations", integration))
        except Refused as error:
            if error.status != _NOT_FOUND:
                raise
            message = (
                f"there is no integration {integration!r} in the folder or the workspace: `crossdock new integration`"
            )
            raise click.UsageError(message) from error
        body: Mapping[str, Any] = answer.value["definition"]
        self._known[integration] = body
        definitions = {**self.catalog.definitions, ("Integration", integration): [{**body, "name": integration}]}
        self.catalog = replace(self.catalog, definitions=definitions)
        return body


def _end(world: _World, integration: str, operation: str, plugin: str, side: str) -> End:
    from server.authoring.proposing import End  # noqa: PLC0415

    facts = world.catalog.plugins.get(plugin)
    known = facts.operations.get(operation) if facts else None
    able = getattr(known, side) if known else None
    if able is None:
        verbs = [name for name, each in (facts.operations if facts else {}).items() if getattr(each, side)]
        what = "reads" if side == "source" else "writes"
        message = f"no sync job {what} by {integration}.{operation}; it can by {', '.join(sorted(verbs)) or 'nothing'}"
        raise click.UsageError(message)
    return End(f"{integration}.{operation}", able)


def _begin(shell: Shell, world: _World, name: str, source: str) -> Begun:
    plain, _, fragment = source.partition("#")
    if _URL.match(source):
        return _of_api(_load(_fetched(shell, plain), plain), plain, fragment, name)
    if Path(plain).is_file():
        place = Path(plain)
        document = _load(place.read_bytes(), plain) if place.suffix in (".json", ".yaml", ".yml") else None
        if isinstance(document, dict) and ("openapi" in document or "swagger" in document):
            return _of_api(document, None, fragment, name)
        return _of_sample(world, place, name)
    match = _OF_INTEGRATION.fullmatch(source)
    if match is None:
        raise click.UsageError(f"{source!r} is no file, no URL and no INTEGRATION:TABLE")
    return _of_integration(shell, match[1], match[2])


def _of_integration(shell: Shell, integration: str, name: str) -> Begun:
    """Ask the server, which asks the system; a name with a schema before it is looked for there."""
    schema, _, table = name.rpartition(".")
    names = (name, table, name.partition("?")[0].strip("/").rpartition("/")[2])
    path = path_of("integrations", integration, "discover")

    def ask(options: Mapping[str, Any]) -> tuple[str, list[Mapping[str, Any]]]:
        found = shell.rest.post(path, {"options": options}).value
        return found["operation"], [each for each in found["datasets"] if each["name"] in names]

    with output.working("asking"):
        operation, best = ask({"schema": schema} if schema else {})
        if not best or not best[0]["schema"].get("properties"):
            operation, best = ask(best[0]["options"] if best else {"path": name})
    if not best:
        raise click.UsageError(f"{integration} has no {name!r}")
    return Begun(integration, operation, _dataset(best[0]))


def _of_sample(world: _World, place: Path, name: str) -> Begun:
    """Read the sample here with the plugin that reads files there, as the only file that it can see."""
    from server.cli.sampling import sampled  # noqa: PLC0415

    facts = world.catalog.plugins.get(_SAMPLE_PLUGIN)
    source = facts.operations[_SAMPLE_CALL].source if facts else None
    if source is None:
        raise click.UsageError(f"the plugin {_SAMPLE_PLUGIN} is not installed")
    dataset = sampled(world.catalog.addresses, source, place)
    if dataset is None:
        raise click.UsageError(f"{place} has no rows, one of them cannot be read, or its name does not tell its format")
    integration = f"{name}-files"
    lines = [
        "kind: Integration",
        f"name: {integration}",
        f"plugin: {_SAMPLE_PLUGIN}",
        "config: {url: file:///}  # CROSSDOCK_FILES/ORGANIZATION/WORKSPACE on the server; or sftp://…, s3://…",
    ]
    return Begun(integration, _SAMPLE_CALL, dataset, lines, _SAMPLE_PLUGIN)


def _of_api(document: Any, url: str | None, path: str, name: str) -> Begun:
    from server.authoring.openapi import NO_OPENAPI, read_openapi  # noqa: PLC0415
    from server.authoring.proposing import written  # noqa: PLC0415

    described = read_openapi(document, url)
    listed = [each for each in described.datasets if path in ("", each.options["path"])]
    if len(listed) != 1:
        known = ", ".join(str(each.options["path"]) for each in described.datasets[:20])
        if not known:
            raise Invalid("none of its answers is a list of objects", code=NO_OPENAPI, source="openapi")
        raise click.UsageError(f"say which list is read: --from SOURCE#PATH, with one of {known}")
    integration = f"{name}-api"
    note = "" if described.is_placed else "  # the document does not say where the API is"
    lines = [
        "kind: Integration",
        f"name: {integration}",
        f"description: {written(described.title[:200])}",
        f"plugin: {_API_PLUGIN}",
        "config:",
        f"  base_url: {written(described.config['base_url'])}{note}",
        *([f"  auth: {written(described.config['auth'])}"] if "auth" in described.config else []),
    ]
    return Begun(integration, _API_CALL, listed[0], lines, _API_PLUGIN, described.secrets)


def _fetched(shell: Shell, url: str) -> bytes:
    """Fetch over the guarded transport, from where this server may."""
    from server.transport.sync import Connections  # noqa: PLC0415

    connections = Connections(local_catalog(shell).addresses)
    try:
        with output.working("fetching"):
            answer = connections.session(_SECONDS).get(url)
        if answer.status_code != 200:  # noqa: PLR2004 - a document or none
            raise click.UsageError(f"{url} answers {answer.status_code}")
        return bytes(answer.content)
    finally:
        connections.close()


def _load(content: bytes, name: str) -> Any:
    """Read JSON or YAML; None where it is neither, or a list of lines."""
    import yaml  # noqa: PLC0415

    if len(content) > _LARGEST:
        raise click.UsageError(f"{name} is larger than {_LARGEST} bytes")
    try:
        return json.loads(content)
    except ValueError:
        try:
            return yaml.safe_load(content)
        except yaml.YAMLError:
            return None


def _dataset(shown: Mapping[str, Any]) -> Dataset:
    from server.sdk.sources import Dataset  # noqa: PLC0415

    return Dataset(
        name=shown["name"],
        options=shown["options"],
        schema=shown["schema"],
        primary_key=tuple(shown["primary_key"]),
        cursor=tuple(shown["cursor"]),
        about=shown["about"],
    )

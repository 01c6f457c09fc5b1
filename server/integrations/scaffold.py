"""A new plugin that keeps the contract from its first minute, and the check of anybody's."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

from server.kernel.errors import Conflict, CrossdockError, Invalid
from server.sdk.manifest import NAME
from server.sdk.plugin import PLUGIN_INVALID, load_plugin
from server.sdk.testing import CHECKS, Rig, findings
from server.transport.addresses import AddressPolicy
from server.transport.databases import Databases, Reach
from server.transport.files import open_files
from server.transport.limits import Limits
from server.transport.sync import guarded_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import requests

_FILES = {
    "__init__.py": '"""Talks to {title}."""\n',
    "manifest.yaml": """\
name: {name}
title: {title}
version: 0.1.0
about: Talks to {title}.
operations:
  - items.get
owner: you
quality:
  tier: silver
""",
    "config.schema.json": """\
{{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "{title}",
  "type": "object",
  "additionalProperties": false,
  "required": ["base_url", "token"],
  "properties": {{
    "base_url": {{"type": "string", "pattern": "^https?://[^\\\\s/?#@]+(/[^\\\\s?#]*)?$"}},
    "token": {{"type": "string", "minLength": 1, "writeOnly": true}}
  }}
}}
""",
    "adapter.py": '''\
"""Talks to {title}: one operation to begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from server.sdk import Adapter, CallRequest, Context, Health, Operation, expect_success, measured, read_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests


class {class_name}Adapter(Adapter):
    """Reads items of {title}."""

    id = "{name}"
    version = "0.1.0"
    operations = (
        Operation(
            name="items.get",
            about="Read one item by its id.",
            input_schema={{
                "type": "object",
                "additionalProperties": False,
                "required": ["id"],
                "properties": {{"id": {{"type": "string", "minLength": 1, "maxLength": 200}}}},
            }},
            output_schema={{
                "type": "object",
                "required": ["id", "name"],
                "properties": {{"id": {{"type": "string"}}, "name": {{"type": "string"}}}},
            }},
        ),
    )

    def execute(self, request: CallRequest, context: Context) -> Any:
        """Ask for the item; anything but 2xx raises the error that says what happens next."""
        return read_json(self._get(context, f"/items/{{quote(request.input['id'], safe='')}}"))

    def health_check(self, context: Context) -> Health:
        """Ask the status page."""

        def ask() -> Mapping[str, Any]:
            return {{"status": self._get(context, "/status").status_code}}

        return measured(context, ask)

    def _get(self, context: Context, path: str) -> requests.Response:
        headers = {{"Authorization": f"Bearer {{context.config['token']}}", "X-Correlation-ID": context.correlation_id}}
        response = context.http.get(context.config["base_url"].rstrip("/") + path, headers=headers)
        return expect_success(response, context.clock.now())
''',
    "mock.py": '''\
"""Plays {title} for the contract suite and for `crossdock test`."""

from __future__ import annotations

from typing import Any

from server.sdk import HttpMock, Received, Reply


class {class_name}Mock(HttpMock):
    """Knows every item, by a name made from its id."""

    secrets = ("mock-token-{name}",)

    @property
    def config(self) -> dict[str, Any]:
        """An integration that leads here."""
        return {{"base_url": self.url, "token": self.secrets[0]}}

    def answer(self, request: Received) -> Reply:
        """Answer as {title} does when all is well."""
        if request.headers.get("authorization") != f"Bearer {{self.secrets[0]}}":
            return Reply(401, {{"error": "unauthorized"}})
        item = request.path.removeprefix("/items/")
        return Reply(200, {{"id": item, "name": f"Item {{item}}"}})
''',
    "fixtures/items.get__one.json": '{{"input": {{"id": "42"}}}}\n',
    "test_plugin.py": '''\
"""What is special about this plugin; the contract suite tests the rest."""

from __future__ import annotations

from pathlib import Path

import requests

from server.sdk import CallRequest
from server.sdk.plugin import load_plugin
from server.sdk.testing import Rig

PLUGIN = load_plugin(Path(__file__).parent)


def test_an_item_is_read_by_its_id() -> None:
    adapter = PLUGIN.adapter_factory()
    with PLUGIN.mock_factory() as mock, requests.Session() as session:
        context = Rig(PLUGIN, lambda _seconds: session).context(mock)
        assert adapter.execute(CallRequest("items.get", {{"id": "a/b"}}), context)["id"] == "a%2Fb"
''',
    "README.md": """\
# {name}: {title}

| config | means |
|---|---|
| `base_url` | where the API is |
| `token` | sent as `Authorization: Bearer …` |

`items.get` `{{id}}` → `{{id, name}}` reads one item.
""",
}


def new_plugin(name: str, folder: Path) -> list[Path]:
    """Write a plugin called `name` into `folder`/`name` and return its files; it keeps the contract as it is.

    Raises:
        Invalid: PLUGIN_INVALID: not a name of a plugin.
        Conflict: there is something already.

    """
    if not re.search(NAME, name):
        raise Invalid(f"{name}: a plugin's name is of the form [a-z][a-z0-9_]*", code=PLUGIN_INVALID, source="plugin")
    target = folder / name
    if target.exists():
        raise Conflict(f"{target} exists already", source="plugin")
    words = name.replace("_", " ").split()
    fields = {"name": name, "title": " ".join(words).capitalize(), "class_name": "".join(map(str.capitalize, words))}
    written = []
    for path, text in _FILES.items():
        place = target / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text.format(**fields), "utf-8")
        written.append(place)
    return written


def loopback_session(seconds: float) -> requests.Session:
    """Return a guarded session that reaches mocks on loopback and nothing else."""
    return guarded_session(AddressPolicy(["127.0.0.0/8", "::1/128"]), Limits(total=seconds))


_SECONDS = 10.0


@functools.cache
def _databases() -> Databases:
    return Databases()


def loopback_reach(folder: Path | None) -> dict[str, Any]:
    """Return what else a context under test has: databases and stores on loopback, and files below the mock's folder."""
    reach = Reach(AddressPolicy(["127.0.0.0/8", "::1/128"]), folder)
    return {
        "sql": lambda url: _databases().engine("mock", url, reach),
        "files": lambda url, options: open_files(url, options, reach, lambda: loopback_session(_SECONDS)),
    }


def check_plugin(
    folder: Path, http: Callable[[float], requests.Session] = loopback_session, package: str | None = None
) -> list[str]:
    """Return what the plugin in `folder` breaks of the contract, a sentence each; an empty list is a good plugin."""
    try:
        rig = Rig(load_plugin(folder, package), http, loopback_reach)
    except CrossdockError as error:
        return [error.message]
    return [finding for check in CHECKS for finding in findings(check, rig)]

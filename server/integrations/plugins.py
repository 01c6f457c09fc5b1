"""Finding plugins: the folders of the package `plugins`, and what others install under `crossdock.plugins`.

No plugin is known here by name. A third party's entry point names its package: `erp9000 = "acme_crossdock.erp9000"`.
"""

from __future__ import annotations

import importlib.util
from importlib.metadata import entry_points
from pathlib import Path

from server.kernel.errors import Invalid
from server.sdk.manifest import FILE
from server.sdk.plugin import PLUGIN_INVALID, Plugin, load_plugin

PACKAGE = "plugins"
GROUP = "crossdock.plugins"


def discover(*, group: str = GROUP) -> dict[str, Plugin]:
    """Return every plugin by name; their code is not imported yet.

    Raises:
        Invalid: MANIFEST_INVALID, PLUGIN_INVALID (also when two plugins have one name).

    """
    found: dict[str, Plugin] = {}
    for folder, package in (*_own(), *_installed(group)):
        plugin = load_plugin(folder, package)
        if plugin.name in found:
            raise Invalid(f"two plugins are called {plugin.name}", code=PLUGIN_INVALID, source="plugin")
        found[plugin.name] = plugin
    return dict(sorted(found.items()))


def _own() -> list[tuple[Path, str]]:
    spec = importlib.util.find_spec(PACKAGE)
    places = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    folders = [folder for place in places for folder in sorted(place.iterdir()) if (folder / FILE).is_file()]
    return [(folder, f"{PACKAGE}.{folder.name}") for folder in folders]


def _installed(group: str) -> list[tuple[Path, str]]:
    places = []
    for entry in entry_points(group=group):
        spec = importlib.util.find_spec(entry.value)
        if spec is None or not spec.submodule_search_locations:
            raise Invalid(
                f"the entry point {entry.name} = {entry.value} is no package", code=PLUGIN_INVALID, source="plugin"
            )
        places.append((Path(spec.submodule_search_locations[0]), entry.value))
    return places

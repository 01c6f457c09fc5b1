"""A plugin is a folder: manifest, config schema, adapter and mock, loaded when they are first asked for."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.kernel.errors import Invalid, code
from server.sdk.adapter import Adapter
from server.sdk.manifest import Manifest, load_manifest
from server.sdk.mocking import Mock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import ModuleType

PLUGIN_INVALID = code("PLUGIN_INVALID", "A plugin's folder lacks a part or has one that cannot be loaded.")
CONFIG_SCHEMA = "config.schema.json"


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin that was found. `adapter_factory` and `mock_factory` import its code on the first call."""

    name: str
    folder: Path
    manifest: Manifest
    config_schema: Mapping[str, Any]
    adapter_factory: Callable[[], Adapter]
    mock_factory: Callable[[], Mock]


def load_plugin(folder: Path, package: str | None = None) -> Plugin:
    """Load the plugin in `folder`; `package` is its importable name, where it has one.

    Raises:
        Invalid: MANIFEST_INVALID, PLUGIN_INVALID.

    """
    manifest = load_manifest(folder)
    name = package or f"crossdock_plugin_{manifest.name}"

    def adapter() -> Adapter:
        made: Adapter = _only_class(_module(folder, name, "adapter"), Adapter)()
        return made

    def mock() -> Mock:
        made: Mock = _only_class(_module(folder, name, "mock"), Mock)()
        return made

    return Plugin(manifest.name, folder, manifest, _config_schema(folder), adapter, mock)


def _config_schema(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_SCHEMA
    try:
        schema = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise _invalid(path, f"it cannot be read: {error}") from error
    if not isinstance(schema, dict):
        raise _invalid(path, "it is no object")
    return schema


def _module(folder: Path, package: str, part: str) -> ModuleType:
    """Import one file of the plugin, as a module of a package, so that its files can import each other."""
    if not (folder / f"{part}.py").is_file():
        raise _invalid(folder / f"{part}.py", "it is missing")
    known = sys.modules.get(package)
    if known is None and importlib.util.find_spec(package) is None:
        start = folder / "__init__.py"
        spec = importlib.util.spec_from_file_location(package, start, submodule_search_locations=[str(folder)])
        if spec is None or spec.loader is None or not start.is_file():
            raise _invalid(start, "it is missing")
        module = importlib.util.module_from_spec(spec)
        sys.modules[package] = module
        spec.loader.exec_module(module)
    return importlib.import_module(f"{package}.{part}")


def _only_class(module: ModuleType, base: type) -> Any:
    found = [
        each
        for each in vars(module).values()
        if inspect.isclass(each)
        and issubclass(each, base)
        and each.__module__ == module.__name__
        and not inspect.isabstract(each)
    ]
    if len(found) != 1:
        raise _invalid(module.__file__, f"it has {len(found)} classes of {base.__name__} where one is needed")
    return found[0]


def _invalid(path: Path | str | None, reason: str) -> Invalid:
    return Invalid(f"{path}: {reason}", code=PLUGIN_INVALID, source="plugin")

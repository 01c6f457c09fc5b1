"""The manifest of a plugin: data that says what it is, read and checked here."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import yaml

from server.kernel.errors import Invalid, code
from server.sdk.schemas import Schema

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MANIFEST_INVALID = code(
    "MANIFEST_INVALID", "The manifest of a plugin breaks a rule; the message names the file and place."
)

FILE = "manifest.yaml"
TIERS = ("bronze", "silver", "gold")
NAME = r"^[a-z][a-z0-9_]*$"
OPERATION = r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$"
VERSION = r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$"
SCHEMA: Mapping[str, Any] = MappingProxyType(
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["name", "title", "version", "about", "operations", "owner", "quality"],
        "properties": {
            "name": {"type": "string", "pattern": NAME, "maxLength": 40},
            "title": {"type": "string", "minLength": 1},
            "version": {"type": "string", "pattern": VERSION},
            "about": {"type": "string", "minLength": 1},
            "operations": {
                "type": "array",
                "minItems": 1,
                "uniqueItems": True,
                "items": {"type": "string", "pattern": OPERATION},
            },
            "owner": {"type": "string", "minLength": 1},
            "quality": {
                "type": "object",
                "additionalProperties": False,
                "required": ["tier"],
                "properties": {
                    "tier": {"enum": list(TIERS)},
                    "exempt": {"type": "object", "additionalProperties": {"type": "string", "minLength": 10}},
                },
            },
        },
    }
)

_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # the same, ten times as fast, where PyYAML has libyaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a plugin says of itself. `exempt` maps a check of the contract to the reason why it cannot be passed."""

    name: str
    title: str
    version: str
    about: str
    operations: tuple[str, ...]
    owner: str
    tier: str
    exempt: Mapping[str, str]


def load_manifest(folder: Path) -> Manifest:
    """Read `manifest.yaml` of a plugin's folder.

    Raises:
        Invalid: MANIFEST_INVALID, every broken rule in one message.

    """
    path = folder / FILE
    try:
        # the base loader reads every scalar as text, so that no version becomes a number and no name a truth value
        raw = yaml.load(path.read_text("utf-8"), Loader=_LOADER)  # noqa: S506 - it makes text, lists and maps
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise _invalid(path, f"it cannot be read: {error}") from error
    if errors := Schema(dict(SCHEMA)).errors(raw):
        raise _invalid(path, "; ".join(f"{each.pointer or '/'}: {each.message}" for each in errors))
    if raw["name"] != folder.name:
        raise _invalid(path, f"/name: the folder is called {folder.name}")
    quality = raw["quality"]
    fields = {key: raw[key] for key in ("name", "title", "version", "about", "owner")}
    return Manifest(
        **fields,
        operations=tuple(raw["operations"]),
        tier=quality["tier"],
        exempt=MappingProxyType(dict(quality.get("exempt") or {})),
    )


def _invalid(path: Path, reason: str) -> Invalid:
    return Invalid(f"{path}: {reason}", code=MANIFEST_INVALID, source="plugin")

"""Writes what the workspace holds as definition files: they check cleanly, and applying them again changes nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import yaml

from server.authoring import queries
from server.authoring.kinds import default_kinds
from server.authoring.planning import slug

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.store import Tx

_SAFE = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./-]+)*")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


@dataclass(frozen=True, slots=True)
class Exported:
    """One file: its path under the folder of definitions, and its text."""

    path: str
    text: str


def export(tx: Tx, origin: str | None = None) -> list[Exported]:
    """Return a file per live definition, of one origin or of all."""
    held = [each for each in queries.held(tx).values() if each.live and origin in (None, each.origin)]
    return [Exported(f"{slug(each.kind)}s/{each.name}.yaml", write_yaml(each.kind, each.body)) for each in held]


def write_yaml(kind: str, body: Mapping[str, Any]) -> str:
    """Write one definition as YAML that reads back as the same body, its fields in the order of the reference page."""
    declared = next(
        [each.name for each in one.object.fields]
        for one in default_kinds()
        if one.name == kind and (one.variant is None or body.get(one.variant[0]) == one.variant[1])
    )
    ordered = {key: body[key] for key in sorted(body, key=lambda key: declared.index(key) if key in declared else 99)}
    text: str = yaml.dump(
        ordered, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=1_000_000
    )
    return text


class _Dumper(yaml.SafeDumper):
    """Block style without aliases; a text is bare only when no reader of any YAML could take it for something else."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    bare = _SAFE.fullmatch(value) is not None and value.lower() not in _WORDS
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if bare else '"')


def _decimal(dumper: yaml.SafeDumper, value: Decimal) -> yaml.ScalarNode:
    text = format(value, "f")
    return dumper.represent_scalar(f"tag:yaml.org,2002:{'float' if '.' in text else 'int'}", text)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(Decimal, _decimal)

"""The docs cannot lie: what is generated equals the code, and what is declared is documented."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from server import reference
from server.kernel.errors import declared_codes
from server.sdk.plugin import load_plugin

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", sorted(reference.PAGES))
def test_generated_pages_equal_the_code(path: str) -> None:
    assert (ROOT / path).read_text("utf-8") == reference.PAGES[path](), "run `make docs`"


def test_every_error_code_is_raised_somewhere() -> None:
    reference.import_all()
    sources = "\n".join(
        path.read_text("utf-8") for folder in ("server", "plugins") for path in (ROOT / folder).rglob("*.py")
    )
    constants = {name: constant for constant, name in re.findall(r'(\w+) = code\(\s*"(\w+)"', sources)}
    words = Counter(re.findall(r"\w+", sources))
    unused = [name for name in declared_codes() if name in constants and words[constants[name]] < 2]
    assert unused == []


def test_every_plugin_is_documented() -> None:
    for folder in sorted((ROOT / "plugins").glob("*/manifest.yaml")):
        plugin = load_plugin(folder.parent, f"plugins.{folder.parent.name}")
        text = (folder.parent / "README.md").read_text("utf-8")
        for operation in plugin.manifest.operations:
            assert operation in text
        for key in plugin.config_schema.get("properties", {}):
            assert key in text, f"{plugin.name}: the config key {key} is not in its README"


@pytest.mark.parametrize(
    "path", sorted(str(each.relative_to(ROOT)) for each in [*ROOT.glob("docs/**/*.md"), ROOT / "README.md"])
)
def test_links_lead_somewhere(path: str) -> None:
    file = ROOT / path
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", file.read_text("utf-8")):
        if "://" not in target and not target.startswith("/"):
            assert (file.parent / target).exists(), f"{path} links to {target}"

"""The plugin guide names everything that a plugin's author meets."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

import server.sdk
from server.sdk import Adapter, Context
from server.sdk.manifest import SCHEMA, TIERS
from server.sdk.mocking import SCENARIOS
from server.sdk.testing import CHECKS
from server.transport import failures
from server.transport.limits import PLUGIN_LIMITS

GUIDE = (Path(__file__).parents[2] / "docs/plugins.md").read_text("utf-8")


@pytest.mark.parametrize(
    "name",
    [
        *(check.name for check in CHECKS),
        *SCENARIOS,
        *TIERS,
        *SCHEMA["properties"],
        *(each.name for each in fields(Context)),
        *(name for name in vars(Adapter) if not name.startswith("_") and name != "operation"),
        *(value for name, value in vars(failures).items() if name.isupper() and name != "SOURCE"),
        *(name for name in ("Retryable", "Permanent", "Skipped", "Postponed") if hasattr(server.sdk, name)),
        *("INPUT_INVALID", "OUTPUT_INVALID", "PLUGIN_BROKEN", "PLUGIN_BUSY"),
    ],
)
def test_the_guide_names_it(name):
    assert name in GUIDE


def test_the_guide_gives_the_size_that_is_read():
    assert f"{PLUGIN_LIMITS.body // 1024 // 1024} MiB" in GUIDE

"""The contract suite over every plugin that is discovered: nobody can forget to be tested."""

from __future__ import annotations

import pytest

from server.integrations.plugins import discover
from server.integrations.scaffold import loopback_reach, loopback_session
from server.sdk.testing import CHECKS, Rig, findings

PLUGINS = discover()


@pytest.mark.parametrize("check", CHECKS, ids=str)
@pytest.mark.parametrize("plugin", PLUGINS.values(), ids=PLUGINS)
def test_the_plugin_keeps_the_contract(plugin, check):
    assert findings(check, Rig(plugin, loopback_session, loopback_reach)) == []


def test_the_plugins_of_the_project_are_discovered():
    assert {"http", "hostile"} <= PLUGINS.keys()

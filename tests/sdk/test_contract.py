"""The contract suite over every plugin that is discovered: nobody can forget to be tested."""

from __future__ import annotations

import pytest

from server.integrations.plugins import discover
from server.sdk.testing import CHECKS, Rig, findings
from server.transport.addresses import AddressPolicy
from server.transport.limits import Limits
from server.transport.sync import guarded_session

PLUGINS = discover()


def loopback(seconds):
    return guarded_session(AddressPolicy(["127.0.0.0/8"]), Limits(total=seconds))


@pytest.mark.parametrize("check", CHECKS, ids=str)
@pytest.mark.parametrize("plugin", PLUGINS.values(), ids=PLUGINS)
def test_the_plugin_keeps_the_contract(plugin, check):
    assert findings(check, Rig(plugin, loopback)) == []


def test_the_plugins_of_the_project_are_discovered():
    assert {"http", "hostile"} <= PLUGINS.keys()

"""Integrations over HTTP besides their definitions: test, call; and the installed plugins."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from flask import request

from server.integrations import schemas
from server.kernel.errors import NotFound
from server.web import current, paging
from server.web.permissions import requires
from server.web.room import Room

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.integrations.persisting import Called
    from server.integrations.usecases import ByHand
    from server.sdk.adapter import Health
    from server.sdk.plugin import Plugin


def blueprint(by_hand: ByHand) -> Room:
    """Make the room."""
    room = Room("integrations", description="Integrations by hand: test, call; installed plugins")
    _calls(room, by_hand)
    _plugins(room, by_hand.plugins)
    return room


def _calls(room: Room, by_hand: ByHand) -> None:
    @room.route("/api/v1/integrations/<name>/test", methods=["POST"])
    @requires("integrations:operate")
    @room.response(200, schemas.HealthSchema)
    def test_integration(name: str) -> Health:
        """Ask the integration's system how it is; an unhealthy one is an answer, not an error."""
        return by_hand.test(current.scope(), current.cause(), name)

    @room.route("/api/v1/integrations/<name>/call", methods=["POST"])
    @requires("integrations:operate")
    @room.arguments(schemas.CallSchema)
    @room.response(200, schemas.CalledSchema)
    def call_integration(body: dict[str, Any], name: str) -> Called:
        """Call one operation with the tries of its policy, or its fallback. Under an Idempotency-Key a write is done once a day."""
        key = request.headers.get("Idempotency-Key")
        return by_hand.call(current.scope(), current.cause(), name, body["operation"], body["input"], key=key)


def _plugins(room: Room, plugins: Mapping[str, Plugin]) -> None:
    @room.route("/api/v1/plugins")
    @requires("plugins:read")
    @room.arguments(paging.PageQuery, location="query")
    @room.response(200, schemas.PluginPage)
    def list_plugins(query: dict[str, Any]) -> dict[str, Any]:
        """List the installed plugins by name."""
        position = paging.after(query, "plugins", str) or [""]
        rows = [plugin for name, plugin in sorted(plugins.items()) if name > str(position[0])]
        return paging.page(rows, query["limit"], "plugins", lambda each: [each.name], _summary)

    @room.route("/api/v1/plugins/<name>")
    @requires("plugins:read")
    @room.response(200, schemas.PluginSchema)
    def get_plugin(name: str) -> dict[str, Any]:
        """Read one plugin: its operations with their schemas, and the schema of its config."""
        plugin = plugins.get(name)
        if plugin is None:
            raise NotFound(f"no plugin {name[:50]} is installed")
        operations = [asdict(each) for each in plugin.adapter_factory().operations]
        return _summary(plugin) | {"operations": operations, "config_schema": plugin.config_schema}


def _summary(plugin: Plugin) -> dict[str, Any]:
    manifest = plugin.manifest
    return {
        "name": manifest.name,
        "title": manifest.title,
        "version": manifest.version,
        "about": manifest.about,
        "owner": manifest.owner,
        "tier": manifest.tier,
    }

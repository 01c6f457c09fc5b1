"""Discovery over HTTP: the start of a definition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marshmallow import fields, validate

from server.sdk.manifest import OPERATION
from server.web import current
from server.web.permissions import requires
from server.web.room import In, Json, Out, Pattern, Room

if TYPE_CHECKING:
    from server.integrations.discovery import Discovered, Discovery


class DiscoverSchema(In):
    """What is asked."""

    operation = fields.String(
        load_default=None,
        allow_none=True,
        validate=[validate.Length(max=100), Pattern(OPERATION.strip("^$"), error="noun.verb is needed")],
        metadata={"description": "The source or target that is asked; by default the plugin's first source."},
    )
    options = fields.Dict(
        load_default=dict, metadata={"description": "What it takes: with a name, as a table, that alone is told."}
    )


class DatasetSchema(Out):
    """Something that can be read or written."""

    name = fields.String(required=True)
    options = Json(required=True, metadata={"description": "What stands beside `call` in a sync job for it."})
    schema = Json(required=True, metadata={"description": "The JSON Schema of its rows."})
    primary_key = fields.List(fields.String(), required=True, metadata={"description": "A guess."})
    cursor = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "Fields that look as if they said when a row last changed, the best first."},
    )
    about = fields.String(required=True)


class DiscoveredSchema(Out):
    """What was found."""

    integration = fields.String(required=True)
    plugin = fields.String(required=True)
    operation = fields.String(required=True)
    datasets = fields.List(fields.Nested(DatasetSchema), required=True)


def blueprint(discovery: Discovery) -> Room:
    """Make the room."""
    room = Room("discovery", description="What the systems behind integrations hold.")

    @room.route("/api/v1/integrations/<name>/discover", methods=["POST"])
    @requires("definitions:apply")
    @room.arguments(DiscoverSchema)
    @room.response(200, DiscoveredSchema)
    def discover_integration(body: dict[str, Any], name: str) -> Discovered:
        """Ask the system behind an integration what can be read or written there: the start of a sync job's definition."""
        return discovery.ask(current.scope(), current.cause(), name, body["operation"], body["options"])

    return room

"""What is known of what a flow uses: operations, event types, whether transactions are offered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.integrations.fallback import split_call

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.documents.catalog import Catalog, OperationFacts, PluginFacts


def plugin_of(integration: str, catalog: Catalog) -> PluginFacts | None:
    """Return what is known of the plugin of an integration."""
    body: Mapping[str, Any] = next(iter(catalog.bodies("Integration", integration)), {})
    name = body.get("plugin")
    return catalog.plugins.get(name) if isinstance(name, str) else None


def operation_of(call: str | None, catalog: Catalog) -> OperationFacts | None:
    """Return what is known of the operation that a call names."""
    parts = split_call(call or "")
    facts = plugin_of(parts[0], catalog) if parts else None
    return facts.operations.get(parts[1]) if facts is not None and parts else None


def transactions_of(integration: str, catalog: Catalog) -> bool | None:
    """Say whether the plugin of an integration offers transactions; None when nothing is known of it."""
    facts = plugin_of(integration, catalog)
    return None if facts is None else facts.transactions


def schema_of_event(type_: str, version: int | None, catalog: Catalog) -> Any:
    """Return the schema of an event type, the newest where no version is said; None when it has none."""
    bodies = {int(body.get("version", 1)): body for body in catalog.bodies("EventType", type_)}
    body: Mapping[str, Any] = bodies.get(version or max(bodies, default=0), {})
    return body.get("schema")

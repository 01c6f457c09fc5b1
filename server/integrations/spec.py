"""The declaration of an Integration: one system, reached through one plugin, under one policy."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from server.documents.catalog import OperationFacts, PluginFacts
from server.documents.explaining import explain
from server.documents.fields import CONTRADICTION, Field, FieldType, Object, OneOf
from server.documents.findings import nearest, shown
from server.documents.kinds import ACTIVE, Kind, head_fields
from server.documents.nodes import MappingNode, ScalarNode, at, plain, whole
from server.documents.retrying import growing
from server.documents.scalars import Choice, Duration, Integer, Number, Url, text_of
from server.documents.values import Config, is_env, is_secret
from server.integrations.fallback import FALLBACK, split_call
from server.kernel.errors import Permanent, code
from server.sdk.adapter import Adapter
from server.transport.urls import vet_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.documents.catalog import Catalog
    from server.documents.checking import Checker
    from server.documents.nodes import Node
    from server.sdk.plugin import Plugin

UNKNOWN_PLUGIN = code("UNKNOWN_PLUGIN", "No plugin of this name is installed.")
CONFIG = code("CONFIG", "The config breaks the schema of its plugin.")
PRESETS = (
    "default",
    "sales-system",
    "erp-system",
    "e-signature",
    "communication-gateway",
    "sms-gateway",
    "email-gateway",
)
_PLACEHOLDER = "placeholder"
_REFERENCE_KEYS = frozenset({"secret", "env", "default"})


@dataclass(frozen=True)
class PluginName(FieldType):
    """The name of an installed plugin."""

    def check(self, node: Node, checker: Checker) -> None:
        """Check that there is one."""
        text = text_of(node, checker, "the name of a plugin")
        if text is None or text in checker.catalog.plugins:
            return
        names = sorted(checker.catalog.plugins)
        checker.error(UNKNOWN_PLUGIN, node, f"no plugin {shown(text)} is installed", nearest(text, names))

    def schema(self) -> dict[str, Any]:
        """Return the schema of the name."""
        return {"type": "string"}

    def label(self) -> str:
        """Return `name of a plugin`."""
        return "name of a plugin"


RATE_LIMIT = Object(
    (
        Field("capacity", Integer(1, 1_000_000), "How many may come at once.", required=True),
        Field(
            "per_second", Number(Decimal("0.001"), Decimal(1_000_000)), "How many a second after that.", required=True
        ),
    ),
    name="rate_limit",
)
_POLICY = Object(
    (
        Field("preset", Choice(PRESETS), "The preset whose figures hold where none is given.", default="default"),
        Field("timeout", Duration("10ms", "10m"), "How long one call may take in all."),
        Field(
            "retry",
            growing(None),
            "When a failed call is tried again; what is not said here, the preset says. Webhooks follow it if it, or a preset, is written.",
        ),
        Field(
            "breaker",
            Object(
                (
                    Field("failures", Integer(1, 10_000), "Failures in a row that open the breaker."),
                    Field("successes", Integer(1, 1_000), "Successes in a row that close it again."),
                    Field("reset", Duration("100ms", "1d"), "How long it stays open before a call probes."),
                ),
                name="breaker",
            ),
            "When calls are held back because the system fails.",
        ),
        Field("rate_limit", RATE_LIMIT, "How fast calls may come."),
        Field(
            "concurrency", Integer(1, 10_000), "Calls at the same time, those of webhooks and all processes together."
        ),
    ),
    name="policy",
)


def _check(root: MappingNode, checker: Checker) -> None:
    _check_fallback(root, checker)
    plugin, config = root.text("plugin"), root.get("config")
    facts = checker.catalog.plugins.get(plugin or "")
    if facts is None or (config is not None and not whole(config)):
        return
    filled, hidden = _fill(plain(config) if config is not None else {})
    place: Node = config if config is not None else root
    for each in explain(facts.config_schema, filled, hidden):
        node = at(place, each.pointer)
        key = node.key(each.key) if each.key is not None and isinstance(node, MappingNode) else None
        if key is None and isinstance(node, MappingNode) and _no_reference(node, checker):
            continue
        checker.error(CONFIG, key or node, f"{plugin}: {each.message}", each.suggestion)
    _check_base_url(config.get("base_url") if isinstance(config, MappingNode) else None, checker)


def _check_fallback(root: MappingNode, checker: Checker) -> None:
    fallback = root.get("fallback")
    call = fallback.text("call") if isinstance(fallback, MappingNode) else None
    parts = split_call(call or "")
    if parts is not None and parts[0] == root.text("name") and isinstance(fallback, MappingNode):
        checker.error(CONTRADICTION, fallback.get("call") or fallback, "an integration is no fallback for itself")


def _check_base_url(node: Node | None, checker: Checker) -> None:
    """Check a base URL; the default of `{env: …}` in form only, since it is there for other places than this one."""
    if isinstance(node, ScalarNode):
        Url().check(node, checker)
    default = node.get("default") if isinstance(node, MappingNode) else None
    if isinstance(default, ScalarNode):
        Url(vetted=False).check(default, checker)


def _no_reference(node: MappingNode, checker: Checker) -> bool:
    """Note a key that keeps a mapping from being `{secret: NAME}` or `{env: NAME, default: …}`; say whether there is one."""
    wrong = [key for key, _ in node.entries if key.value not in _REFERENCE_KEYS]
    near = nearest(str(wrong[0].value), _REFERENCE_KEYS) if wrong else None
    if not wrong or not (near or _REFERENCE_KEYS & set(node.keys())):
        return False
    checker.error(CONFIG, wrong[0], f'"{wrong[0].value}" has no place in a reference to a secret or variable', near)
    return True


def _fill(body: Any) -> tuple[Any, list[tuple[str | int, ...]]]:
    """Put placeholders where secrets and the environment will stand; return also their pointers.

    A reference with a default is checked by its default. What is said about a placeholder itself is no finding.
    """
    hidden: list[tuple[str | int, ...]] = []

    def fill(value: Any, pointer: tuple[str | int, ...]) -> Any:
        if is_env(value) and "default" in value:
            return value["default"]
        if is_env(value) or is_secret(value):
            hidden.append(pointer)
            return _PLACEHOLDER
        if isinstance(value, dict):
            return {key: fill(each, (*pointer, key)) for key, each in value.items()}
        if isinstance(value, list):
            return [fill(each, (*pointer, number)) for number, each in enumerate(value)]
        return value

    return fill(body, ()), hidden


def takes_webhooks(body: Mapping[str, Any], catalog: Catalog) -> bool | None:
    """Say whether webhooks can be sent through an integration; None when its own faults leave that open."""
    facts = _facts(body, catalog)
    return None if facts is None else _endpoint(body, facts) is not None


def base_path_of(body: Mapping[str, Any], catalog: Catalog) -> str:
    """Return the path under which webhooks through an integration go, as far as it is known without secrets."""
    facts = _facts(body, catalog)
    base_url = None if facts is None else _endpoint(body, facts)
    try:
        return urlsplit(vet_url(base_url).url).path.rstrip("/") if base_url else ""
    except Permanent:  # a placeholder: the URL is a secret
        return ""


def _facts(body: Mapping[str, Any], catalog: Catalog) -> PluginFacts | None:
    """Return the plugin's facts when the config fits its schema."""
    plugin = body.get("plugin")
    facts = catalog.plugins.get(plugin) if isinstance(plugin, str) else None
    filled, hidden = _fill(body.get("config", {}))
    return None if facts is None or explain(facts.config_schema, filled, hidden) else facts


def _endpoint(body: Mapping[str, Any], facts: PluginFacts) -> str | None:
    return facts.endpoint(_fill(body.get("config", {}))[0])


def plugin_facts(plugins: Mapping[str, Plugin]) -> dict[str, PluginFacts]:
    """Return what definitions may know of discovered plugins; imports their code."""
    return {name: _facts_of(plugin) for name, plugin in plugins.items()}


def _facts_of(plugin: Plugin) -> PluginFacts:
    adapter = plugin.adapter_factory()

    def endpoint(config: Mapping[str, Any]) -> str | None:
        found = adapter.endpoint(config)
        return found.base_url if found is not None and found.webhooks else None

    operations = {
        each.name: OperationFacts(
            each.input_schema,
            each.output_schema,
            adapter.source(each.name),
            adapter.target(each.name),
            each.name not in adapter.not_supported,
        )
        for each in adapter.operations
    }
    transactions = type(adapter).transaction is not Adapter.transaction
    return PluginFacts(plugin.name, plugin.config_schema, operations, endpoint, transactions)


INTEGRATION = Kind(
    "Integration",
    "A configured connection to one system through one plugin, with the policy that guards every call.",
    Object(
        (
            *head_fields("Integration"),
            ACTIVE,
            Field("plugin", PluginName(), "The plugin that talks to the system.", required=True),
            Field("config", Config(), "What the plugin needs, by its own schema; secrets only as `{secret: NAME}`."),
            Field(
                "policy",
                OneOf((Choice(PRESETS), _POLICY)),
                "A preset by name, or one with fields of your own.",
                default="default",
            ),
            Field(
                "fallback",
                FALLBACK,
                "What is called, or the constant that is given, when the breaker is open or the tries are used up.",
                example="{call: other-gateway.request.send, with: {path: input.path}}",
            ),
        ),
        name="an Integration",
    ),
    check=_check,
)

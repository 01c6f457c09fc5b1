"""The declaration of an Integration: one system, reached through one plugin, under one policy."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from server.documents.fields import NOT_YET, Field, FieldType, Object, OneOf
from server.documents.findings import nearest, shown
from server.documents.kinds import ACTIVE, Kind, head_fields
from server.documents.nodes import MappingNode, at, plain, whole
from server.documents.scalars import Choice, Duration, Integer, Number, text_of
from server.documents.schemas import violations
from server.documents.values import Config, is_env, is_secret
from server.kernel.errors import code

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.documents.checking import Checker
    from server.documents.nodes import Node

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
# Named by our own documents and built later, so that their absence is not called a typing error.
COMING_PLUGINS = ("erp_sandbox", "sql", "tryton")
_PLACEHOLDER = "placeholder"


@dataclass(frozen=True)
class PluginName(FieldType):
    """The name of an installed plugin."""

    def check(self, node: Node, checker: Checker) -> None:
        """Check that there is one."""
        text = text_of(node, checker, "the name of a plugin")
        if text is None or text in checker.catalog.plugins:
            return
        if text in COMING_PLUGINS:
            checker.error(NOT_YET, node, f"the plugin {shown(text)} is planned but not built yet")
        else:
            names = sorted(checker.catalog.plugins)
            checker.error(UNKNOWN_PLUGIN, node, f"no plugin {shown(text)} is installed", nearest(text, names))

    def schema(self) -> dict[str, Any]:
        """Return the schema of the name."""
        return {"type": "string"}

    def label(self) -> str:
        """Return `name of a plugin`."""
        return "name of a plugin"


_RETRY = Object(
    (
        Field("attempts", Integer(1, 100), "Tries in all: one more than there are pauses."),
        Field("initial", Duration("1ms", "1d"), "The first pause."),
        Field("multiplier", Number(Decimal(1), Decimal(10)), "Each pause is that many times the one before."),
        Field("max", Duration("1ms", "1d"), "No pause is longer."),
        Field("jitter", Number(Decimal(0), Decimal(1)), "A pause is up to that share longer, at random."),
    ),
    name="retry",
)
_POLICY = Object(
    (
        Field("preset", Choice(PRESETS), "The preset whose figures hold where none is given.", default="default"),
        Field("timeout", Duration("10ms", "10m"), "How long one call may take in all."),
        Field("retry", _RETRY, "When a failed call is tried again; what is not said here, the preset says."),
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
        Field(
            "rate_limit",
            Object(
                (
                    Field("capacity", Integer(1, 1_000_000), "Calls that may come at once.", required=True),
                    Field(
                        "per_second",
                        Number(Decimal("0.001"), Decimal(1_000_000)),
                        "Calls a second after that.",
                        required=True,
                    ),
                ),
                name="rate_limit",
            ),
            "How fast calls may come.",
        ),
        Field("concurrency", Integer(1, 10_000), "Calls at the same time.", coming=True),
    ),
    name="policy",
)


def _check(root: MappingNode, checker: Checker) -> None:
    plugin, config = root.text("plugin"), root.get("config")
    facts = checker.catalog.plugins.get(plugin or "")
    if facts is None or (config is not None and not whole(config)):
        return
    body = plain(config) if config is not None else {}
    filled, hidden = _fill(body)
    place: Node = config if config is not None else root
    for violation in violations(dict(facts.config_schema), filled):
        if not any(violation.pointer[: len(pointer)] == pointer for pointer in hidden):
            node = at(place, violation.pointer)
            checker.error(CONFIG, _key_of(violation.message, node) or node, f"{plugin}: {violation.message}")


def _key_of(message: str, node: Node) -> Node | None:
    """Return the key that a message about unexpected properties names."""
    if not isinstance(node, MappingNode) or "dditional properties" not in message:
        return None
    return next((key for key, _ in node.entries if f"'{key.value}'" in message), None)


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


def base_url_of(body: Mapping[str, Any], env: Mapping[str, str] | None = None) -> str | None:
    """Return the base URL of an integration as far as it is known without secrets; `env` fills `{env: …}`."""
    value = body.get("config", {}).get("base_url")
    if is_env(value):
        value = (env or {}).get(value["env"], value.get("default"))
    return value if isinstance(value, str) else None


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
            Field("fallback", Config(), "What is called when the breaker is open or tries are used up.", coming=True),
        ),
        name="an Integration",
    ),
    check=_check,
)

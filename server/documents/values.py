"""Field types about secrets, the environment, references, schemas and free JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.documents.credentials import known_credential
from server.documents.fields import Field, FieldType, Keyed, Object, OneOf, wrong_type
from server.documents.findings import nearest, shown
from server.documents.nodes import ListNode, MappingNode, Node, ScalarNode, at, plain, whole
from server.documents.scalars import CREDENTIAL, Text, refuse_credential, text_of
from server.documents.schemas import SCHEMA, problems_of
from server.kernel.errors import code

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.documents.checking import Checker

UNKNOWN_REFERENCE = code("UNKNOWN_REFERENCE", "No definition of that kind and name is in the folder or the workspace.")
ENV_REFUSED = code("ENV_REFUSED", "This variable is Crossdock's own or looks like a credential: use `{secret: NAME}`.")
SECRET_MISSING = code("SECRET_MISSING", "The workspace has no secret of this name: `crossdock secret set NAME`.")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_OUR_ENV = re.compile(r"CROSSDOCK_.*|OTEL_.*|PG[A-Z]+|DATABASE_URL|REDIS_URL")
_CREDENTIAL_ENV = re.compile(
    r"SECRET|PASSW|TOKEN|CREDENTIAL|PRIVATE|API_?KEY|ACCESS_?KEY|_KEY$|^KEY$|_DSN$", re.IGNORECASE
)

SECRET = Keyed(
    ("secret",),
    Object(
        (
            Field(
                "secret",
                Text(100, r"[A-Za-z][A-Za-z0-9_-]*", "the name of a secret"),
                "Name of a secret of the workspace.",
                required=True,
            ),
        ),
        name="a secret's reference",
    ),
)


def is_secret(value: Any) -> bool:
    """Say whether plain JSON is `{secret: NAME}`."""
    return isinstance(value, dict) and set(value) == {"secret"} and isinstance(value["secret"], str)


def is_env(value: Any) -> bool:
    """Say whether plain JSON is `{env: NAME}` or `{env: NAME, default: …}`."""
    return (
        isinstance(value, dict) and set(value) | {"default"} == {"env", "default"} and isinstance(value.get("env"), str)
    )


def secrets_in(value: Any) -> set[str]:
    """Return the names of the secrets that plain JSON refers to, anywhere."""
    if is_secret(value):
        return {value["secret"]}
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {name for each in below for name in secrets_in(each)}


def env_name_refused(name: str) -> bool:
    """Say whether a variable is none that a definition may read: ours, or one whose name tells of a credential."""
    return not _ENV_NAME.fullmatch(name) or bool(_OUR_ENV.fullmatch(name) or _CREDENTIAL_ENV.search(name))


@dataclass(frozen=True)
class EnvName(FieldType):
    """The name of an environment variable; our own and those of credentials are refused: a receiver would learn them."""

    def check(self, node: Node, checker: Checker) -> None:
        """Check the form and that it is none of ours."""
        Text(128, _ENV_NAME.pattern, "the name of an environment variable").check(node, checker)
        if isinstance(node, ScalarNode) and _ENV_NAME.fullmatch(str(node.value)) and env_name_refused(str(node.value)):
            checker.error(
                ENV_REFUSED, node, f"{node.value} is our own or looks like a credential: use {{secret: NAME}}"
            )

    def schema(self) -> dict[str, Any]:
        """Return the schema of the name."""
        return {"type": "string", "pattern": f"^{_ENV_NAME.pattern}$", "maxLength": 128}

    def label(self) -> str:
        """Return `text`."""
        return "text"


def env_form(literal: FieldType) -> FieldType:
    """Return the form `{env: NAME, default: …}` whose default is a literal of the given type."""
    return Keyed(
        ("env",),
        Object(
            (
                Field("env", EnvName(), "Environment variable of the server.", required=True),
                Field("default", literal, "Value where the variable is not set."),
            ),
            name="an environment reference",
        ),
    )


def secretable(literal: FieldType) -> FieldType:
    """Return a type that takes a literal, `{secret: NAME}` or `{env: NAME, default: …}`."""
    return OneOf((Quiet(SECRET, "`{secret}`"), Quiet(env_form(literal), "`{env, default}`"), literal))


@dataclass(frozen=True)
class Quiet(FieldType):
    """A form that the reference page names by a short label, without listing its fields again."""

    form: FieldType
    named: str

    def check(self, node: Node, checker: Checker) -> None:
        """Check by the form."""
        self.form.check(node, checker)

    def schema(self) -> dict[str, Any]:
        """Return the form's schema."""
        return self.form.schema()

    def label(self) -> str:
        """Return the short label."""
        return self.named

    def accepts(self, node: Node) -> bool:
        """Say what the form says."""
        return self.form.accepts(node)


SECRET_ONLY = Quiet(SECRET, "`{secret}`")


@dataclass(frozen=True)
class FreeJson(FieldType):
    """Any JSON. Only credentials of a known form are refused: the data's own field names tell nothing."""

    mapping: bool = False

    def check(self, node: Node, checker: Checker) -> None:
        """Look for credentials."""
        if self.mapping and not isinstance(node, MappingNode):
            wrong_type(node, "a mapping", checker)
            return
        for each in scalars_in(node):
            reason = known_credential(each.value) if isinstance(each.value, str) else None
            if reason:
                checker.error(CREDENTIAL, each, f"this looks like {reason}; use a made-up value")

    def schema(self) -> dict[str, Any]:
        """Return the schema: anything."""
        return {"type": "object"} if self.mapping else {}

    def label(self) -> str:
        """Return `JSON`."""
        return "JSON object" if self.mapping else "JSON"

    def accepts(self, node: Node) -> bool:
        """Take anything."""
        return isinstance(node, MappingNode) or not self.mapping


@dataclass(frozen=True)
class Config(FieldType):
    """The configuration of a plugin: secrets and environment anywhere, and no literal that looks like a credential."""

    def check(self, node: Node, checker: Checker) -> None:
        """Check references and literals; the plugin's schema is checked by the kind."""
        if isinstance(node, MappingNode):
            self._mapping(node, None, checker)
        else:
            wrong_type(node, "a mapping", checker)

    def _value(self, node: Node, key: str | None, checker: Checker) -> None:
        if isinstance(node, MappingNode):
            self._mapping(node, key, checker)
        elif isinstance(node, ListNode):
            for each in node.items:
                self._value(each, key, checker)
        elif not node.broken:
            refuse_credential(node, key, checker)

    def _mapping(self, node: MappingNode, key: str | None, checker: Checker) -> None:
        if set(node.keys()) == {"secret"}:
            SECRET.check(node, checker)
        elif node.key("env") is not None and set(node.keys()) <= {"env", "default"}:
            env_form(FreeJson()).check(node, checker)
            default = node.get("default")
            if default is not None:
                self._value(default, key, checker)
        else:
            for name, value in node.entries:
                self._value(value, str(name.value), checker)

    def schema(self) -> dict[str, Any]:
        """Return the schema: an object; what is inside is the plugin's."""
        return {"type": "object"}

    def label(self) -> str:
        """Return `object of the plugin`."""
        return "object of the plugin"

    def accepts(self, node: Node) -> bool:
        """Say whether it is a mapping."""
        return isinstance(node, MappingNode)


@dataclass(frozen=True)
class JsonSchema(FieldType):
    """A JSON Schema of the user's, draft 2020-12, complete in itself."""

    def check(self, node: Node, checker: Checker) -> None:
        """Check it against the meta-schema and compile it."""
        if not isinstance(node, MappingNode):
            wrong_type(node, "a JSON Schema (a mapping)", checker)
            return
        FreeJson().check(node, checker)
        if whole(node):
            for problem in problems_of(plain(node)):
                checker.error(SCHEMA, at(node, problem.pointer), problem.message)

    def schema(self) -> dict[str, Any]:
        """Return the schema: the meta-schema."""
        return {"type": "object", "$ref": "https://json-schema.org/draft/2020-12/schema"}

    def label(self) -> str:
        """Return `JSON Schema`."""
        return "JSON Schema"

    def accepts(self, node: Node) -> bool:
        """Say whether it is a mapping."""
        return isinstance(node, MappingNode)


@dataclass(frozen=True)
class Reference(FieldType):
    """The name of another definition, in the folder or in the workspace."""

    kind: str

    def check(self, node: Node, checker: Checker) -> None:
        """Check that there is one."""
        text = text_of(node, checker, f"the name of a definition of kind {self.kind}")
        if text is not None and not checker.catalog.bodies(self.kind, text):
            names = sorted(checker.catalog.names(self.kind))
            message = f"there is no {self.kind} {shown(text)} in the folder or the workspace"
            checker.error(UNKNOWN_REFERENCE, node, message, nearest(text, names))

    def schema(self) -> dict[str, Any]:
        """Return the schema of the name."""
        return {"type": "string"}

    def label(self) -> str:
        """Return `name of …`."""
        return f"name of an {self.kind}" if self.kind[0] in "AEIO" else f"name of a {self.kind}"


def scalars_in(node: Node) -> Iterator[ScalarNode]:
    """Yield every usable single value under a node."""
    if isinstance(node, ScalarNode):
        if not node.broken:
            yield node
    elif isinstance(node, ListNode):
        for each in node.items:
            yield from scalars_in(each)
    elif isinstance(node, MappingNode):
        for _, value in node.entries:
            yield from scalars_in(value)

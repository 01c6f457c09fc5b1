"""Field types of single values: texts, numbers, choices, durations, names, event types, URLs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from server.documents.credentials import credential_in
from server.documents.fields import NOT_YET, WRONG_TYPE, WRONG_VALUE, FieldType, wrong_type
from server.documents.findings import nearest, shown
from server.documents.nodes import ScalarNode
from server.kernel.errors import Permanent, code
from server.kernel.policies import parse_duration
from server.transport.urls import vet_url

if TYPE_CHECKING:
    from server.documents.checking import Checker
    from server.documents.nodes import Node
    from server.transport.urls import Target

CREDENTIAL = code(
    "CREDENTIAL", "A literal that looks like a credential; store it as a secret and write {secret: NAME}."
)
NOT_DOTTED = code("NOT_DOTTED", "An event type should be dotted: entity.action or module.entity.action.")
_SEGMENT = r"[A-Za-z0-9_]+"
_LONGEST_TYPE = 200
_PIN = r"@[1-9][0-9]{0,5}\Z"
_MOST_DEEP_WILDCARDS = 3


def text_of(node: Node, checker: Checker, wanted: str = "a text") -> str | None:
    """Return the text at a node, or None with a finding."""
    if isinstance(node, ScalarNode) and isinstance(node.value, str):
        return node.value
    numeric = isinstance(node, ScalarNode) and node.value is not None
    wrong_type(node, f"{wanted} (in quotes)" if numeric and wanted == "a text" else wanted, checker)
    return None


def refuse_credential(node: Node, key: str | None, checker: Checker) -> bool:
    """Note that the text at a node looks like a credential; say whether it does."""
    reason = credential_in(node.value, key) if isinstance(node, ScalarNode) else None
    if reason:
        checker.error(CREDENTIAL, node, f"{reason}: store it with `crossdock secret set NAME`, write {{secret: NAME}}")
    return reason is not None


@dataclass(frozen=True)
class Text(FieldType):
    """A text. `pattern` is told in words by `about`, since nobody reads regular expressions in a message."""

    longest: int = 1000
    pattern: str | None = None
    about: str = "a text"
    shortest: int = 1

    def check(self, node: Node, checker: Checker) -> None:
        """Check length, form, and that it is no credential."""
        text = text_of(node, checker, self.about)
        if text is None or refuse_credential(node, None, checker):
            return
        if not self.shortest <= len(text) <= self.longest:
            checker.error(
                WRONG_VALUE, node, f"{self.shortest} to {self.longest} characters are taken, found {len(text)}"
            )
        elif self.pattern and not re.fullmatch(self.pattern, text, re.ASCII):
            checker.error(WRONG_VALUE, node, f"{self.about} is needed here, found {shown(text)}")

    def schema(self) -> dict[str, Any]:
        """Return the schema of the text."""
        schema: dict[str, Any] = {"type": "string", "minLength": self.shortest, "maxLength": self.longest}
        if self.pattern:
            schema["pattern"] = f"^(?:{self.pattern})$"
        return schema

    def label(self) -> str:
        """Return `text`."""
        return "text"


def name_text() -> Text:
    """Return the type of a definition's name."""
    return Text(63, "[a-z][a-z0-9-]*", "a name of small letters, digits and hyphens that begins with a letter")


@dataclass(frozen=True)
class Integer(FieldType):
    """A whole number within bounds."""

    least: int
    most: int

    def check(self, node: Node, checker: Checker) -> None:
        """Check type and bounds."""
        value = node.value if isinstance(node, ScalarNode) else None
        if not isinstance(value, int) or isinstance(value, bool):
            wrong_type(node, "a whole number", checker)
        elif not self.least <= value <= self.most:
            checker.error(WRONG_VALUE, node, f"{self.least} to {self.most} is taken, found {value}")

    def schema(self) -> dict[str, Any]:
        """Return the schema of the number."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}

    def label(self) -> str:
        """Return `integer`."""
        return "integer"


@dataclass(frozen=True)
class Number(FieldType):
    """A number within bounds, with or without a fraction."""

    least: Decimal
    most: Decimal

    def check(self, node: Node, checker: Checker) -> None:
        """Check type and bounds."""
        value = node.value if isinstance(node, ScalarNode) else None
        if not isinstance(value, int | Decimal) or isinstance(value, bool):
            wrong_type(node, "a number", checker)
        elif not self.least <= value <= self.most:
            checker.error(WRONG_VALUE, node, f"{self.least} to {self.most} is taken, found {value}")

    def schema(self) -> dict[str, Any]:
        """Return the schema of the number."""
        return {"type": "number", "minimum": float(self.least), "maximum": float(self.most)}

    def label(self) -> str:
        """Return `number`."""
        return "number"


@dataclass(frozen=True)
class Boolean(FieldType):
    """`true` or `false`; YAML 1.1's `yes` and `on` are texts here."""

    def check(self, node: Node, checker: Checker) -> None:
        """Check that it is true or false."""
        value = node.value if isinstance(node, ScalarNode) else None
        if not isinstance(value, bool):
            folded = value.casefold() if isinstance(value, str) else ""
            meant = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}.get(folded)
            checker.error(WRONG_VALUE if meant else WRONG_TYPE, node, "true or false is needed here", meant)

    def schema(self) -> dict[str, Any]:
        """Return the schema of the flag."""
        return {"type": "boolean"}

    def label(self) -> str:
        """Return `boolean`."""
        return "boolean"


@dataclass(frozen=True)
class Choice(FieldType):
    """One of a few words. `coming` words are known but not built yet."""

    words: tuple[str, ...]
    coming: tuple[str, ...] = ()

    def check(self, node: Node, checker: Checker) -> None:
        """Check that it is one of the words."""
        text = text_of(node, checker, f"one of {', '.join(self.words)}")
        if text is None or text in self.words:
            return
        if text in self.coming:
            checker.error(NOT_YET, node, f'"{text}" is planned but not built yet')
        else:
            message = f"one of {', '.join(self.words)} is needed here, found {shown(text)}"
            checker.error(WRONG_VALUE, node, message, nearest(text, self.words))

    def schema(self) -> dict[str, Any]:
        """Return the schema: the words."""
        return {"enum": list(self.words)}

    def label(self) -> str:
        """Return the words."""
        return " · ".join(f"`{word}`" for word in self.words)


@dataclass(frozen=True)
class Const(FieldType):
    """Exactly one word: what a document's `kind` is, once its fields are checked."""

    word: str

    def check(self, node: Node, checker: Checker) -> None:
        """Check that it is the word."""
        if not isinstance(node, ScalarNode) or node.value != self.word:
            checker.error(WRONG_VALUE, node, f"{self.word} is needed here", self.word)

    def schema(self) -> dict[str, Any]:
        """Return the schema: the word."""
        return {"const": self.word}

    def label(self) -> str:
        """Return the word."""
        return f"`{self.word}`"


@dataclass(frozen=True)
class Fact(FieldType):
    """A text, number or boolean that means something to the user alone."""

    def check(self, node: Node, checker: Checker) -> None:
        """Check that it is a single value and no credential."""
        if not isinstance(node, ScalarNode) or node.value is None:
            wrong_type(node, "a text, number or boolean", checker)
        elif isinstance(node.value, str):
            Text().check(node, checker)

    def schema(self) -> dict[str, Any]:
        """Return the schema of the value."""
        return {"type": ["string", "number", "boolean"]}

    def label(self) -> str:
        """Return `text, number or boolean`."""
        return "text, number or boolean"


@dataclass(frozen=True)
class Duration(FieldType):
    """A duration as text: `500ms`, `5s`, `1h30m`; bounds in the same form."""

    least: str
    most: str

    def check(self, node: Node, checker: Checker) -> None:
        """Check form and bounds."""
        text = text_of(node, checker, "a duration like 500ms, 5s, 2h or 1h30m")
        if text is None:
            return
        try:
            seconds = parse_duration(text[:100])
        except (ValueError, OverflowError):
            checker.error(WRONG_VALUE, node, f"a duration like 500ms, 5s, 2h or 1h30m is needed, found {shown(text)}")
            return
        if not parse_duration(self.least) <= seconds <= parse_duration(self.most):
            checker.error(WRONG_VALUE, node, f"{self.least} to {self.most} is taken, found {shown(text)}")

    def schema(self) -> dict[str, Any]:
        """Return the schema of the text."""
        return {"type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"}

    def label(self) -> str:
        """Return `duration`."""
        return "duration"


@dataclass(frozen=True)
class EventTypeName(FieldType):
    """The name of an event type.

    `ours`: whether `crossdock.…` may stand here; `wildcards`: whether `*` may; `pins`: whether a type may name its version, `@1`.
    """

    ours: bool = True
    wildcards: bool = False
    strict: bool = False
    pins: bool = False

    @property
    def _segment(self) -> str:
        plain = "[a-z][a-z0-9_]*" if self.strict else _SEGMENT
        return rf"(?:{plain}|\*\*?)" if self.wildcards else plain

    def check(self, node: Node, checker: Checker) -> None:
        """Check the form; a type without a dot is a warning."""
        text = text_of(node, checker, self._wanted())
        if text is None:
            return
        if self.pins and "*" not in text:
            text = re.sub(_PIN, "", text)
        if len(text) > _LONGEST_TYPE or not re.fullmatch(rf"{self._segment}(\.{self._segment})*", text, re.ASCII):
            checker.error(WRONG_VALUE, node, f"{self._wanted()} is needed here, found {shown(text)}")
        elif text.count("**") > _MOST_DEEP_WILDCARDS:
            checker.error(WRONG_VALUE, node, f"** stands {_MOST_DEEP_WILDCARDS} times at most")
        elif not self.ours and text.split(".")[0] == "crossdock":
            checker.error(WRONG_VALUE, node, "types that begin with crossdock. are ours alone")
        elif "." not in text and "*" not in text:
            checker.warning(NOT_DOTTED, node, f"the event type {shown(text)} is not dotted, like entity.action")

    def _wanted(self) -> str:
        more = (" or a pattern like order.* or **" if self.wildcards else "") + (
            ", or order.created@1" if self.pins else ""
        )
        return f"an event type like order.created{more}"

    def schema(self) -> dict[str, Any]:
        """Return the schema of the text."""
        pattern = rf"^{self._segment}(\.{self._segment})*{f'({_PIN[:-2]})?' if self.pins else ''}$"
        return {"type": "string", "maxLength": _LONGEST_TYPE, "pattern": pattern.replace("(?:", "(")}

    def label(self) -> str:
        """Return `event type`, or `event pattern`."""
        return "event pattern" if self.wildcards else "event type"


@dataclass(frozen=True)
class Url(FieldType):
    """An http or https URL that may be sent to; an address that must not be reached is refused here already.

    `vetted=False` leaves addresses to the guard at the socket.
    """

    vetted: bool = True

    def check(self, node: Node, checker: Checker) -> None:
        """Check scheme, user info, length, and a literal address."""
        text = text_of(node, checker, "an http:// or https:// URL")
        if text is None or refuse_credential(node, None, checker):
            return
        try:
            target = vet_url(text)
            if self.vetted:
                _vet_address(target, checker)
        except Permanent as refusal:
            checker.error(refusal.code, node, refusal.message)

    def schema(self) -> dict[str, Any]:
        """Return the schema of the text."""
        return {"type": "string", "maxLength": 2048, "pattern": "^[hH][tT][tT][pP][sS]?://"}

    def label(self) -> str:
        """Return `URL`."""
        return "URL"


def _vet_address(target: Target, checker: Checker) -> None:
    """Pass when the URL's address may be reached, as far as its text tells.

    Raises:
        Permanent: ADDRESS_REFUSED.

    """
    host = target.host.rstrip(".").lower()
    local = host == "localhost" or host.endswith(".localhost")
    if target.literal or local:
        checker.catalog.addresses.vet("127.0.0.1" if local else target.host, target.port)

"""An inbound webhook as receiving sees it: the typed view of a checked definition. What maps is in `mapping.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from server.documents.kinds import canonical
from server.documents.values import secrets_in
from server.integrations.policies import RateFigures, rate_of
from server.kernel.policies import parse_duration
from server.mapping import PLACES, compile_expression
from server.queue.claims import NORMAL, PRIORITIES
from server.webhooks.inbound.paths import PathTemplate, read_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Network, IPv6Network

    from server.mapping import Expression

PLACE = "inbound_webhook"
METHODS = ("POST", "PUT", "GET")
FORMATS = ("json", "form", "xml", "csv", "raw")
CONTENT_TYPES = ("application/json", "application/*+json")
DEFAULT_MAX_BODY = 1_048_576
LARGEST_BODY = 64 * 1024 * 1024
DEFAULT_TTL = "24h"
DEFAULT_STATUS = 202
DEFAULT_PRIORITY = "normal"


@dataclass(frozen=True, slots=True)
class Answering:
    """What is answered once a request is stored. `body` is None where it is made of the request's id."""

    status: int = DEFAULT_STATUS
    body: bytes | None = None
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def plain(self) -> bool:
        """Whether it is the answer of every endpoint that says nothing: such a one is not kept with each key."""
        return self.body is None and self.status == DEFAULT_STATUS and not self.headers


@dataclass(frozen=True, kw_only=True)
class InboundWebhook:
    """An inbound webhook. Times in seconds, sizes in bytes; expressions as written, compiled on first use."""

    name: str
    path: PathTemplate
    verify: Mapping[str, Any]
    methods: frozenset[str] = frozenset(("POST",))
    content_types: tuple[str, ...] = CONTENT_TYPES
    format: str | None = None
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    max_body: int = DEFAULT_MAX_BODY
    decompress: bool = False
    rate: RateFigures | None = None
    dedupe: str | None = None
    ttl: float = parse_duration(DEFAULT_TTL)
    answer: Answering = field(default_factory=Answering)
    sync: bool = False
    priority: int = NORMAL

    @property
    def secret_names(self) -> set[str]:
        """The names of the secrets that it verifies by."""
        return secrets_in(self.verify)

    @cached_property
    def key(self) -> Expression | None:
        """What makes two requests the same; None where the scheme's own id does.

        Raises:
            ExpressionError: the body was never checked.

        """
        return compile_expression(self.dedupe, PLACES[PLACE]) if self.dedupe is not None else None


def inbound_of(body: Mapping[str, Any]) -> InboundWebhook:
    """Return the typed view of a checked body, with defaults filled in."""
    dedupe = body.get("dedupe", {})
    return InboundWebhook(
        name=body["name"],
        path=read_path(body["path"]),
        verify=body["verify"],
        methods=frozenset(body.get("methods", ("POST",))),
        content_types=tuple(body.get("content_types", CONTENT_TYPES)),
        format=body.get("format"),
        networks=tuple(ip_network(each) for each in body.get("allow_networks", ())),
        max_body=int(body.get("max_body", DEFAULT_MAX_BODY)),
        decompress=body.get("decompress", False),
        rate=rate_of(body["rate_limit"]) if "rate_limit" in body else None,
        dedupe=dedupe.get("key"),
        ttl=parse_duration(dedupe.get("ttl", DEFAULT_TTL)),
        answer=_answering(body.get("answer", {})),
        sync=body.get("sync", False),
        priority=PRIORITIES[body.get("priority", DEFAULT_PRIORITY)],
    )


def _answering(declared: Mapping[str, Any]) -> Answering:
    status = int(declared.get("status", DEFAULT_STATUS))
    headers = {name.lower(): value for name, value in declared.get("headers", {}).items()}
    if "body" not in declared:
        empty = status in (204, 205)
        return Answering(status, b"" if empty else None, declared.get("content_type", "application/json"), headers)
    body = declared["body"]
    text = isinstance(body, str)
    type_ = declared.get("content_type", "text/plain; charset=utf-8" if text else "application/json")
    return Answering(status, body.encode() if text else canonical(body), type_, headers)

"""The endpoints of one workspace, looked up by path and method; whole at one version of its routes and secrets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from server.kernel.errors import NotAllowed, NotFound
from server.webhooks.inbound.paths import ANY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from server.webhooks.inbound.endpoint import InboundWebhook
    from server.webhooks.verifiers.scheme import Verify

NO_ENDPOINT_HERE = "there is no endpoint here"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint that takes requests. `verifier` is None while a secret is missing or of no use: then nobody is admitted.

    `proof` are the names of headers, `proof_query` of parameters, that show a credential; `methods` also those of handshakes.
    """

    webhook_id: UUID
    webhook: InboundWebhook
    definition_version: int
    held: bool
    verifier: Verify | None
    blocks: bool
    methods: frozenset[str]
    proof: frozenset[str] = frozenset()
    proof_query: frozenset[str] = frozenset()
    challenge: str = "Signature"


@dataclass(slots=True)
class _Node:
    """A place in the tree of segments."""

    below: dict[str, _Node] = field(default_factory=dict)
    here: list[Endpoint] = field(default_factory=list)


class Routes:
    """The endpoints of a workspace. A segment that is written out goes before a parameter."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._root = _Node()
        self._exact: dict[str, list[Endpoint]] = {}
        for each in endpoints:
            path = each.webhook.path
            if not path.params:
                self._exact.setdefault(path.text, []).append(each)
            node = self._root
            for segment in path.shape:
                node = node.below.setdefault(segment, _Node())
            node.here.append(each)

    def find(self, method: str, path: str) -> tuple[Endpoint, Mapping[str, str]]:
        """Return the endpoint that takes a request, and the parameters of its path.

        Raises:
            NotFound: there is none at this path.
            NotAllowed: not by this method.

        """
        exact = self._exact.get(path)
        if exact is not None:
            for each in exact:
                if method in each.webhook.methods or (len(exact) == 1 and method in each.methods):
                    return each, {}
        segments = path.split("/")
        found = _walk(self._root, segments, 0)
        if not found:
            raise NotFound(NO_ENDPOINT_HERE, source="inbound")
        taking = _by_method(found, method)
        if taking is None:
            methods = sorted({name for one in found for name in one.webhook.methods})
            raise NotAllowed(f"this endpoint takes {', '.join(methods)}", source="inbound", allowed=methods)
        return taking, taking.webhook.path.params_of(segments)


def _by_method(found: Sequence[Endpoint], method: str) -> Endpoint | None:
    """Return the endpoint that takes a method; one whose own it is before one whose handshakes come with it."""
    own = next((each for each in found if method in each.webhook.methods), None)
    return own or next((each for each in found if method in each.methods), None)


def _walk(node: _Node, segments: Sequence[str], at: int) -> list[Endpoint]:
    """Return the endpoints of a path: all by the first way down that has any. A tree is 20 deep at most, and two wide here."""
    if at == len(segments):
        return node.here
    segment = segments[at]
    for known in (segment, ANY):
        below = node.below.get(known) if segment and segment != ANY else None
        if below is not None:
            found = _walk(below, segments, at + 1)
            if found:
                return found
    return []

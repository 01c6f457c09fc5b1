"""What a plugin is: an adapter with operations, each with schemas, called as validate → execute → transform."""

from __future__ import annotations

import abc
import functools
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from server.sdk.schemas import FieldError, Schema

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime

    from server.sdk.context import Context
    from server.sdk.outbox import Outbox
    from server.sdk.sources import Source
    from server.sdk.targets import Target

Status = Literal["healthy", "degraded", "unhealthy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that a plugin can do, named `noun.verb`.

    The schemas are JSON Schema 2020-12 of an object. `writes`: it may change something over there. `idempotent`: the
    same call twice, with the same idempotency key, has one effect.
    """

    name: str
    about: str
    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any]
    writes: bool = False
    idempotent: bool = False


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A call of one operation; `input` is JSON."""

    operation: str
    input: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Validation:
    """Whether a call may be executed, and if not, why."""

    errors: tuple[FieldError, ...] = ()

    @property
    def is_valid(self) -> bool:
        """No rule is broken."""
        return not self.errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the other system is: `latency_ms` of the question asked at `last_checked`; `details` is JSON."""

    status: Status
    latency_ms: float
    last_checked: datetime
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the health as JSON, the time as RFC 3339."""
        return asdict(self) | {"last_checked": self.last_checked.isoformat().replace("+00:00", "Z")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where and as whom a webhook of this integration is sent: a path is appended to `base_url`.

    `auth` is the config's declaration of who we are, handed on to the server: for its `oauth2`, `jwt` and client
    certificates webhooks and `context.http` show, at the origin of `base_url`, what a plugin cannot make by itself.
    Without `webhooks` it is for calls only: some proofs (`hmac`, `digest`) are not made for webhooks.
    """

    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    auth: Mapping[str, Any] | None = field(default=None, repr=False)
    webhooks: bool = True


class Transaction(abc.ABC):
    """Calls of one integration that are done together or not at all; inside the `with` block of `Adapter.transaction` only."""

    @abc.abstractmethod
    def call(self, request: CallRequest, key: str) -> dict[str, Any]:
        """Make a call that is valid, under an idempotency key of its own, and return its output.

        After one that raised nothing is kept, whatever the block does.

        Raises:
            Retryable, Permanent, Skipped: as `execute`.

        """


class Adapter(abc.ABC):
    """The base of every plugin's adapter. It keeps no state between calls: one instance serves many threads.

    What of its operations a sync job can read from or write to stands in `sources` and `targets`; the events of a system that
    keeps them until they are fetched, in `outbox`. Operations of a port that the other system has no notion of stand in
    `not_supported`: each call of one raises NOT_SUPPORTED_HERE.
    """

    id: ClassVar[str]
    version: ClassVar[str]
    operations: ClassVar[tuple[Operation, ...]]
    sources: ClassVar[tuple[Source, ...]] = ()
    targets: ClassVar[tuple[Target, ...]] = ()
    outbox: ClassVar[Outbox | None] = None
    not_supported: ClassVar[frozenset[str]] = frozenset()

    def operation(self, name: str) -> Operation | None:
        """Return the operation of that name."""
        return next((each for each in self.operations if each.name == name), None)

    def source(self, name: str) -> Source | None:
        """Return the source whose operation has that name."""
        return next((each for each in self.sources if each.operation.name == name), None)

    def target(self, name: str) -> Target | None:
        """Return the target whose operation has that name."""
        return next((each for each in self.targets if each.operation.name == name), None)

    def validate(self, request: CallRequest) -> Validation:
        """Check a call before it is made. Extend it for rules that a schema cannot say."""
        operation = self.operation(request.operation)
        if operation is None:
            return Validation((FieldError("", f"{self.id} has no operation {request.operation}"),))
        return Validation(_compiled(type(self), operation.name).errors(request.input))

    @abc.abstractmethod
    def execute(self, request: CallRequest, context: Context) -> Any:
        """Make the call and return the other system's answer.

        Raises:
            Retryable, Permanent, Skipped: what happens next; every other error counts as a fault of the plugin.

        """

    def transform(self, answer: Any) -> dict[str, Any]:
        """Turn what `execute` returned into JSON that fits the operation's output schema."""
        return dict(answer)

    @abc.abstractmethod
    def health_check(self, context: Context) -> Health:
        """Ask the other system how it is, cheaply and without changing anything."""

    def transaction(self, context: Context) -> AbstractContextManager[Transaction] | None:  # noqa: ARG002 - for subclasses
        """Begin calls that belong together; None when the other system cannot do that.

        A block that ends well keeps the effects of all its calls with their events, one that ends by an exception none. Leaving
        it raises Retryable when it is not known which; the whole block again, with the same keys, has the effects once.
        """
        return None

    def endpoint(self, config: Mapping[str, Any]) -> Endpoint | None:  # noqa: ARG002 - for subclasses
        """Return where webhooks of an integration with this config go; None when it can take none."""
        return None


@functools.cache
def _compiled(adapter: type[Adapter], name: str) -> Schema:
    return Schema(dict(next(each for each in adapter.operations if each.name == name).input_schema))


def measured(context: Context, ask: Callable[[], Mapping[str, Any]], *, slow_ms: float = 2000.0) -> Health:
    """Return the health that `ask` finds: healthy, degraded when it took longer than `slow_ms`; it raises otherwise."""
    began = context.clock.now()
    details = ask()
    now = context.clock.now()
    latency = max((now - began).total_seconds() * 1000, 0.0)
    status: Status = "degraded" if latency > slow_ms else "healthy"
    return Health(status=status, latency_ms=latency, last_checked=now, details=details)

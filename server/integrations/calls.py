"""The guarded call, the only way from us to a plugin: validate → key → rate → breaker → time-out → execute → transform.

Every failure leaves it as one of the kernel's classes with the one shape, its message and details without secrets.
Breaker, bucket and keys are ports; what they promise stands at each.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from server.integrations.breakers import Ticket
from server.integrations.credentials import AtOrigin
from server.integrations.guards import REFUSALS, NoKeys
from server.integrations.outputs import output_invalid, own_json
from server.integrations.patience import NoPlaceError, Patience
from server.integrations.plugin_stores import PluginStores
from server.integrations.shaping import broken, clean, named, unnamed
from server.kernel.errors import CrossdockError, Permanent, Postponed, Retryable, code
from server.kernel.retryable import answered
from server.sdk.adapter import Adapter, CallRequest, Health, Validation
from server.sdk.context import Context, Tenant
from server.sdk.schemas import Schema
from server.transport.databases import Databases, Reach
from server.transport.failures import TIMEOUT
from server.transport.files import open_files
from server.transport.limits import PLUGIN_LIMITS, Limits
from server.transport.redaction import hide
from server.transport.sync import Connections
from server.transport.urls import vet_url

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    from server.integrations.credentials import Keychain
    from server.integrations.gates import Gate
    from server.integrations.guards import Call, Keys
    from server.kernel.clock import Clock
    from server.transport.addresses import AddressPolicy
    from server.transport.names import Resolver

INPUT_INVALID = code("INPUT_INVALID", "The input of a call breaks the operation's rules; `errors` names each place.")
PLUGIN_BUSY = code("PLUGIN_BUSY", "All places for calls of this integration are taken; the call waits.")

log = structlog.get_logger("crossdock.integrations")
T = TypeVar("T")
_GRACE = 0.5
_POOLS = 256
_BUSY_PAUSE = 5.0


class Caller:
    """Makes guarded calls, from any thread. One per process: it holds the connections and the places for calls."""

    def __init__(
        self,
        *,
        clock: Clock,
        gate: Gate | None = None,
        keys: Keys | None = None,
        keychain: Keychain | None = None,
        patience: Patience | None = None,
        limits: Limits = PLUGIN_LIMITS,
        resolver: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
        databases: Databases | None = None,
        files: Path | None = None,
        stores: PluginStores | None = None,
        after: Callable[[Call], None] | None = None,
    ) -> None:
        self._clock = clock
        self._databases = databases or Databases(resolver)
        self._files = files
        self._stores = stores or PluginStores("")
        self._after = after
        self._gate = gate
        self._keys = keys or NoKeys()
        self._keychain = keychain
        self._patience = patience or Patience()
        self._limits = limits
        self._resolver = resolver
        self._tls = tls
        self._adapters: dict[str, Adapter] = {}
        self._schemas: dict[tuple[str, str, str], Schema] = {}
        self._connections: OrderedDict[tuple[tuple[str, str, str], AddressPolicy], Connections] = OrderedDict()
        self._lock = threading.Lock()

    def call(self, call: Call) -> dict[str, Any]:
        """Make the call and return its output, JSON that fits the operation's output schema.

        Raises:
            Retryable: worth another try. An operation that writes may have done its work: repeat it with its key.
            Postponed: nothing was sent: CIRCUIT_OPEN, THROTTLED, PLUGIN_BUSY, or the key is held by another.
            Permanent, Skipped: not to be tried again; under a key the same failure is raised for a day.

        """
        until = time.monotonic() + call.timeout
        adapter = self._adapter(call)
        self._validate(adapter, call, until)
        operation = adapter.operation(call.operation)
        if operation is None or not operation.writes:
            return self._through_gate(adapter, call, until)
        output = (self._through_gate if call.idempotency_key is None else self._once)(adapter, call, until)
        self._told(adapter, call)
        return output

    def piece(self, call: Call, work: Callable[[Adapter, Context], T], seconds: float | None = None) -> T:
        """Do a piece of work with the call's adapter, behind its gate and with its hard end: a page, or a batch.

        `seconds` is how long what the context gives may be used, where it is kept for further pieces; each request in it has no
        more than the call's time-out.

        Raises:
            Retryable, Postponed, Permanent: as `call` does, without secrets.

        """
        adapter = self._adapter(call)

        def piece() -> T:
            identified = self._identified(adapter, call)
            return work(adapter, self._context(call, seconds or call.timeout, identified))

        found: T = self._gated(call, lambda: self._run(call, piece, call.timeout))
        operation = adapter.operation(call.operation)
        if operation is not None and operation.writes:
            self._told(adapter, call)
        return found

    def settle(self, call: Call, output: dict[str, Any]) -> None:
        """Keep what was done instead of a write as the result under its key, so that a repetition does not do both."""
        operation = self._adapter(call).operation(call.operation)
        if call.idempotency_key is None or operation is None or not operation.writes:
            return
        try:
            hold = self._keys.claim(replace(call, patience=0.0)).hold
            if hold is not None:
                self._keys.keep(hold, hide(output, call.secrets))
        except CrossdockError as error:  # another is at work, or the database is away: what was done stays done
            log.warning("the result of a fallback was not kept", code=error.code, source=call.source)

    def writes(self, call: Call) -> bool:
        """Say whether the call may change something over there."""
        operation = self._adapter(call).operation(call.operation)
        return operation is None or operation.writes

    def health(self, call: Call) -> Health:
        """Ask how the other system is; whatever goes wrong is `unhealthy` with the failure in its details."""
        began = time.monotonic()
        try:
            adapter = self._adapter(call)
            health = self._run(
                call, lambda: adapter.health_check(self._identified_context(adapter, call)), call.timeout
            )
            if not isinstance(health, Health):
                raise broken(call, f"the health check returned a {type(health).__name__}")
        except CrossdockError as error:
            return Health(
                status="unhealthy",
                latency_ms=round((time.monotonic() - began) * 1000, 1),
                last_checked=self._clock.now(),
                details={"failure": error.failure.as_dict()},
            )
        details = clean(dict(health.details), call)
        return Health(
            status=health.status, latency_ms=health.latency_ms, last_checked=health.last_checked, details=details
        )

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            pools = list(self._connections.values())
            self._connections.clear()
        for each in pools:
            each.close()
        self._databases.close()

    def _told(self, adapter: Adapter, call: Call) -> None:
        """Say that a system with an outbox may have put something in it."""
        if self._after is not None and adapter.outbox is not None:
            self._after(call)

    def _adapter(self, call: Call) -> Adapter:
        adapter = self._adapters.get(call.plugin.name)
        if adapter is None:
            adapter = self._adapters.setdefault(
                call.plugin.name, self._run(call, call.plugin.adapter_factory, call.timeout)
            )
        return adapter

    def _validate(self, adapter: Adapter, call: Call, until: float) -> None:
        request = CallRequest(call.operation, call.input)
        result = self._run(call, lambda: adapter.validate(request), until - time.monotonic())
        if not isinstance(result, Validation):
            raise broken(call, f"validate returned a {type(result).__name__}")
        if not result.is_valid:
            errors = [{"pointer": each.pointer, "message": each.message} for each in result.errors]
            message = f"the input is invalid at {errors[0]['pointer'] or '/'}: {errors[0]['message']}"
            raise Permanent(message, code=INPUT_INVALID, source=call.source, errors=errors)

    def _once(self, adapter: Adapter, call: Call, until: float) -> dict[str, Any]:
        """Make the call if nobody has made it under its key yet, and return the one result."""
        claimed = self._keys.claim(call)
        if claimed.output is not None:
            return claimed.output
        hold = claimed.hold
        if hold is None:
            return self._through_gate(adapter, call, until)
        try:
            # what is kept may echo what it was sent; a credential is not stored, and everybody gets the same
            output: dict[str, Any] = hide(self._through_gate(adapter, call, until), call.secrets)
        except Permanent as error:
            self._keys.fail(hold, error)
            raise
        except BaseException:  # whatever ends the call, Ctrl-C too: the key must not stay held; it goes on up
            self._keys.free(hold)
            raise
        return self._keys.keep(hold, output)

    def _through_gate(self, adapter: Adapter, call: Call, until: float) -> dict[str, Any]:
        output: dict[str, Any] = self._gated(call, lambda: self._execute(adapter, call, until))
        return output

    def _gated(self, call: Call, work: Callable[[], Any]) -> Any:
        if self._gate is None or call.link is None:
            return work()
        ticket = Ticket(call.timeout)
        wait = self._gate.wait(call.link, ticket)
        if wait is not None:
            name, why = REFUSALS[wait.reason]
            raise Postponed(why, code=name, source=call.source, after=wait.seconds)
        succeeded: bool | None = None
        try:
            output = work()
            succeeded = True
        except (Retryable, Permanent) as error:
            succeeded = answered(error.failure)
            raise
        finally:
            self._gate.record(call.link, ticket, succeeded=succeeded)
        return output

    def _execute(self, adapter: Adapter, call: Call, until: float) -> dict[str, Any]:
        request = CallRequest(call.operation, call.input)
        seconds = until - time.monotonic()

        def work() -> dict[str, Any]:
            identified = self._identified(adapter, call)
            context = self._context(call, seconds, identified)
            output = own_json(adapter.transform(adapter.execute(request, context)), call.source)
            # a careless system answers with what it was sent; nobody knows the token but us, so nobody else can hide it
            shown: dict[str, Any] = hide(output, identified.credentials.secrets) if identified else output
            return shown

        output: dict[str, Any] = self._run(call, work, seconds)
        if errors := self._output_schema(adapter, call).errors(output):
            raise output_invalid(call.source, [{"pointer": each.pointer, "message": each.message} for each in errors])
        return output

    def _run(self, call: Call, work: Any, seconds: float) -> Any:
        """Run a piece of a plugin with a hard end, and turn whatever it raises into the one shape."""
        try:
            # the transport ends first and says in which phase; the hard end is for what hangs outside of it
            return self._patience.run("/".join(call.place), work, max(seconds, 0.0) + _GRACE)
        except NoPlaceError as error:
            message = f"all places for calls of {call.integration} are taken"
            raise Postponed(message, code=PLUGIN_BUSY, source=call.source, after=_BUSY_PAUSE) from error
        except TimeoutError:
            failure: CrossdockError = Retryable(
                f"no result within {call.timeout:g} s",
                code=TIMEOUT,
                source=call.source,
                phase="plugin",
                seconds=call.timeout,
            )
        except CrossdockError as error:
            failure = named(error, call)
        except BaseException as error:  # noqa: BLE001 - the border to plugins: whatever they raise becomes one shape
            failure = unnamed(error, call)
        raise failure  # outside of the handlers, so that what the plugin raised, secrets and all, is not its context

    def _identified_context(self, adapter: Adapter, call: Call) -> Context:
        return self._context(call, call.timeout, self._identified(adapter, call))

    def _context(self, call: Call, seconds: float, identified: AtOrigin | None) -> Context:
        return Context(
            correlation_id=call.correlation_id,
            tenant=Tenant(call.organization, call.workspace),
            user=call.user,
            timestamp=self._clock.now(),
            http=self._pool(call).session(seconds, identified, each=call.timeout),
            clock=self._clock,
            config=call.config,
            retry_count=call.retry_count,
            idempotency_key=call.idempotency_key,
            metadata=call.metadata,
            store=lambda: self._stores.engine(call.plugin.name),
            sql=lambda url: self._databases.engine("/".join(call.place), url, self._reach(call)),
            files=lambda url, options: open_files(
                url,
                options,
                self._reach(call),
                lambda: self._pool(call).session(seconds, each=call.timeout),
                self._resolver,
            ),
        )

    def _reach(self, call: Call) -> Reach:
        return Reach(call.addresses, self._files / call.organization / call.workspace if self._files else None)

    def _identified(self, adapter: Adapter, call: Call) -> AtOrigin | None:
        """Return who we are at the integration's address, where its plugin leaves that to us."""
        if self._keychain is None or call.scope is None:
            return None
        endpoint = adapter.endpoint(call.config)
        credentials = self._keychain.of_endpoint(call.scope, endpoint)
        return AtOrigin(vet_url(endpoint.base_url).origin, credentials) if endpoint and credentials else None

    def _pool(self, call: Call) -> Connections:
        """Return the integration's connections; the 256 used last stay open, and no two integrations share any."""
        key = (call.place, call.addresses)
        with self._lock:
            pool = self._connections.get(key)
            if pool is None:
                pool = Connections(call.addresses, self._limits, resolver=self._resolver, tls=self._tls)
                self._connections[key] = pool
            self._connections.move_to_end(key)
            dropped = self._connections.popitem(last=False)[1] if len(self._connections) > _POOLS else None
        if dropped is not None:
            dropped.close()
        return pool

    def _output_schema(self, adapter: Adapter, call: Call) -> Schema:
        key = (adapter.id, adapter.version, call.operation)
        schema = self._schemas.get(key)
        if schema is None:
            operation = adapter.operation(call.operation)
            if operation is None:
                raise broken(call, f"the adapter has no operation {call.operation}")
            try:
                schema = self._schemas.setdefault(key, Schema(dict(operation.output_schema)))
            except ValueError as error:
                raise broken(call, f"the output schema of {call.operation} is none") from error
        return schema

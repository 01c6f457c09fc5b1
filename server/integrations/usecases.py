"""What a person does with an integration besides declaring it: ask how the system is, and call an operation by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from server.integrations.calls import INPUT_INVALID
from server.integrations.fallback import Fallback, fallback_of
from server.integrations.guards import LONGEST_BY_HAND
from server.integrations.keys import CALL_KEY_REUSED
from server.integrations.making import Making
from server.integrations.persisting import Called, Constant, Persisting
from server.integrations.repository import INTEGRATIONS
from server.kernel.errors import CrossdockError, Invalid, Permanent
from server.kernel.ids import new_uuid, show
from server.transport.redaction import hide

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from server.access.secrets import Secrets
    from server.integrations.calls import Caller
    from server.integrations.guards import Call
    from server.sdk.adapter import Health
    from server.sdk.plugin import Plugin
    from server.store import Cause, Scope, Store
    from server.transport.addresses import AddressPolicy


@dataclass(frozen=True, slots=True)
class ByHand:
    """Calls for which a person waits. The transaction ends before the other system is asked."""

    store: Store
    secrets: Secrets
    plugins: Mapping[str, Plugin]
    caller: Caller
    addresses: Callable[[Scope], AddressPolicy]

    def test(self, scope: Scope, cause: Cause, name: str) -> Health:
        """Ask the integration's system how it is, whatever the integration's state.

        Raises:
            NotFound: no such integration.
            Conflict: PLUGIN_MISSING; a secret or variable that the config refers to cannot be read.

        """
        with self.store.begin(scope, cause) as tx:
            call = self._making.ready(tx, INTEGRATIONS.get(tx, name), "", {})
        return self.caller.health(call.within(LONGEST_BY_HAND))

    def call(
        self,
        scope: Scope,
        cause: Cause,
        name: str,
        operation: str,
        values: Mapping[str, Any],
        *,
        key: str | None = None,
    ) -> Called:
        """Call one operation, with the tries of its policy within a minute, and return what it gave, or its fallback.

        `key` makes a write safe to repeat: its result is kept for a day; without it only the tries of this call share one.

        Raises:
            NotFound: no such integration, UNKNOWN_OPERATION.
            Conflict: INTEGRATION_RESTS, PLUGIN_MISSING; a secret or variable that the config refers to cannot be read.
            Invalid: INPUT_INVALID.
            Retryable, Postponed, Permanent: see `Persisting.call`.

        """
        key = key or show("call", new_uuid())
        with self.store.begin(scope, cause) as tx:
            integration = INTEGRATIONS.get(tx, name)
            call = self._making.call(tx, integration, operation, values, key=key)
        fallback = fallback_of(integration.body.get("fallback"))
        instead = self._instead(scope, cause, call, fallback) if fallback is not None else None
        try:
            called = Persisting(self.caller).call(call, instead, within=LONGEST_BY_HAND)
        except Permanent as error:
            if error.code == CALL_KEY_REUSED:  # theirs to mend, too: a new key for a new call
                raise Invalid(error.message, code=error.code, source=error.source) from error
            if error.code != INPUT_INVALID:
                raise
            # The person who calls wrote the input: it is theirs to mend, not a failure of the other system.
            places = [
                {**each, "pointer": f"/input{each['pointer']}", "code": INPUT_INVALID}
                for each in error.details["errors"]
            ]
            raise Invalid(error.message, code=INPUT_INVALID, source=error.source, errors=places) from error
        # A careless system answers with what it was sent, and who may call it may not read its secrets.
        return replace(called, output=hide(called.output, call.secrets))

    @property
    def _making(self) -> Making:
        return Making(self.secrets, self.plugins, self.addresses)

    def _instead(
        self, scope: Scope, cause: Cause, call: Call, fallback: Fallback
    ) -> Callable[[CrossdockError], Call | Constant]:
        """Return how a fallback is made once the call has failed; it has a key of its own, derived from the call's."""

        def make(error: CrossdockError) -> Call | Constant:
            if fallback.integration is None:
                return Constant(fallback.value)
            roots = {"input": dict(call.input), "operation": call.operation, "error": error.failure.as_dict()}
            made = fallback.compiled.run(roots) if fallback.compiled is not None else call.input
            with self.store.begin(scope, cause) as tx:
                return self._making.named(
                    tx, fallback.integration, fallback.operation, made, key=f"{call.idempotency_key}:fallback"
                )

        return make

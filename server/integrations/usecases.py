"""What a person does with an integration besides declaring it: ask how the system is, and call an operation by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.access.references import resolve_config, secret_names
from server.integrations.calls import INPUT_INVALID
from server.integrations.endpoints import AT_WORK
from server.integrations.gates import Link
from server.integrations.guards import Call
from server.integrations.policies import policy_of
from server.integrations.repository import INTEGRATIONS
from server.kernel.errors import Conflict, Invalid, NotFound, Permanent, Retryable, code
from server.transport.redaction import hide

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from server.access.secrets import Secrets
    from server.integrations.aggregate import Integration
    from server.integrations.calls import Caller
    from server.sdk.adapter import Health
    from server.sdk.plugin import Plugin
    from server.store import Cause, Scope, Store, Tx
    from server.transport.addresses import AddressPolicy

INTEGRATION_RESTS = code(
    "INTEGRATION_RESTS", "The integration is a draft, paused or disabled: it calls nothing until it is active."
)
PLUGIN_MISSING = code("PLUGIN_MISSING", "The integration's plugin is not installed on this server.")
UNKNOWN_OPERATION = code(
    "UNKNOWN_OPERATION", "The plugin has no operation of that name; the answer lists those it has."
)
LONGEST_BY_HAND = 60.0


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
            call = self._prepare(tx, INTEGRATIONS.get(tx, name), "", {})
        return self.caller.health(call)

    def call(
        self,
        scope: Scope,
        cause: Cause,
        name: str,
        operation: str,
        values: Mapping[str, Any],
        *,
        key: str | None = None,
    ) -> dict[str, Any]:
        """Call one operation once and return its output; `key` makes it safe to repeat where the plugin can.

        Raises:
            NotFound: no such integration, UNKNOWN_OPERATION.
            Conflict: INTEGRATION_RESTS, PLUGIN_MISSING; a secret or variable that the config refers to cannot be read.
            Invalid: INPUT_INVALID.
            Retryable, Postponed, Permanent: see `Caller.call`.

        """
        with self.store.begin(scope, cause) as tx:
            integration = INTEGRATIONS.get(tx, name)
            if integration.state not in AT_WORK:
                raise Conflict(f"integration {name} is {integration.state}", code=INTEGRATION_RESTS)
            call = self._prepare(tx, integration, operation, values, key=key)
        known = call.plugin.manifest.operations
        if operation not in known:
            raise NotFound(
                f"{call.plugin.name} has no operation {operation[:100]}", code=UNKNOWN_OPERATION, known=list(known)
            )
        try:
            output = self.caller.call(call)
        except Permanent as error:
            if error.code != INPUT_INVALID:
                raise
            # The person who calls wrote the input: it is theirs to mend, not a failure of the other system.
            places = [
                {**each, "pointer": f"/input{each['pointer']}", "code": INPUT_INVALID}
                for each in error.details["errors"]
            ]
            raise Invalid(error.message, code=INPUT_INVALID, source=error.source, errors=places) from error
        # A careless system answers with what it was sent, and who may call it may not read its secrets.
        shown: dict[str, Any] = hide(output, call.secrets)
        return shown

    def _prepare(
        self, tx: Tx, integration: Integration, operation: str, values: Mapping[str, Any], *, key: str | None = None
    ) -> Call:
        plugin = self.plugins.get(integration.body["plugin"])
        if plugin is None:
            raise Conflict(f"the plugin {integration.body['plugin']} is not installed", code=PLUGIN_MISSING)
        policy = policy_of(integration.body)
        config = integration.body.get("config", {})
        try:
            names = secret_names(config)
            found = self.secrets.resolve_many(tx, names) if names else {}
            filled = resolve_config(tx, self.secrets, config)
        except (Retryable, Permanent) as error:
            # The other system was not even asked: it is for the workspace to set the secret or the variable right.
            raise Conflict(error.message, code=error.code, source=error.source, **error.details) from error
        return Call(
            organization=tx.scope.organization,
            workspace=tx.scope.workspace,
            integration=integration.name,
            plugin=plugin,
            operation=operation,
            input=values,
            config=filled,
            addresses=self.addresses(tx.scope),
            correlation_id=tx.cause.correlation_id,
            secrets=tuple(value for each in found.values() for value in each),
            timeout=min(policy.timeout, LONGEST_BY_HAND),
            link=Link(tx.scope.workspace_id, integration.id, policy),
            user=tx.cause.principal,
            idempotency_key=key,
            metadata={"integration_version": integration.definition_version},
        )

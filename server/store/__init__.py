"""The database: engine, transactions that carry tenant and cause, the journal of aggregates, leases, migrations."""

from server.store.engine import Cause, Scope, Store, Tx

__all__ = ["Cause", "Scope", "Store", "Tx"]

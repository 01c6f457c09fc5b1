"""Answers the module ports from tables of its own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from plugins.erp_sandbox import (
    ai,
    finance,
    inventory,
    logistics,
    people,
    procurement,
    production,
    quality,
    sales,
    warehouse,
)
from plugins.erp_sandbox.desk import SOURCE, named_failures
from plugins.erp_sandbox.opening import working
from plugins.erp_sandbox.outbox import ErpOutbox
from plugins.erp_sandbox.reading import READ
from plugins.erp_sandbox.seeding import SEED, answered
from plugins.erp_sandbox.syncing import CustomersWrite
from server.sdk import Adapter, CrossdockError, Permanent, Transaction, measured
from server.sdk.ports import PORTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from plugins.erp_sandbox.desk import Desk, Work
    from server.sdk import CallRequest, Context, Health


_MODULES = (sales, finance, inventory, warehouse, logistics, production, quality, procurement, people, ai)
_READS: dict[str, Work] = {name: work for module in _MODULES for name, work in module.READS.items()}
_WRITES: dict[str, Work] = {name: work for module in _MODULES for name, work in module.WRITES.items()} | {
    SEED.name: answered
}


def _written(desk: Desk, request: CallRequest) -> dict[str, Any]:
    return desk.once(request, lambda: _WRITES[request.operation](desk, request.input))


class _Together(Transaction):
    """Calls at one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.failed: CrossdockError | None = None

    def call(self, request: CallRequest, key: str) -> dict[str, Any]:
        """Work on a call; after one that failed on no other."""
        if self.failed is not None:
            raise self.failed
        self.failed = Permanent("a call of this transaction broke", source=SOURCE)
        try:
            with named_failures():
                answer = self._work(request, key)
        except CrossdockError as error:
            self.failed = error
            raise
        self.failed = None
        return answer

    def _work(self, request: CallRequest, key: str) -> dict[str, Any]:
        self._desk.key = key
        read = _READS.get(request.operation)
        return _written(self._desk, request) if read is None else read(self._desk, request.input)


@contextmanager
def _together(context: Context) -> Iterator[_Together]:
    with working(context, writes=True) as desk:
        together = _Together(desk)
        yield together
        if together.failed is not None:
            raise together.failed


class ErpSandboxAdapter(Adapter):
    """One integration is one company of a workspace."""

    id = "erp_sandbox"
    version = "0.1.0"
    operations = (*(each for port in PORTS for each in port if each.name in {*_READS, *_WRITES}), SEED)
    sources = READ
    targets = (CustomersWrite(),)
    outbox = ErpOutbox()

    def execute(self, request: CallRequest, context: Context) -> dict[str, Any]:
        """Work on the call in one transaction; a write with a key is done once."""
        work = _READS.get(request.operation)
        if work is not None:
            with working(context) as desk:
                return work(desk, request.input)
        with working(context, writes=True) as desk:
            return _written(desk, request)

    def transaction(self, context: Context) -> AbstractContextManager[Transaction]:
        """Do calls at one desk."""
        return _together(context)

    def health_check(self, context: Context) -> Health:
        """Ask the database for nothing."""

        def ask() -> Mapping[str, Any]:
            with working(context) as desk:
                desk.connection.execute(text("SELECT 1")).scalar()
                return {"company": desk.company}

        return measured(context, ask)

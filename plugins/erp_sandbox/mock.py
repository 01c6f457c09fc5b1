"""The ERP itself, on a small SQLite file; and a file that is no database."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import create_engine, delete, insert, select

from plugins.erp_sandbox import mock_company, mock_stage
from plugins.erp_sandbox.migrating import migrate
from plugins.erp_sandbox.people import sample
from plugins.erp_sandbox.sales.customers import shown
from plugins.erp_sandbox.tables import CALLS, CUSTOMERS
from server.sdk import Mock, Scenario, SourceStage, TargetStage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_START = datetime(2026, 1, 1, tzinfo=UTC)
_SEEDED = 3


class ErpSandboxMock(Mock):
    """Three customers, C-0 to C-2, and a company around them."""

    folder: Path

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="crossdock-erp-"))
        self._scenario: Scenario = "ok"
        self._engine = create_engine(f"sqlite:///{self.folder / 'erp.db'}")
        (self.folder / "broken.db").write_bytes(b"this is no database " * 100)

    @property
    def config(self) -> dict[str, Any]:
        """An integration with the small file, or with the broken one."""
        well = self._scenario in {"ok", "pages"}
        return {"url": "sqlite:///erp.db" if well else "sqlite:///broken.db"}

    def play(self, scenario: Scenario) -> None:
        self._scenario = scenario

    def source(self, operation: str, ticks: Sequence[int]) -> SourceStage:
        """Hold one row for each tick."""
        with self._engine.begin() as connection:
            return mock_stage.stage(connection, operation, _START, ticks)

    def target(self, operation: str) -> TargetStage:  # noqa: ARG002 - it has one
        """Hold nobody."""
        self._fill([])

        def record(number: int, name: str) -> dict[str, Any]:
            return {"external_id": f"C-{number}", "name": name, "city": None, "credit_limit": "1200.50"}

        return TargetStage(options={}, match_on=("external_id",), record=record)

    def stored(self, operation: str) -> Sequence[Mapping[str, Any]]:  # noqa: ARG002 - it has one
        """Return the active customers."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(CUSTOMERS).where(CUSTOMERS.c.state == "active")).all()
        return [shown(row) for row in rows]

    def _fill(self, ticks: Sequence[int]) -> None:
        with self._engine.begin() as connection:
            connection.execute(delete(CALLS))
            connection.execute(delete(CUSTOMERS))
            people = sample.rows(mock_company.COMPANY, _START)
            for table in {table for table, _ in people}:
                connection.execute(delete(table))
            for table, row in people:
                connection.execute(insert(table), [row])
            if ticks:
                connection.execute(insert(CUSTOMERS), [_customer(number, tick) for number, tick in enumerate(ticks)])

    def __enter__(self) -> Self:
        with closing(sqlite3.connect(self.folder / "erp.db")) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        migrate(self._engine)
        self._fill(range(_SEEDED))
        with self._engine.begin() as connection:
            mock_company.make(connection, _START)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._engine.dispose()
        shutil.rmtree(self.folder, ignore_errors=True)


def _customer(number: int, tick: int) -> dict[str, Any]:
    at = _START + timedelta(seconds=tick)
    return {
        "company": mock_company.COMPANY,
        "customer_id": f"cus_{number:04d}",
        "external_id": f"C-{number}",
        "name": f"Customer {number}",
        "credit_limit": 0,
        "balance": 0,
        "state": "active",
        "revision": 1,
        "created_at": at,
        "updated_at": at,
    }

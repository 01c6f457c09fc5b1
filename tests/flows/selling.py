"""A company whose systems are Crossdock and its embedded ERP, with the definitions of `definitions/flows`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy.engine import make_url

from tests.support.product import until

if TYPE_CHECKING:
    from tests.support.product import Product

FOLDER = Path(__file__).parents[2] / "definitions" / "flows"
SECONDS = 40.0


class Sales:
    """A company whose systems are Crossdock and its embedded ERP: all that happens goes over the API."""

    def __init__(self, product: Product, *without: str) -> None:
        self.product = product
        self.client = product.client()
        files = [
            {"path": each.name, "text": each.read_text()}
            for each in sorted(FOLDER.glob("*.yaml"))
            if each.name not in without
        ]
        applied = self.client.post("/api/v1/definitions/apply", json={"files": files, "origin": "folder:main"})
        assert applied.status_code == 200, applied.json
        url = make_url(product.settings.database_url).set(drivername="postgresql")
        self._plain = url.render_as_string(hide_password=False)

    def erp(self, operation: str, **given: Any) -> dict[str, Any]:
        answer = self.client.post("/api/v1/integrations/erp/call", json={"operation": operation, "input": given})
        assert answer.status_code == 200, answer.json
        output: dict[str, Any] = answer.json["output"]
        return output

    def ended(self, flow: str, number: int = 1) -> dict[str, Any]:
        """Return the run of a flow of that number, once it has ended well."""

        def ended() -> Any:
            found = [
                each for each in self.client.get("/api/v1/flow-runs?limit=100").json["items"] if each["flow"] == flow
            ]
            return found[0] if len(found) == number and found[0]["ended_at"] else None

        listed: dict[str, Any] = until(ended, SECONDS, f"{flow} has not ended")
        found: dict[str, Any] = self.client.get(f"/api/v1/flow-runs/{listed['id']}").json
        assert found["state"] == "completed", found
        return found

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._plain, options="-c search_path=plugin_erp_sandbox") as connection:
            return connection.execute(sql).fetchall()  # type: ignore[arg-type]

    def drop(self) -> None:
        with psycopg.connect(self._plain, autocommit=True) as connection:
            connection.execute("DROP SCHEMA IF EXISTS plugin_erp_sandbox CASCADE")

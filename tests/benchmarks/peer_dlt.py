"""dlt: `shop.src` upserted into a table of its own. Run by sync_others.py with the Python of its environment.

Reading by SQLAlchemy, its usual backend, an incremental cursor, merge by key, and five columns mapped as the job maps them.
Timed is `run`, without imports.
"""

from __future__ import annotations

import json
import sys
import time
from decimal import Decimal

import dlt
import sqlalchemy
from dlt.sources.sql_database import sql_table


def mapped(row: dict) -> dict:
    """Do to a row what the job's map does."""
    if row["a"] is None:
        raise ValueError("a is required")
    row["b"] = row["b"].lower()
    row["c"] = row["c"] if row["c"] is not None else "unknown"
    row["d"] = round(Decimal(row["d"]), 2)
    row["e"] = round(Decimal(row["e"]), 2) if row["e"] is not None else Decimal("0.00")
    return row


def main(url: str) -> None:
    """Run the pipeline, and print rows and seconds."""
    source = sql_table(
        url.replace("://", "+psycopg2://"), table="src", schema="shop", incremental=dlt.sources.incremental("f"), primary_key="id",
        write_disposition={"disposition": "merge", "strategy": "upsert"},
    )  # fmt: skip
    source.add_map(mapped)
    target = dlt.destinations.postgres(url)
    pipeline = dlt.pipeline("peer", destination=target, dataset_name="peer_dlt")
    began = time.perf_counter()
    pipeline.run(source)
    seconds = time.perf_counter() - began
    with sqlalchemy.create_engine(url.replace("://", "+psycopg2://")).connect() as conn:
        rows = conn.exec_driver_sql("SELECT count(*) FROM peer_dlt.src").scalar_one()
    print(json.dumps({"version": dlt.__version__, "rows": rows, "seconds": seconds}))


if __name__ == "__main__":
    main(sys.argv[1])

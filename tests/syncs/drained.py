"""A process that does slices of sync runs until it is killed: `python -m tests.syncs.drained DATABASE_URL FOLDER`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from server import bootstrap
from server.queue import claims
from server.store import Store
from server.syncs.drain import Runs
from server.syncs.runs import KIND
from tests.support.product import Product


def main(url: str, folder: str) -> None:
    product = Product(url, files=Path(folder))
    ledger = Store(url, "crossdock_engine", pool=2, by_index=True)
    runs = Runs(
        product.core.engine,
        ledger,
        bootstrap.making_of(product.core),
        bootstrap.caller_of(product.core),
        product.core.admit,
    )
    print("at work", flush=True)
    while True:
        with product.core.engine.connect() as conn:
            mine = claims.claim(conn, KIND, 1)
        for each in mine:
            runs.slice(each)
        time.sleep(0.01)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A Singer tap and target of the SDK, joined by a pipe: `shop.src` into a table of its own. Run by sync_others.py.

The target inserts, as the SDK's own does: it does not look for rows that are there. Timed is from the start of both processes to the
end of the target, less what starting Python and importing the SDK takes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator  # noqa: TC003 - read while it runs
from contextlib import contextmanager
from importlib.metadata import version

import sqlalchemy
from singer_sdk import typing as th
from singer_sdk.sql import SQLConnector, SQLSink, SQLStream, SQLTap, SQLTarget

CONFIG = th.PropertiesList(th.Property("sqlalchemy_url", th.StringType)).to_dict()


class Stream(SQLStream):
    """Rows of a table."""

    connector_class = SQLConnector


class Tap(SQLTap):
    """Reads a database."""

    name = "tap-peer"
    config_jsonschema = CONFIG
    default_stream_class = Stream


class Connector(SQLConnector):
    """The SDK's, with moments of a type that PostgreSQL has, and connections that can insert: its own make a cursor of all."""

    @contextmanager
    def _connect(self) -> Iterator[sqlalchemy.Connection]:
        with self._engine.connect() as conn:
            yield conn

    def to_sql_type(self, jsonschema_type: dict) -> sqlalchemy.types.TypeEngine:
        """Return the type of a column."""
        found = super().to_sql_type(jsonschema_type)
        return sqlalchemy.DateTime(timezone=True) if isinstance(found, sqlalchemy.DateTime) else found


class Sink(SQLSink):
    """Writes a table."""

    connector_class = Connector
    max_size = 10_000
    default_target_schema = "peer_singer"


class Target(SQLTarget):
    """Writes a database."""

    name = "target-peer"
    config_jsonschema = CONFIG
    default_sink_class = Sink


def catalog(url: str) -> dict:
    """Return the tap's catalogue with only our table chosen."""
    found = Tap(config={"sqlalchemy_url": url}).catalog_dict
    found["streams"] = [each for each in found["streams"] if each["tap_stream_id"] == "shop-src"]
    for each in found["streams"][0]["metadata"]:
        each["metadata"]["selected"] = True
    return found


def timed(url: str, streams: str) -> float:
    """Return how long both processes take."""
    began = time.perf_counter()
    tap = subprocess.Popen([sys.executable, __file__, "tap", url, streams], stdout=subprocess.PIPE)
    subprocess.run([sys.executable, __file__, "target", url], stdin=tap.stdout, stdout=subprocess.DEVNULL, check=True)
    if tap.wait():
        raise SystemExit("the tap failed")
    return time.perf_counter() - began


def main(url: str) -> None:
    """Run tap and target with and without rows, and print rows and seconds."""
    streams = catalog(url)
    with sqlalchemy.create_engine(url).connect() as conn:
        conn.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS peer_singer")
        conn.commit()
        seconds = timed(url, json.dumps(streams)) - timed(url, json.dumps({"streams": []}))
        rows = conn.exec_driver_sql("SELECT count(*) FROM peer_singer.src").scalar_one()
    print(json.dumps({"version": version("singer-sdk"), "rows": rows, "seconds": seconds}))


if __name__ == "__main__":
    if sys.argv[1] == "tap":
        Tap(config={"sqlalchemy_url": sys.argv[2]}, catalog=json.loads(sys.argv[3])).sync_all()
    elif sys.argv[1] == "target":
        Target(config={"sqlalchemy_url": sys.argv[2]}).listen()
    else:
        main(sys.argv[1].replace("://", "+psycopg2://"))

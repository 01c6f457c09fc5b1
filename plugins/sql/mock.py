"""A small SQLite database; and a port that answers as a PostgreSQL that is unwell."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import struct
import tempfile
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from server.sdk import Mock, Scenario, SourceStage, TargetStage

if TYPE_CHECKING:
    from collections.abc import Sequence

_PASSWORD = "mock-password-81c3"  # noqa: S105 - the mock's own
_SLOW_SECONDS = 5.0
_STATES = {
    "401": ("28P01", 'password authentication failed for user "crossdock"'),
    "404": ("3D000", 'database "shop" does not exist'),
    "429": ("53300", "sorry, too many clients already"),
    "500": ("57P03", "the database system is starting up"),
}


class SqlMock(Mock):
    """`items (id, name, price, updated_at)` with three rows, and `copies` with the same columns and none."""

    secrets = (_PASSWORD,)

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="crossdock-sql-"))
        self._scenario: Scenario = "ok"
        self._over = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._make()

    @property
    def config(self) -> dict[str, Any]:
        """An integration with the small database, or with the unwell one."""
        if self._scenario in {"ok", "pages"}:
            return {"url": "sqlite:///shop.db"}
        port = self._server.getsockname()[1]
        return {"url": f"postgresql://crossdock:{_PASSWORD}@127.0.0.1:{port}/shop?connect_timeout=2"}

    def play(self, scenario: Scenario) -> None:
        self._scenario = scenario

    def source(self, operation: str, ticks: Sequence[int]) -> SourceStage:  # noqa: ARG002 - it has one
        """Hold one row for each tick, by the name of its second."""
        self._run("DELETE FROM items")
        for number, tick in enumerate(ticks):
            moment = f"2026-01-01T00:00:{tick:02d}Z"
            self._run("INSERT INTO items VALUES (?, ?, ?, ?)", number, f"item {number}", "1.50", moment)
        sql = "SELECT id, name, price, updated_at FROM items"
        return SourceStage(options={"sql": sql}, primary_key=("id",), cursor=("updated_at",))

    def target(self, operation: str) -> TargetStage:  # noqa: ARG002 - it has one
        """Empty the table of copies."""
        self._run("DELETE FROM copies")

        def record(number: int, text: str) -> dict[str, Any]:
            return {"id": number, "name": text, "updated_at": None}

        options = {"table": "copies", "archive_field": "archived_at"}
        return TargetStage(options=options, match_on=("id",), record=record)

    def stored(self, operation: str) -> Sequence[dict[str, Any]]:  # noqa: ARG002 - it has one
        """Return the copies."""
        return self._run("SELECT * FROM copies")

    def _make(self) -> None:
        columns = "(id INTEGER PRIMARY KEY, name TEXT, price DECIMAL(12, 2), updated_at TEXT"
        self._run(f"CREATE TABLE items {columns})")
        self._run(f"CREATE TABLE copies {columns}, archived_at TEXT)")
        for number in (1, 2, 3):
            self._run("INSERT INTO items VALUES (?, ?, ?, ?)", number, "tea", "4.20", "2026-01-01T00:00:00Z")

    def _run(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        if self.folder is None:
            return []
        with closing(sqlite3.connect(self.folder / "shop.db")) as connection, connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql, values)]

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                connection = self._server.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        """Say no to encryption, then what the scenario says."""
        with closing(connection):
            try:
                request = connection.recv(1024)
                if request[4:8] == struct.pack("!I", 80877103):
                    connection.sendall(b"N")
                    connection.recv(1024)
                if self._scenario == "slow":
                    self._over.wait(_SLOW_SECONDS)
                elif self._scenario == "broken_json":
                    connection.sendall(b"\x00\x01garbage")
                else:
                    connection.sendall(_error(*_STATES[self._scenario]))
            except OSError:
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def _error(state: str, message: str) -> bytes:
    fields = b"".join(each.encode() + b"\x00" for each in ("SFATAL", "VFATAL", f"C{state}", f"M{message}")) + b"\x00"
    return b"E" + struct.pack("!I", len(fields) + 4) + fields

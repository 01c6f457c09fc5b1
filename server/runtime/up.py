"""`crossdock up`: everything in one process tree, from nothing to a page that answers."""

from __future__ import annotations

import dataclasses
import http.client
import os
import shlex
import shutil
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import psutil
import structlog
from rich.console import Console

from server.kernel.errors import CrossdockError, Unavailable, code
from server.runtime.home import Home, Run, embedded
from server.runtime.keys import load_or_make_keys
from server.runtime.launch import LINUX
from server.runtime.ports import check_port
from server.runtime.supervisor import Role, Supervisor
from server.telemetry import logs, metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from server.config import Settings
    from server.runtime.server import EmbeddedServer

NOT_READY = code("NOT_READY", "The server did not answer in time after its start; the log says what held it up.")
LOOPBACK = ("127.0.0.0/8", "::1/128")
"""What `up` allows calls to reach although not public: it is for one machine, where receivers are tried out."""
FILES = "files"
"""The folder in the home where plugins find local files, unless the settings name another."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What `crossdock up` was asked for."""

    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 2
    api_processes: int = 1
    definitions: Path | None = None
    ready_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class FirstSteps:
    """What was done once the database was there: the token to show and what to say about the definitions."""

    token: str
    messages: list[str] = field(default_factory=list)


Steps: TypeAlias = "Callable[[Settings, UpOptions], FirstSteps]"
Command: TypeAlias = "Callable[[list[str]], int]"
Roles: TypeAlias = "Callable[[UpOptions], list[Role]]"


def roles_of(options: UpOptions, command: Command | None = None) -> list[Role]:
    """Return the processes of a server, in the order in which they end.

    `command` does a command line of ours in a fork of this process; without it (and off Linux) each is a program anew.
    """

    def role(name: str, seconds: float, *arguments: str) -> Role:
        if command is not None and LINUX:
            return Role(name, partial(command, list(arguments)), seconds)
        return Role(name, (sys.executable, "-m", "server.cli.main", *arguments), seconds)

    place = ("--host", options.host, "--port", str(options.port), "--processes", str(options.api_processes))
    workers = [role(f"worker-{number}", 8.0, "worker") for number in range(1, options.workers + 1)]
    return [role("api", 5.0, "api", *place), *workers, role("scheduler", 1.0, "scheduler")]


def run_up(
    options: UpOptions,
    settings: Settings,
    *,
    migrate: Callable[[str], object],
    first_steps: Steps,
    roles: Roles | None = None,
    command: Command | None = None,
) -> int:
    """Start everything, say how to use it, and keep it running until SIGTERM or Ctrl-C; return the exit code.

    `migrate` takes the database's URL; `first_steps` applies the definitions and makes an admin token; `command` does a
    command line of ours, such as `["worker"]`, and returns its exit code. All of them are called in a fork of this
    process, so import what they need before, and open nothing.

    Raises:
        Conflict: the port is taken, or another process works on this home.
        Unavailable: an embedded server did not start, or the API did not answer.
        Invalid: a key ring or host that is none.

    """
    logs.configure("supervisor", settings.log_level)
    settings = dataclasses.replace(
        settings,
        home=settings.home.resolve(),
        allow_networks=tuple(dict.fromkeys((*settings.allow_networks, *LOOPBACK))),
        files=(settings.files or settings.home / FILES).resolve(),
    )
    home = Home(settings.home)
    with home.lock(wait=1.0):
        (settings.home / FILES).mkdir(exist_ok=True, mode=0o700)
        check_port(options.host, options.port)
        settings = load_or_make_keys(settings)
        return _Up(options, settings, home, _Screen()).run(
            migrate, first_steps, roles or partial(roles_of, command=command)
        )


def next_commands(definitions: Path | None) -> list[str]:
    """Return the commands to try first, as they work from this folder and with this home."""
    command = "crossdock" if shutil.which("crossdock") else os.path.relpath(sys.argv[0])
    home = os.environ.get("CROSSDOCK_HOME")
    prefix = f"CROSSDOCK_HOME={shlex.quote(home)} {command}" if home else command
    data = '{"order_id": "SO-1", "customer_id": "C-7", "total": "1500.00", "lines": []}'
    return [
        f"{prefix} send demo.order.placed --data '{data}'",
        f"{prefix} events list",
        f"{prefix} flow start win-a-deal --wait 1m",
        f"{prefix} plan {shlex.quote(str(definitions or 'definitions'))}",
    ]


class _Up:
    """One run of `crossdock up`."""

    def __init__(self, options: UpOptions, settings: Settings, home: Home, screen: _Screen) -> None:
        self.options = options
        self.settings = settings
        self.home = home
        self.screen = screen
        self.metrics = settings.home / "metrics" / "up"
        self.servers: list[EmbeddedServer] = [server for server in embedded(settings) if server is not None]

    def run(self, migrate: Callable[[str], object], first_steps: Steps, roles: Roles) -> int:
        supervisor = Supervisor(roles(self.options), self.environment, on_change=self.publish)
        supervisor.catch_signals()
        try:
            for server in self.servers:
                self.screen.step(f"starting {server.name}")
                supervisor.add_server(server)
                server.start(cancelled=lambda: supervisor.stopping)
            settings = self.with_urls()
            self.screen.step("migrating the database")
            supervisor.job(partial(migrate, settings.database_url), "migration")()
            self.screen.step("starting api, workers and scheduler")
            metrics.empty_folder(self.metrics)
            supervisor.start()
            self.screen.step("applying definitions")
            done = supervisor.job(partial(self.first_steps, settings, first_steps), "first-steps")()
            self.wait_until_ready(supervisor)
            if done is not None and not supervisor.stopping:
                seconds = time.time() - psutil.Process().create_time()
                self.screen.ready(self.url, done, seconds, self.options.definitions)
            supervisor.run()
        except KeyboardInterrupt:
            self.screen.step("stopping at once")
        finally:
            self.screen.step("stopping")
            supervisor.stop()
            self.home.run_file.unlink(missing_ok=True)
        self.screen.step("stopped")
        return 0

    @property
    def url(self) -> str:
        """Where the API is, for a browser on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.options.host, self.options.host)  # noqa: S104 (read, not bound)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.options.port}"

    def with_urls(self) -> Settings:
        """Return the settings with the servers' present addresses."""
        urls = {server.name: server.url for server in self.servers}
        return dataclasses.replace(
            self.settings,
            database_url=self.settings.database_url or urls["postgresql"],
            redis_url=self.settings.redis_url or urls["redis"],
        )

    def environment(self) -> Mapping[str, str]:
        """Return the environment of a child. The key ring stays in its file unless it came from outside."""
        settings = self.with_urls()
        return os.environ | {
            "CROSSDOCK_HOME": str(settings.home),
            "DATABASE_URL": settings.database_url,
            "REDIS_URL": settings.redis_url,
            "CROSSDOCK_ALLOW_NETWORKS": ",".join(settings.allow_networks),
            "CROSSDOCK_FILES": str(settings.files),
            "PYTHONUNBUFFERED": "1",
            metrics.FOLDER_VARIABLE: str(self.metrics),
        }

    def publish(self, pids: dict[str, int]) -> None:
        """Let commands find us."""
        settings = self.with_urls()
        self.home.publish(Run(os.getpid(), self.url, settings.database_url, settings.redis_url, pids))

    def first_steps(self, settings: Settings, steps: Steps) -> FirstSteps:
        """Do the first steps; what is wrong with a definition is said and stops nothing."""
        try:
            return steps(settings, self.options)
        except CrossdockError as error:
            _log.error("first steps failed", **error.failure.as_dict())
            return FirstSteps("", [f"{error.code}: {error.message}"])

    def wait_until_ready(self, supervisor: Supervisor) -> None:
        """Wait until the API answers, or we are asked to end.

        Raises:
            Unavailable: it did not answer in time.

        """
        self.screen.step("waiting for the api")
        until = time.monotonic() + self.options.ready_seconds
        supervisor.run(lambda: time.monotonic() > until or self.answers())
        if not supervisor.stopping and not self.answers():
            raise Unavailable(f"{self.url} did not answer within {self.options.ready_seconds:g} s", code=NOT_READY)

    def answers(self) -> bool:
        """Say whether the API is alive."""
        host = self.url.removeprefix("http://").rpartition(":")[0].strip("[]")
        connection = http.client.HTTPConnection(host, self.options.port, timeout=2)
        try:
            connection.request("GET", "/health/live")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class _Screen:
    """What a person sees, on standard output: moving on a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)

    def step(self, text: str) -> None:
        self.console.print(f"[dim]{text}[/dim]" if self.console.is_terminal else text)

    def ready(self, url: str, done: FirstSteps, seconds: float, folder: Path | None) -> None:
        for message in done.messages:
            self.console.print(message, markup=False)
        self.console.print(f"\nCrossdock is ready at [bold]{url}[/bold] after {seconds:.1f} s")
        if done.token:
            self.console.print(f"Admin token: [bold]{done.token}[/bold]")
        commands = [f"  {line}" for line in next_commands(folder)]
        self.console.print("\nTry next, in another terminal:", *commands, "", sep="\n", markup=False)

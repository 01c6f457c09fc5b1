"""The command line as a person runs it: real settings, a real database, and where asked for a real server."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from click.testing import CliRunner, Result
from werkzeug.serving import make_server

from server import bootstrap
from server.access.tenants import ensure_default
from server.app import create_app
from server.cli.client import InProcess, Rest, quiet_logs
from server.cli.main import root
from server.cli.shell import Shell
from server.config import Settings
from server.runtime.keys import new_key
from server.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Cli:
    """Runs commands in this process; `rest` saves building the application for each."""

    env: dict[str, str]
    rest: Rest | None = None
    runner: CliRunner = field(default_factory=CliRunner)

    def __call__(self, *arguments: str, stdin: str | bytes | None = None, **env: str) -> Result:
        return self.runner.invoke(root, arguments, input=stdin, env=self.env | env, obj=Shell(given=self.rest))

    def ok(self, *arguments: str, stdin: str | bytes | None = None, **env: str) -> str:
        result = self(*arguments, stdin=stdin, **env)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *arguments: str, stdin: str | bytes | None = None, **env: str) -> Any:
        return json.loads(self.ok(*arguments, "--json", stdin=stdin, **env))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def cli(home: Path) -> Cli:
    """A command line with no server anywhere."""
    return Cli({"CROSSDOCK_HOME": str(home)})


@pytest.fixture
def settings(home: Path, database_url: str, redis_url: str) -> Settings:
    """Settings of a prepared database."""
    engine = Store(database_url, "crossdock_engine", pool=1)
    ensure_default(engine)
    engine.close()
    return Settings(home=home, database_url=database_url, redis_url=redis_url, keys=new_key())


@pytest.fixture
def quiet(settings: Settings) -> Iterator[None]:
    """Logs go where the command line sends them; afterwards where they went before."""
    root_logger = logging.getLogger()
    handlers, level = root_logger.handlers[:], root_logger.level
    quiet_logs(settings)
    yield
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root_logger.handlers[:] = handlers
    root_logger.setLevel(level)


@pytest.fixture
def rest(settings: Settings, quiet: None) -> Iterator[Rest]:
    """The API of the local admin."""
    made = Rest(InProcess(create_app(bootstrap.local(settings))))
    yield made
    made.close()


@pytest.fixture
def local(rest: Rest, settings: Settings) -> Cli:
    """The command line that acts on the database."""
    env = {
        "CROSSDOCK_HOME": str(settings.home),
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "CROSSDOCK_KEYS": settings.keys,
    }
    return Cli(env, rest)


@pytest.fixture
def served(settings: Settings, quiet: None) -> Iterator[str]:
    """The URL of the same workspace over HTTP."""
    services = bootstrap.api(settings)
    server = make_server("127.0.0.1", 0, create_app(services), threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
    services.core.engine.close()
    services.core.tenant.close()

"""`crossdock api`, `worker` and `scheduler`: one role each, in the foreground, as `up` starts them and as hosts run them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from server.cli.place import local_settings

if TYPE_CHECKING:
    from server.cli.shell import Shell
    from server.config import Settings


@click.command
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65_535), default=8080, show_default=True, help="The port to listen on.")
@click.option("--processes", type=click.IntRange(1, 64), default=1, show_default=True, help="How many processes.")
@click.pass_obj
def api(shell: Shell, host: str, port: int, processes: int) -> None:
    """Serve the HTTP API and the dashboard until SIGTERM."""
    from server.runtime.api import check_port, serve_api  # noqa: PLC0415 (see server/cli/__init__.py)

    settings = local_settings(shell.settings)
    check_port(host, port)
    serve_api(settings, host, port, processes=processes, factory="server.app:from_settings")


@click.command
@click.pass_obj
def worker(shell: Shell) -> int:
    """Do the work that is due, until SIGTERM."""
    from server.worker import run  # noqa: PLC0415 (see server/cli/__init__.py)

    return run(_prepared(shell.settings, "worker"))


@click.command
@click.pass_obj
def scheduler(shell: Shell) -> int:
    """Keep the clock: what happens every so often, until SIGTERM. Of several, one does each thing."""
    from server.scheduler import run  # noqa: PLC0415 (see server/cli/__init__.py)

    return run(_prepared(shell.settings, "scheduler"))


def _prepared(settings: Settings, role: str) -> Settings:
    """Find the servers, and send logs and traces of this process where they belong."""
    from server.telemetry import logs, traces  # noqa: PLC0415 (see server/cli/__init__.py)

    name = os.environ.get("CROSSDOCK_PROCESS", role)
    logs.configure(name, settings.log_level)
    traces.configure(settings.otlp_endpoint, name)
    return local_settings(settings)

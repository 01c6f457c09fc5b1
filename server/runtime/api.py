"""Serves the HTTP API: granian in front of the Flask app, one or more processes, none of which outlives its parent.

Granian was the fastest of those measured (2 cores: 8,600-11,500 signed posts/s; gunicorn with threads 3,100-4,900,
waitress 2,600-4,000). Its one weakness, slow bodies that hold the threads, is met by having many.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from server.runtime.gateway import Gateway
from server.runtime.launch import PR_SET_PDEATHSIG
from server.runtime.ports import check_port, numeric
from server.runtime.reading import BODY_SECONDS
from server.telemetry import logs, metrics, traces
from server.transport.limits import allow_open_files

if TYPE_CHECKING:
    from server.config import Settings

__all__ = ["check_port", "serve_api"]

CONNECTIONS = 2048
"""Connections that one process holds at once; more wait in the backlog."""
HEADER_SECONDS = 10
HEADER_BYTES = 65_536
STOP_SECONDS = 4
"""What requests under way have to end."""


def serve_api(
    settings: Settings,
    host: str,
    port: int,
    *,
    processes: int = 1,
    factory: str = "server.app:from_settings",
    body_seconds: float = BODY_SECONDS,
) -> None:
    """Serve until SIGTERM or SIGINT: then no more connections, requests under way have 4 s, and it returns.

    `factory` is `module:function`; each process calls it with the settings and gets the Flask application. A body has
    `body_seconds` to arrive.
    """
    import granian  # noqa: PLC0415 (a server that only this role needs)
    from granian.constants import HTTPModes, Interfaces  # noqa: PLC0415
    from granian.http import HTTP1Settings  # noqa: PLC0415

    name = os.environ.get("CROSSDOCK_PROCESS", "api")
    logs.configure(name, settings.log_level)
    allow_open_files()
    if metrics.FOLDER_VARIABLE not in os.environ:
        folder = settings.home.resolve() / "metrics" / f"api-{port}"
        metrics.empty_folder(folder)
        os.environ[metrics.FOLDER_VARIABLE] = str(folder)
    server = granian.Granian(
        "crossdock",
        address=numeric(host),
        port=port,
        interface=Interfaces.RSGI,
        workers=processes,
        backpressure=CONNECTIONS,
        backlog=2048,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_SECONDS * 1000, max_buffer_size=HEADER_BYTES),
        websockets=True,
        log_enabled=False,
        log_access=False,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS,
    )
    importlib.import_module(
        factory.partition(":")[0]
    )  # once, before the processes fork: they start faster and share it
    server.serve(target_loader=partial(_load, settings, factory, body_seconds, name, os.getpid()), wrap_loader=False)


def _load(settings: Settings, factory: str, body_seconds: float, name: str, parent: int) -> Any:
    """Make the application inside a process of granian's."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != parent:
            sys.exit("the process that wanted this one has ended")
    logs.configure(name, settings.log_level)
    traces.configure(settings.otlp_endpoint, name)
    module, _, function = factory.partition(":")
    application = getattr(importlib.import_module(module), function)(settings)
    directs, doors = (application.extensions.get(f"crossdock-{each}", ()) for each in ("directs", "doors"))
    return Gateway(application, settings.body_limit, body_seconds, directs, doors)

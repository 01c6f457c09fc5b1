"""`run_up` with processes that only pretend: `python dummy_up.py HOME PORT [WORKERS]`. The api answers on /health/live."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from server.config import Settings
from server.kernel.errors import CrossdockError, Unavailable
from server.runtime.supervisor import Role
from server.runtime.up import FirstSteps, UpOptions, run_up

WORKER = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    time.sleep(0.1)
"""
STUBBORN = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(1)"
API = """
import subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])  # a grandchild that nobody ends
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def serve(port: int) -> int:
    with HTTPServer(("127.0.0.1", port), Health) as server:
        server.serve_forever()
    return 0


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()


def work() -> int:
    """Say what a forked process has of its parent, and work until SIGTERM."""
    shown = {
        "files": [path.name for path in Path("/proc/self/fd").iterdir() if int(path.name) > 2 and path.exists()],
        "secret": os.environ.get("DATABASE_URL", "")[:10],
        "name": Path("/proc/self/comm").read_text().strip(),
        "session": os.getsid(0) == os.getpid(),
    }
    print(json.dumps({"event": "forked", **shown}), flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        time.sleep(0.1)


def roles(options: UpOptions) -> list[Role]:
    def python(*arguments: str) -> tuple[str, ...]:
        return (sys.executable, "-c", *arguments)

    if "FORKED" in os.environ:
        return [Role("api", partial(serve, options.port), 2.0), Role("worker-1", work, 2.0)]
    stubborn = [Role("stubborn", python(STUBBORN), 1.0)] if "STUBBORN" in os.environ else []
    workers = [Role(f"worker-{number}", python(WORKER), 2.0) for number in range(1, options.workers + 1)]
    return [Role("api", python(API, str(options.port)), 2.0), *workers, *stubborn]


def migrate(url: str) -> None:
    if "MIGRATION_FAILS" in os.environ:
        raise Unavailable("the database refused", code="DATABASE_AWAY", source="database", url=url[:10])


def first_steps(settings: Settings, _options: UpOptions) -> FirstSteps:
    assert settings.database_url
    assert settings.redis_url
    assert settings.keys
    return FirstSteps("cdk_token", ["2 definitions applied"])


if __name__ == "__main__":
    home, port, *workers = sys.argv[1:]
    settings = Settings.from_env({"CROSSDOCK_HOME": home, "DATABASE_URL": os.environ.get("DATABASE_URL", "")})
    options = UpOptions(port=int(port), workers=int(workers[0]) if workers else 1, ready_seconds=20.0)
    assert Path(home).is_absolute()
    try:
        sys.exit(run_up(options, settings, migrate=migrate, first_steps=first_steps, roles=roles))
    except CrossdockError as error:  # as the command line does it
        sys.exit(error.message)

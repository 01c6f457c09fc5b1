"""The whole application behind the real server: `python -m tests.api.served HOME PORT`, its settings in the environment."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from server.config import Settings
from server.runtime.api import serve_api

if __name__ == "__main__":
    home, port = sys.argv[1:]
    serve_api(replace(Settings.from_env(), home=Path(home)), "127.0.0.1", int(port), body_seconds=1.0)

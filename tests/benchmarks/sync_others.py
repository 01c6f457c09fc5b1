"""dlt and a Singer tap and target on the tables of a measurement, in an environment of their own under `.crossdock`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PLACE = ROOT / ".crossdock" / "sync-peers"
WANTED = ("dlt[postgres,sql-database]==1.31.*", "singer-sdk==0.54.*", "psycopg2-binary")
SCRIPTS = {"dlt": "peer_dlt.py", "singer": "peer_singer.py"}
_SECONDS = 300


def measured(database_url: str, rows: int) -> dict[str, Any]:
    """Return rows a second of each, from `shop.src` to a table of its own in the same database."""
    python = _environment()
    url = "postgresql://" + database_url.partition("://")[2]
    return {name: _run(python, Path(__file__).with_name(script), url, rows) for name, script in SCRIPTS.items()}


def _environment() -> Path:
    """Make the environment once; another list of packages makes it anew."""
    python, stamp = PLACE / "bin" / "python", PLACE / "wanted.txt"
    if not stamp.is_file() or stamp.read_text("utf-8") != "\n".join(WANTED):
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(PLACE)], check=True)
        subprocess.run([*uv, "pip", "install", "--quiet", "--python", str(python), *WANTED], check=True)
        stamp.write_text("\n".join(WANTED), "utf-8")
    return python


def _run(python: Path, script: Path, url: str, rows: int) -> dict[str, Any]:
    """Run a script that prints its figures as the last line; what it keeps goes into a folder that is thrown away."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="crossdock-bench-") as folder:
        done = subprocess.run(
            [python, script, url], check=False, capture_output=True, text=True, timeout=_SECONDS, cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": folder, "RUNTIME__DLTHUB_TELEMETRY": "false"},
        )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{script.name} failed:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if found["rows"] != rows:
        raise SystemExit(f"{script.name} wrote {found['rows']} of {rows} rows")
    return {**found, "per_second": rows / found["seconds"], "load": load}

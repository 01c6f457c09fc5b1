"""A real Tryton server on a free port. Its database is made once, kept under `.crossdock/tests` and copied for each run.

What it is made from decides its name there: the versions of the packages, the seed, and the year of its books.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import importlib.metadata
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import requests

if TYPE_CHECKING:
    from collections.abc import Callable

SEED = Path(__file__).with_name("seeding.py")
CACHE = Path(__file__).parents[2] / ".crossdock/tests"
MODULES = (
    "sale_opportunity",
    "production",
    "purchase_requisition",
    "account_invoice",
    "account_credit_limit",
    "quality",
    "project_plan",
    "attendance",
)
PASSWORD = "a password of tests"
_PATIENCE = 60.0


class TrytonServer:
    """Serves a copy of the seeded database; `config` leads a plugin to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seed: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def config(self) -> dict[str, Any]:
        return {
            "url": self.url,
            "database": "erp",
            **{name: self.seed[name] for name in ("key", "company", "employee")},
        }

    def __enter__(self) -> Self:
        template = _template()
        shutil.copytree(template, self.folder, dirs_exist_ok=True)
        self.seed = json.loads((self.folder / "seed.json").read_text())
        with closing(socket.create_server(("127.0.0.1", 0))) as probe:
            self._port = probe.getsockname()[1]
        conf = _conf(self.folder, self._port)
        log = (self.folder / "server.log").open("wb")
        self._process = subprocess.Popen([_script("trytond"), "-c", conf, "-d", "erp"], stdout=log, stderr=log)
        self._wait()
        return self

    def _wait(self) -> None:
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            assert self._process is not None
            assert self._process.poll() is None, (self.folder / "server.log").read_text()[-2000:]
            try:
                requests.get(self.url, timeout=5)
            except requests.ConnectionError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError((self.folder / "server.log").read_text()[-2000:])

    def __exit__(self, *_exc: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)


def _template() -> Path:
    """Return the folder with the seeded database, made now if it is not there: half a minute of one core."""
    packages = sorted(
        f"{each.name} {each.version}"
        for each in importlib.metadata.distributions()
        if each.name.lower().replace("_", "-").startswith(("trytond", "proteus"))
    )
    modules = json.dumps([packages, MODULES]).encode()
    year = str(dt.datetime.now(dt.UTC).year).encode()
    return _kept("tryton-seeded", modules + year + SEED.read_bytes(), lambda folder: _seed(folder, modules))


def _kept(name: str, told: bytes, make: Callable[[Path], None]) -> Path:
    """Return the folder of that name and origin, made if it is not there; those of other origins go."""
    kept = CACHE / f"{name}-{hashlib.sha256(told).hexdigest()[:16]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process that makes it is waited for
        if not kept.exists():
            making = CACHE / f".{kept.name}.{os.getpid()}"
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir(parents=True)
            make(making)
            making.rename(kept)
            for old in CACHE.glob(f"{name}-*"):
                if old != kept:
                    shutil.rmtree(old, ignore_errors=True)
    return kept


def _seed(folder: Path, modules: bytes) -> None:
    shutil.copytree(_kept("tryton-empty", modules, _empty), folder, dirs_exist_ok=True)
    (folder / "seed.json").write_bytes(_run([sys.executable, str(SEED), _conf(folder, 0)]))


def _empty(folder: Path) -> None:
    conf = _conf(folder, 0)
    (folder / "erp.sqlite").touch()
    password = folder / "password"
    password.write_text(PASSWORD)
    admin = [_script("trytond-admin"), "-c", conf, "-d", "erp", "--email", "admin@example.com"]
    _run([*admin, "--activate-dependencies", "-u", *MODULES], {"TRYTONPASSFILE": str(password)})


def _run(command: list[str], env: dict[str, str] | None = None) -> bytes:
    done = subprocess.run(command, capture_output=True, env=os.environ | (env or {}), check=False)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return done.stdout


def _conf(folder: Path, port: int) -> str:
    path = folder / "trytond.conf"
    path.write_text(f"[database]\nuri = sqlite://\npath = {folder}\n[web]\nlisten = 127.0.0.1:{port}\n")
    return str(path)


def _script(name: str) -> str:
    """Return a command of the environment that the tests run in; its absence is a failure."""
    path = Path(sys.executable).with_name(name)
    assert path.exists(), f"{path} is missing: make dev"
    return str(path)

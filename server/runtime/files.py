"""Files, folders and ports that the runtime makes: private, and whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import socket
import tempfile
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


def make_folder(path: Path, user: tuple[int, int] | None) -> None:
    """Make a folder that only `user` (uid, gid), or else we, may enter."""
    path.mkdir(mode=0o700)
    if user is not None:
        os.chown(path, *user)


def free_port() -> int:
    """Return a loopback port that nobody listens on, below those that the kernel hands to outgoing connections."""
    for _ in range(1000):
        port = 20_000 + secrets.randbelow(12_000)
        if is_free("127.0.0.1", port):
            return port
    raise OSError("no loopback port between 20000 and 32000 is free")


def is_free(host: str, port: int) -> bool:
    """Say whether a port can be listened on; one that is shared (SO_REUSEPORT) counts as taken.

    Raises:
        OSError: `host` is no address of this machine.

    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            return False
        raise
    return True


def copy_package(package: Path, place: Path) -> None:
    """Copy the package's programs and libraries into `place`, readable by all, whole or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    skip = shutil.ignore_patterns("include", "__pycache__")
    shutil.copytree(package, new / package.name, ignore=skip)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, new / libraries.name)
    for path in (new, *new.rglob("*")):
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    try:
        new.rename(place)
    except OSError:  # another process was quicker
        shutil.rmtree(new)

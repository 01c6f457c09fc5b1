"""Files and folders that the runtime makes: private, and whole or not at all."""

from __future__ import annotations

import os
import shutil
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

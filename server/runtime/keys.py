"""The key ring that secrets are encrypted with: from CROSSDOCK_KEYS, else a file in CROSSDOCK_HOME, made when first needed.

Form: `id:base64 of 32 bytes`, several by comma, the newest first. The file is `keys`, mode 0600; whoever loses it
loses the secrets, so docs/operations.md counts it among what is backed up.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import os
import re
import secrets
from typing import TYPE_CHECKING

from server.kernel.errors import Invalid, code

if TYPE_CHECKING:
    from pathlib import Path

    from server.config import Settings

BAD_KEYS = code("BAD_KEYS", "CROSSDOCK_KEYS (or the file `keys`) is not a list of `id:base64 of 32 bytes`, by comma.")
_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
_KEY_BYTES = 32


def load_or_make_keys(settings: Settings) -> Settings:
    """Return the settings with a key ring; any number of processes may ask at once and all get the same.

    Raises:
        Invalid: the ring is not of the form above.

    """
    text = settings.keys or _from_file(settings.home / "keys")
    check_keys(text)
    return dataclasses.replace(settings, keys=text)


def new_key() -> str:
    """Make one key with an id of its own."""
    return f"k{secrets.token_hex(4)}:{base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()}"


def check_keys(text: str) -> None:
    """Check the form of a ring without showing any of it.

    Raises:
        Invalid: not of the form; the message names the place by its number.

    """
    seen: set[str] = set()
    for place, part in enumerate(text.split(","), 1):
        name, _, encoded = part.strip().partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        if not _ID.fullmatch(name) or len(key) != _KEY_BYTES or name in seen:
            raise Invalid(
                f"key {place} of the key ring is not `id:base64 of {_KEY_BYTES} bytes` with an id of its own",
                code=BAD_KEYS,
            )
        seen.add(name)


def _from_file(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_name(f".keys.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{new_key()}\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(new, path)  # fails when another process was quicker, so that all use the one that won
    except FileExistsError:
        pass
    finally:
        new.unlink()
    return path.read_text().strip()

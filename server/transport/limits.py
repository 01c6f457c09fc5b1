"""How long and how much: the limits of one exchange with another system, and of all that a process has open."""

from __future__ import annotations

import contextlib
import resource
from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB
OPEN_FILES = 1_048_576
"""What we ask for where the hard limit is infinite, as on macOS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Times in seconds, sizes in bytes. `total` covers everything from the name look-up to the last byte."""

    total: float = 30.0
    dns: float = 5.0
    connect: float = 10.0
    tls: float = 10.0
    first_byte: float = 30.0
    body: int = 16 * MIB
    head: int = 64 * KIB


PLUGIN_LIMITS = Limits()
DELIVERY_LIMITS = Limits(body=64 * KIB)


def allow_open_files() -> int:
    """Raise the limit of open files, which is often 1,024, as far as we may: each connection is one; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else hard
    with contextlib.suppress(ValueError, OSError):  # the system has a limit of its own: ours stays
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, soft), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]

"""How long and how much: the limits of one exchange with another system, and of all that a process has open."""

from __future__ import annotations

import contextlib
import resource
from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB
OPEN_FILES = 1_048_576
"""What we ask for where the hard limit is infinite, as on macOS."""
USUAL_SECONDS = 30.0
"""What a request has in all where nobody says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Times in seconds, sizes in bytes.

    `total` covers everything from the name look-up to the last byte. It is the most: a request has what its definition says. The
    first byte may take all of it; a time-out before it is told as one of its own.
    """

    total: float = USUAL_SECONDS
    dns: float = 5.0
    connect: float = 10.0
    tls: float = 10.0
    body: int = 16 * MIB
    head: int = 64 * KIB


# As much as definitions may ask for: a flow's step an hour, the policy of a webhook's integration ten minutes.
PLUGIN_LIMITS = Limits(total=3600.0)
DELIVERY_LIMITS = Limits(total=600.0, body=64 * KIB)


def allow_open_files() -> int:
    """Raise the limit of open files, which is often 1,024, as far as we may: each connection is one; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else hard
    with contextlib.suppress(ValueError, OSError):  # the system has a limit of its own: ours stays
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, soft), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]

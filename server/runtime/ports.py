"""Where we listen: ports that are free, and what to say about one that is not."""

from __future__ import annotations

import errno
import secrets
import socket

from server.kernel.errors import Conflict, Invalid, code

PORT_IN_USE = code("PORT_IN_USE", "Another program listens on this port; `--port` names another.")
BAD_HOST = code("BAD_HOST", "The address given with `--host` is none of this machine.")


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


def check_port(host: str, port: int) -> None:
    """Check that we can listen there, before anything is started.

    Raises:
        Conflict: the port is taken (also by one who would share it), or needs rights that we lack.
        Invalid: no such address here.

    """
    try:
        free = is_free(numeric(host), port)
    except (OSError, OverflowError) as error:
        raise Invalid(f"--host {host} --port {port}: {error}", code=BAD_HOST) from error
    if not free:
        raise Conflict(
            f"port {port} on {host} is in use or not ours to take; name another with --port, such as --port {port + 1}",
            code=PORT_IN_USE,
            port=port,
        )


def numeric(host: str) -> str:
    """Return the address as granian takes it: it does not look names up."""
    return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])

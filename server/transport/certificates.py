"""A certificate of our own for systems that ask who we are in the TLS handshake (mTLS)."""

from __future__ import annotations

import functools
import os
import ssl
import tempfile
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from server.transport.tls import fresh_tls


@functools.lru_cache(maxsize=256)
def tls_with(certificate: str, key: str) -> ssl.SSLContext:
    """Return the process's TLS settings with a client certificate (PEM, its chain after it) and its key (PEM).

    The same pair gives the same object: connections are shared by whoever is the same to the other side.

    Raises:
        ValueError: one of them cannot be read, or they do not belong together; neither is in the message.

    """
    context = fresh_tls()
    try:
        password = os.urandom(32).hex().encode()
        private = load_pem_private_key(key.encode(), None)
        locked = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))
        # OpenSSL reads files only: the key lies in ours for a moment, encrypted under a password that is nowhere written
        with tempfile.TemporaryDirectory() as folder:
            chain_file, key_file = Path(folder, "chain"), Path(folder, "key")
            chain_file.write_text(certificate, "utf-8")
            key_file.write_bytes(locked)
            context.load_cert_chain(chain_file, key_file, password)
    except (ssl.SSLError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("the client certificate and its key cannot be read, or do not fit together") from error
    return context

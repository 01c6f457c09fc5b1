"""One rule for certificates: the system's and the packaged roots, names checked, TLS 1.2 at least."""

from __future__ import annotations

import functools
import ssl

import requests.utils


@functools.cache
def client_tls() -> ssl.SSLContext:
    """Return the process's TLS settings; `SSL_CERT_FILE` and `SSL_CERT_DIR` add an operator's own authority."""
    return fresh_tls()


def fresh_tls() -> ssl.SSLContext:
    """Return the same settings in an object of one's own, for a client certificate."""
    context = ssl.create_default_context(cafile=requests.utils.DEFAULT_CA_BUNDLE_PATH)
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context

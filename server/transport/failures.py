"""How a connection to another system can fail, and what happens next: one table for every sender.

code                 class      when
URL_REFUSED          Permanent  the URL is not one that we send to at all
ADDRESS_REFUSED      Permanent  the address (or its port) must not be reached
REQUEST_REFUSED      Permanent  a method, header name or value that cannot be sent safely
DNS_FAILED           Retryable  the name has no address (now)
CONNECT_FAILED       Retryable  nobody answers at the address
TLS_FAILED           Retryable  handshake or certificate; receivers mend these within the schedule
TIMEOUT              Retryable  `details["phase"]`: dns, connect, tls, first_byte, total
PROXY_FAILED         Retryable  the operator's own proxy cannot be reached or refuses
ANSWER_BROKEN        Retryable  what came back is no complete HTTP answer
ANSWER_TOO_LARGE     Permanent  the answer is larger than is read
"""

from __future__ import annotations

from server.kernel.errors import Permanent, Retryable, code
from server.sdk.answers import ANSWER_BROKEN

SOURCE = "transport"

URL_REFUSED = code("URL_REFUSED", "The URL is not one that Crossdock sends to: scheme, user info, length or host form.")
ADDRESS_REFUSED = code(
    "ADDRESS_REFUSED", "The address is not public and no allowed network holds it; metadata services are never reached."
)
REQUEST_REFUSED = code("REQUEST_REFUSED", "The request has a method or header that cannot be sent safely.")
DNS_FAILED = code("DNS_FAILED", "The host name has no address; tried again on the schedule.")
CONNECT_FAILED = code("CONNECT_FAILED", "Nobody took the connection; tried again on the schedule.")
TLS_FAILED = code(
    "TLS_FAILED", "The TLS handshake failed or the certificate does not fit; tried again on the schedule."
)
PROXY_FAILED = code(
    "PROXY_FAILED", "The outbound proxy of this instance was not reached or refused; tried again on the schedule."
)
TIMEOUT = code("TIMEOUT", "The other system took longer than the limit; `details.phase` says where.")
ANSWER_TOO_LARGE = code("ANSWER_TOO_LARGE", "The answer is larger than is read; the limit is in `details`.")


def url_refused(reason: str) -> Permanent:
    """Build the error for a URL that we never send to; the URL itself stays out, since it may hold a secret."""
    return Permanent(f"the URL is refused: {reason}", code=URL_REFUSED, source=SOURCE)


def address_refused(address: str, reason: str) -> Permanent:
    """Build the error for an address that must not be reached."""
    return Permanent(f"{address} is refused: {reason}", code=ADDRESS_REFUSED, source=SOURCE, address=address)


def request_refused(reason: str) -> Permanent:
    """Build the error for a request that cannot be sent safely."""
    return Permanent(f"the request is refused: {reason}", code=REQUEST_REFUSED, source=SOURCE)


def dns_failed(host: str, reason: str) -> Retryable:
    """Build the error for a name without an address."""
    return Retryable(f"no address for {host}: {reason}", code=DNS_FAILED, source=SOURCE, host=host)


def connect_failed(host: str, reason: str) -> Retryable:
    """Build the error for a refused or unreachable connection."""
    return Retryable(f"no connection to {host}: {reason}", code=CONNECT_FAILED, source=SOURCE, host=host)


def tls_failed(host: str, reason: str) -> Retryable:
    """Build the error for a handshake or certificate that failed."""
    return Retryable(f"TLS with {host} failed: {reason}", code=TLS_FAILED, source=SOURCE, host=host)


def proxy_failed(reason: str) -> Retryable:
    """Build the error for the operator's own proxy."""
    return Retryable(f"the outbound proxy failed: {reason}", code=PROXY_FAILED, source=SOURCE)


def timed_out(phase: str, seconds: float) -> Retryable:
    """Build the error for a limit of time that was passed in `phase`."""
    message = f"no complete answer within {seconds:g} s ({phase})"
    return Retryable(message, code=TIMEOUT, source=SOURCE, phase=phase, seconds=seconds)


def answer_broken(reason: str) -> Retryable:
    """Build the error for an answer that is cut short or is no HTTP."""
    return Retryable(f"the answer is broken: {reason}", code=ANSWER_BROKEN, source=SOURCE)


def answer_too_large(limit: int) -> Permanent:
    """Build the error for an answer of more than `limit` bytes."""
    message = f"the answer is larger than {limit} bytes"
    return Permanent(message, code=ANSWER_TOO_LARGE, source=SOURCE, limit=limit)

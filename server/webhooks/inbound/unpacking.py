"""Bodies that come compressed: unpacked piece by piece, and no further than the endpoint takes."""

from __future__ import annotations

import zlib

from server.kernel.errors import Malformed, TooLarge, Unsupported
from server.web.bodies import ENCODING_REFUSED

RATIO = 100
_SMALL = 16 * 1024  # of what is small a high ratio is no bomb
_PIECE = 64 * 1024
_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


def unpacked(body: bytes, encoding: str, limit: int, *, allowed: bool) -> bytes:
    """Return the body as it is meant; `limit` is in bytes, for what is unpacked.

    Raises:
        Unsupported: ENCODING_REFUSED: the endpoint takes none, or not this one.
        TooLarge: more than `limit`, or than a hundredfold of what came.
        Malformed: it is not what the header says.

    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    window = _WINDOWS.get(name)
    if not allowed or window is None:
        raise Unsupported("send the body without this Content-Encoding", code=ENCODING_REFUSED, source="inbound")
    most = min(limit, max(_SMALL, len(body) * RATIO))
    try:
        return _inflated(body, window, most)
    except zlib.error as error:
        if name == "deflate":  # many senders mean raw deflate by it
            try:
                return _inflated(body, -zlib.MAX_WBITS, most)
            except zlib.error:
                pass
        raise Malformed(f"the body is not {name}", source="inbound") from error


def _inflated(body: bytes, window: int, most: int) -> bytes:
    engine = zlib.decompressobj(window)
    parts, size, left = [], 0, body
    while left and not engine.eof:
        part = engine.decompress(left, _PIECE)
        left = engine.unconsumed_tail
        parts.append(part)
        size += len(part)
        if size > most:
            raise TooLarge(f"the body is larger than {most} bytes when unpacked", source="inbound", limit=most)
        if not part and not left:
            break
    rest = engine.flush()
    if not engine.eof or engine.unused_data:
        raise zlib.error("not whole")
    return b"".join([*parts, rest])

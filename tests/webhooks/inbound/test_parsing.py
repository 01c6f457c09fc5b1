"""Bodies of senders: what expressions see of them, and that nothing they hold breaks us."""

from __future__ import annotations

import gzip
import zlib
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.kernel.errors import CrossdockError, Malformed, TooLarge, Unsupported
from server.webhooks.inbound.arriving import Proxies
from server.webhooks.inbound.endpoint import FORMATS
from server.webhooks.inbound.parsing import format_of, parse, takes
from server.webhooks.inbound.paths import read_path
from server.webhooks.inbound.unpacking import unpacked

BOMB = b'<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><a>&b;</a>'
OUTSIDE = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'


@pytest.mark.parametrize(
    ("format_", "body", "seen"),
    [
        ("json", b"", None),
        ("json", b'{"a": 1.10, "b": 2}', {"a": Decimal("1.10"), "b": 2}),
        ("form", b"a=1&b=x+y&b=%C3%A9&c=", {"a": "1", "b": ["x y", "é"], "c": ""}),
        ("xml", b'<o id="7"><l s="A"/><l s="B"/><n>hi</n></o>', {"o": {"@id": "7", "l": [{"@s": "A"}, {"@s": "B"}], "n": "hi"}}),
        ("xml", b"<a><b/>text</a>", {"a": {"b": None, "#text": "text"}}),
        ("xml", b'<x:a xmlns:x="urn:x"><x:b>1</x:b></x:a>', {"a": {"b": "1"}}),
        ("xml", b'<?xml version="1.0" encoding="iso-8859-1"?><a>\xe9</a>', {"a": "é"}),
        ("xml", '<?xml version="1.0" encoding="utf-16"?><a>é</a>'.encode("utf-16"), {"a": "é"}),
        ("csv", b'a;b\r\n1;"x\n;y"\r\n\r\n2;3', [{"a": "1", "b": "x\n;y"}, {"a": "2", "b": "3"}]),
        ("csv", b"\xef\xbb\xbfa,b\n1,2\n", [{"a": "1", "b": "2"}]),
        ("raw", b"hi", {"text": "hi", "base64": "aGk="}),
        ("raw", b"\x00", {"text": None, "base64": "AA=="}),
        ("raw", b"\xff", {"text": None, "base64": "/w=="}),
    ],
)  # fmt: skip
def test_a_body_is_seen_as_its_format_says(format_: str, body: bytes, seen: Any) -> None:
    assert parse(body, format_) == seen


@pytest.mark.parametrize(
    ("format_", "body", "content_type"),
    [
        ("json", b"{} {}", ""),
        ("form", b"a=%ff", ""),
        ("form", b"a=\xc3\xa9", ""),
        ("form", b"&".join(b"a=1" for _ in range(1001)), ""),
        ("xml", b"<a>", ""),
        ("xml", b"<a>&x;</a>", ""),
        ("xml", b"<a/><b/>", ""),
        ("xml", BOMB, ""),
        ("xml", OUTSIDE, ""),
        ("xml", b'<!DOCTYPE a SYSTEM "http://127.0.0.1/a.dtd"><a/>', ""),
        ("xml", b"<a>" * 65 + b"</a>" * 65, ""),
        ("xml", b"<a>" + b"<b/>" * 100_001 + b"</a>", ""),
        ("xml", b'<?xml version="1.0" encoding="none-such"?><a/>', ""),
        ("csv", b"a,b\n1\n", ""),
        ("csv", b"a,a\n1,2\n", ""),
        ("csv", b'a,b\n1,"2', ""),
        ("csv", b"a\n\x00\n", ""),
        ("csv", b"a\n\xff\n", ""),
        ("csv", b"a\n" + b"1\n" * 20_001, ""),
    ],
)
def test_what_is_not_what_it_claims_is_refused(format_: str, body: bytes, content_type: str) -> None:
    with pytest.raises(Malformed):
        parse(body, format_, content_type)


@given(
    st.sampled_from(FORMATS),
    st.binary(max_size=200),
    st.sampled_from(["", "x/y; charset=utf-8", "a/b;charset='", "a; charset=koi8"]),
)
def test_no_body_breaks_more_than_itself(format_: str, body: bytes, content_type: str) -> None:
    with suppress(Malformed, Unsupported):
        parse(body, format_, content_type)


@pytest.mark.parametrize(
    ("taken", "type_", "fits"),
    [
        (["application/json"], "application/json", True),
        (["application/json"], "application/jsonp", False),
        (["application/*+json"], "application/vnd.api+json", True),
        (["application/*+json"], "application/+json", False),
        (["text/*"], "text/csv", True),
        (["text/*"], "textual/csv", False),
        (["*/*"], "image/png", True),
    ],
)
def test_media_types_are_taken_by_name_or_pattern(taken: list[str], type_: str, fits: bool) -> None:
    assert takes(taken, type_) is fits


def test_the_format_follows_the_media_type_unless_it_is_declared() -> None:
    pairs = {
        "application/json": "json",
        "a/b+json": "json",
        "image/svg+xml": "xml",
        "text/csv": "csv",
        "text/plain": "raw",
    }
    assert {type_: format_of(None, type_) for type_ in pairs} == pairs
    assert format_of("json", "text/plain") == "json"


@pytest.mark.parametrize(
    ("body", "encoding", "error"),
    [
        (gzip.compress(b"x" * 2000, mtime=0), "gzip", None),
        (zlib.compress(b"x" * 2000), "deflate", None),
        (zlib.compress(b"x" * 2000)[2:-4], "deflate", None),
        (b"x", "identity", None),
        (gzip.compress(b"x" * 5_000_000, mtime=0), "gzip", TooLarge),
        (gzip.compress(gzip.compress(b"\x00" * 9_000_000, mtime=0), mtime=0), "gzip", None),
        (gzip.compress(b"x", mtime=0) + b"more", "gzip", Malformed),
        (b"x", "gzip", Malformed),
        (b"x", "br", Unsupported),
        (gzip.compress(b"x", mtime=0), "gzip, gzip", Unsupported),
    ],
)
def test_bodies_are_unpacked_within_limits(body: bytes, encoding: str, error: type[CrossdockError] | None) -> None:
    if error is None:
        assert len(unpacked(body, encoding, 1_000_000, allowed=True)) <= 1_000_000
        return
    with pytest.raises(error):
        unpacked(body, encoding, 1_000_000, allowed=True)


def test_a_hundredfold_is_too_much_whatever_the_limit() -> None:
    with pytest.raises(TooLarge):
        unpacked(gzip.compress(b"\x00" * 3_000_000, mtime=0), "gzip", 60_000_000, allowed=True)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/a",
        "a/",
        "a//b",
        "a/../b",
        ".",
        "{}",
        "{A}",
        "{a}{b}",
        "a{b}",
        "{a}/{a}",
        "ä",
        "a b",
        "a" * 201,
        "/".join("a" * 21),
    ],
)
def test_a_path_that_cannot_be_one_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"has|begins|names"):
        read_path(path)


@pytest.mark.parametrize(
    ("peer", "headers", "client", "host", "scheme"),
    [
        ("198.51.100.1", {"x-forwarded-for": "1.2.3.4", "host": "h"}, "198.51.100.1", "h", "http"),
        ("10.0.0.1", {"x-forwarded-for": "1.2.3.4", "x-forwarded-host": "o", "x-forwarded-proto": "https"}, "1.2.3.4", "o", "https"),
        ("10.0.0.1", {"x-forwarded-for": "6.6.6.6, 1.2.3.4, 10.0.0.2"}, "1.2.3.4", "", "http"),
        ("10.0.0.1", {"x-forwarded-for": "10.0.0.3, 10.0.0.2"}, "10.0.0.3", "", "http"),
        ("10.0.0.1", {"forwarded": 'for="[2001:db8::1]:99";host=o;proto=https, for=10.0.0.9'}, "2001:db8::1", "", "http"),
        ("10.0.0.1", {"forwarded": "for=unknown"}, "unknown", "", "http"),
        ("10.0.0.1", {}, "10.0.0.1", "", "http"),
        ("10.0.0.1", {"forwarded": "for=6.6.6.6", "x-forwarded-for": "1.2.3.4"}, "", "", "http"),
        ("10.0.0.1", {"forwarded": "for=1.2.3.4", "x-forwarded-for": "1.2.3.4, 10.0.0.2"}, "1.2.3.4", "", "http"),
    ],
)  # fmt: skip
def test_proxies_are_believed_where_they_are_trusted(
    peer: str, headers: dict[str, str], client: str, host: str, scheme: str
) -> None:
    sender = Proxies(["10.0.0.0/8"]).sender(peer, headers, "http")
    assert (sender.client, sender.host, sender.scheme) == (client, host, scheme)


@given(st.text(max_size=60), st.sampled_from(["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"]))
def test_whatever_a_trusted_proxy_passes_on_is_read(text: str, name: str) -> None:
    sender = Proxies(["10.0.0.0/8"]).sender("10.0.0.1", {name: text}, "http")
    assert sender.trusted

"""The operator's outbound proxy, over every sender: used for all, exempt itself, and no way round the address policy."""

from __future__ import annotations

import ssl

import pytest
import trustme

from server.kernel.errors import Permanent, Retryable
from server.transport.addresses import AddressPolicy
from server.transport.failures import dns_failed
from server.transport.proxy import Proxy
from tests.support.proxy import OutboundProxy
from tests.transport.receiver import Receiver
from tests.transport.senders import send_async

RECEIVER = ["127.0.0.2/32"]  # the proxy's 127.0.0.1 is not in it


def unknown(host, _port):
    """Know the proxy only, as in a network that has names for nothing else."""
    if host == "proxy.test":
        return ["127.0.0.1"]
    raise dns_failed(host, "no such name")


@pytest.fixture(scope="module")
def inside():
    with Receiver("127.0.0.2") as running:
        yield running


@pytest.fixture
def proxy():
    with OutboundProxy(routes={"receiver.test": "127.0.0.2"}) as running:
        yield running


def at(proxy, credentials=""):
    return Proxy.read(f"http://{credentials}127.0.0.1:{proxy.port}")


def through(proxy, networks=()):
    return AddressPolicy(networks, proxy=proxy)


def test_a_plain_request_goes_to_the_proxy_with_its_whole_address(send, proxy, inside):
    answer = send(inside.url("/echo?a=b"), policy=through(at(proxy), RECEIVER), method="POST", body=b"{}")
    assert answer.status == 200
    assert proxy.heads[0].startswith(f"POST http://127.0.0.2:{inside.port}/echo?a=b HTTP/1.1\r\n".encode())
    assert f"Host: 127.0.0.2:{inside.port}\r\n".encode() in proxy.heads[0]
    assert inside.body == b"{}"


def test_tls_goes_through_a_tunnel_and_is_verified_end_to_end(send, proxy):
    authority = trustme.CA()
    serving, trusting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("receiver.test").configure_cert(serving)
    authority.configure_trust(trusting)
    with Receiver("127.0.0.2", tls=serving) as receiver:
        url = receiver.url(host="receiver.test")
        answer = send(url, policy=through(at(proxy)), tls=trusting, lookup=unknown, times=2)
        assert answer.body == b"ok"
        assert [head.split(b" HTTP")[0] for head in proxy.heads] == [f"CONNECT receiver.test:{receiver.port}".encode()]
        with pytest.raises(Retryable) as failed:
            send(url, policy=through(at(proxy)), lookup=unknown)
        assert failed.value.code == "TLS_FAILED"


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "[::ffff:127.0.0.1]", "private.test"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_is_no_way_round_the_address_policy(send, proxy, scheme, host):
    with pytest.raises(Permanent) as refused:
        send(f"{scheme}://{host}:8080/", policy=through(at(proxy)), lookup=lambda _host, _port: ["10.0.0.1"])
    assert refused.value.code == "ADDRESS_REFUSED"
    assert not proxy.heads


def test_a_name_that_only_the_proxy_knows_is_left_to_the_proxy(send, proxy, inside):
    named = Proxy("proxy.test", proxy.port)
    url = inside.url(host="receiver.test")
    assert send(url, policy=through(named), lookup=unknown).body == b"ok"


def test_credentials_are_shown_to_the_proxy_and_to_nobody_else(send, inside):
    with OutboundProxy("Basic bWU6cEBzcw==") as proxy:
        assert send(inside.url(), policy=through(at(proxy, "me:p%40ss@"), RECEIVER)).status == 200
        with pytest.raises(Retryable) as refused:
            send(inside.url(), policy=through(at(proxy, "me:wrong@"), RECEIVER))
        assert refused.value.code == "PROXY_FAILED"
        assert "wrong" not in f"{refused.value!r} {at(proxy, 'me:wrong@')!r}"
        with pytest.raises(Retryable) as refused:
            send(inside.url().replace("http:", "https:"), policy=through(at(proxy), RECEIVER))
        assert (refused.value.code, "407" in refused.value.message) == ("PROXY_FAILED", True)


@pytest.mark.parametrize(
    "refusal",
    [b"HTTP/1.1 403 Forbidden\r\n\r\n", b"garbage\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
     b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000],
)  # fmt: skip
def test_a_proxy_that_refuses_is_a_failure_that_may_pass(send, inside, refusal):
    with OutboundProxy(refusal=refusal or b"HTTP") as proxy, pytest.raises(Retryable) as failed:
        send(inside.url().replace("http:", "https:"), policy=through(at(proxy), RECEIVER))
    assert failed.value.code == "PROXY_FAILED"


def test_a_proxy_that_is_away_is_a_failure_that_may_pass(send, inside):
    with OutboundProxy() as proxy:
        gone = at(proxy)
    with pytest.raises(Retryable) as failed:
        send(inside.url(), policy=through(gone, RECEIVER))
    assert failed.value.code == "PROXY_FAILED"


def test_connections_to_different_receivers_are_not_mixed_up_behind_the_proxy(proxy, inside, receiver):
    for url, networks in ((inside.url("/status/201"), RECEIVER), (receiver.url("/status/202"), ["127.0.0.1/32"])):
        assert send_async(url, policy=through(at(proxy), networks), times=2).status == int(url[-3:])


@pytest.mark.parametrize(
    "text",
    ["https://p.test:3128", "socks5://p.test:1080", "p.test:3128", "http://p.test", "http://:3128", "http://p.test:99999",
     "http://p.test:3128/x", "http://p.test:3128?x", "http://[::1:3128", "http://p q.test:3128", "http://p.test:1#s3cret"],
)  # fmt: skip
def test_what_names_no_proxy_is_refused_without_repeating_it(text):
    with pytest.raises(ValueError, match="user:password@") as refused:
        Proxy.read(text)
    assert "s3cret" not in str(refused.value)


def test_a_proxy_is_read_with_its_credentials():
    assert Proxy.read("") is None
    assert Proxy.read("http://[::1]:3128/") == Proxy("::1", 3128)
    assert Proxy.read("http://user:a%3Ab@p.test:8080") == Proxy("p.test", 8080, "Basic dXNlcjphOmI=")

"""The SSRF corpus of the reliability notes, over every sender: what must not be reached is not reached."""

from __future__ import annotations

import socket

import pytest

from server.kernel.errors import Permanent, Retryable
from server.transport.addresses import AddressPolicy
from tests.transport.receiver import Receiver
from tests.transport.senders import LOOPBACK, PUBLIC_ONLY, no_lookup

LITERALS = [
    "127.0.0.1", "127.1", "0", "0.0.0.0", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001",  # noqa: S104 - refused, not bound
    "127.000.000.001", "127.0.0.1.", "localhost", "localhost.", "LOCALHOST", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::1]", "[2001:0:7f00:1::1]", "[fe80::1%25lo]", "[fe80::1%lo]", "[fe80::1]", "[fd00::1]", "[fec0::1]",
    "[ff02::1]", "[2001:db8::1]", "[100::1]", "[5f00::1]", "[2001:2::1]", "[2001:10::1]", "[3fff::1]",
    "169.254.169.254", "[fd00:ec2::254]", "100.100.100.200", "168.63.129.16", "192.0.0.192", "169.254.170.2",
    "[::ffff:169.254.169.254]", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1",
    "100.127.255.255", "198.18.0.1", "198.19.255.255", "192.0.2.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "239.255.255.255", "240.0.0.1", "255.255.255.255", "192.88.99.1",
]  # fmt: skip
ADDRESSES = {
    "loopback": "127.0.0.1",
    "loopback-2": "127.8.8.8",
    "metadata": "169.254.169.254",
    "private-10": "10.1.2.3",
    "private-172": "172.20.0.1",
    "private-192": "192.168.1.1",
    "carrier-grade": "100.64.0.1",
    "zero": "0.0.0.0",  # noqa: S104 - as above
    "v6-loopback": "::1",
    "v6-any": "::",
    "mapped": "::ffff:127.0.0.1",
    "compatible": "::127.0.0.1",
    "nat64": "64:ff9b::7f00:1",
    "six-to-four": "2002:7f00:1::1",
    "teredo": "2001:0:5ef5:79fb:0:0:80ff:fffe",
    "isatap": "2620:0:1:2:0:5efe:7f00:1",
    "ula": "fd12:3456::1",
    "site-local": "fec0::1",
    "link-local": "fe80::1",
    "link-local-zone": "fe80::1%lo",
}
CONFUSING = [
    "http://good.test@127.0.0.1:{port}/ok",
    "http://127.0.0.1:{port}#@good.test/ok",
    "http://127.0.0.1:{port}\\@good.test/ok",
    "http://good.test\\@127.0.0.1:{port}/ok",
    "http://127.0.0.1:{port}%2f@good.test/ok",
    "http://①②⑦.⓪.⓪.①:{port}/ok",
    "http://127.0.0.1:{port}/ok",
    "http://127。0。0。1:{port}/ok",
    "http://ⓛⓞⓞⓟ.test:{port}/ok",
    "http://127.0.0.1\t:{port}/ok",
    "http://127.0.0.1 :{port}/ok",
    "http://\r\n127.0.0.1:{port}/ok",
    "http://127.0.0.1:{port}/ok HTTP/1.1\r\nX: y",
    "http:///127.0.0.1:{port}/ok",
    "http:127.0.0.1:{port}/ok",
    "//127.0.0.1:{port}/ok",
    "http://[127.0.0.1]:{port}/ok",
    "http://127.0.0.1:{port}:80/ok",
    "http://127.0.0.1:0/ok",
    "http://127.0.0.1:99999/ok",
    "http://:{port}/ok",
    "http://a..b:{port}/ok",
    "http://-a-:{port}/ok",
    f"http://{'a' * 64}.test:{{port}}/ok",
    "http://\udc80.test/",
    "http://good.test/" + "a" * 2048,
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_x",
    "ftp://127.0.0.1/",
    "dict://127.0.0.1:{port}/",
    "unix:///run/docker.sock",
    "http+unix://%2frun%2fdocker.sock/",
    "",
]


def answers(**names):
    """A look-up that answers for these names, each time with the next list of addresses."""
    left = {name: iter(lists) for name, lists in names.items()}

    def lookup(host, _port):
        return next(left[host.partition(".")[0]])

    return lookup


@pytest.mark.parametrize("host", LITERALS)
def test_a_host_that_is_not_public_is_never_reached(send, receiver, host):
    before = receiver.connections
    with pytest.raises((Permanent, Retryable)) as refused:
        send(f"http://{host}:{receiver.port}/ok", policy=PUBLIC_ONLY)
    no_such_name = "DNS_FAILED" if host == "localhost." else ""  # not every resolver knows the name with its dot
    assert refused.value.code in {"ADDRESS_REFUSED", "URL_REFUSED", no_such_name}
    assert receiver.connections == before


@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES.keys())
def test_a_name_that_leads_to_such_an_address_is_refused(send, receiver, address):
    before = receiver.connections
    with pytest.raises(Permanent) as refused:
        send(receiver.url(host="trap.test"), policy=PUBLIC_ONLY, lookup=answers(trap=[[address]]))
    assert refused.value.code == "ADDRESS_REFUSED"
    assert receiver.connections == before


@pytest.mark.parametrize("order", [["93.184.216.34", "127.0.0.1"], ["127.0.0.1", "93.184.216.34"]])
def test_one_refused_answer_refuses_the_name(send, receiver, order):
    before = receiver.connections
    with pytest.raises(Permanent) as refused:
        send(receiver.url(host="mixed.test"), policy=PUBLIC_ONLY, lookup=answers(mixed=[order]))
    assert refused.value.code == "ADDRESS_REFUSED"
    assert receiver.connections == before


def test_a_name_that_moves_after_it_was_vetted_is_not_followed(send):
    allowed = AddressPolicy(["127.0.0.2/32"])
    with Receiver("127.0.0.2") as first, Receiver("127.0.0.1") as second:
        lookup = answers(rebind=[["127.0.0.2"], ["127.0.0.1"], ["127.0.0.1"]])
        assert send(first.url("/close", host="rebind.test"), policy=allowed, lookup=lookup).status == 200
        with pytest.raises(Permanent) as refused:
            send(second.url("/close", host="rebind.test"), policy=allowed, lookup=lookup)
        assert refused.value.code == "ADDRESS_REFUSED"
        assert second.connections == 0


@pytest.mark.parametrize("host", ["trap.test", "trap.test."])
def test_a_trailing_dot_changes_nothing(send, receiver, host):
    with pytest.raises(Permanent) as refused:
        send(receiver.url(host=host), policy=PUBLIC_ONLY, lookup=answers(trap=[["127.0.0.1"]]))
    assert refused.value.code == "ADDRESS_REFUSED"


@pytest.mark.parametrize("url", CONFUSING)
def test_a_url_that_parsers_read_differently_is_refused_before_any_look_up(send, receiver, url):
    before = receiver.connections
    with pytest.raises(Permanent) as refused:
        send(url.replace("{port}", str(receiver.port)), policy=PUBLIC_ONLY, lookup=no_lookup)
    assert refused.value.code in {"URL_REFUSED", "ADDRESS_REFUSED"}
    assert receiver.connections == before


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "to",
    [
        "http://127.0.0.1:1/",
        "http://169.254.169.254/",
        "//[::1]/",
        "http://rebind.test/",
        "file:///etc/passwd",
        "gopher://x/",
    ],
)
def test_a_redirect_is_an_answer_and_is_not_followed(send, receiver, status, to):
    before = receiver.connections
    answer = send(receiver.url(f"/redirect/{status}?to={to}"), lookup=no_lookup)
    assert answer.status == status
    assert receiver.connections == before + 1


def test_an_allowed_network_is_reached_and_its_neighbour_is_not(send, receiver):
    assert send(receiver.url(), policy=AddressPolicy(["127.0.0.1/32"])).body == b"ok"
    with pytest.raises(Permanent):
        send(receiver.url(), policy=AddressPolicy(["127.0.0.2/32"]))


def test_a_name_in_an_allowed_network_is_reached_with_its_own_host_header(send, receiver):
    answer = send(receiver.url("/echo", host="inside.test"), lookup=answers(inside=[["127.0.0.1"]]))
    assert f"Host: inside.test:{receiver.port}\r\n".encode() in answer.body


def test_ipv6_is_reached_where_it_is_allowed(send):
    with Receiver("::1") as receiver:
        assert send(receiver.url()).body == b"ok"
        with pytest.raises(Permanent):
            send(receiver.url(), policy=PUBLIC_ONLY)


def test_the_next_address_is_tried_when_the_first_takes_no_connection(send, receiver):
    lookup = answers(two=[["127.0.0.9", "127.0.0.1"]])
    assert send(receiver.url(host="two.test"), lookup=lookup).body == b"ok"


def test_the_system_resolver_is_asked_for_real_names(send, receiver):
    assert send(receiver.url(host="localhost")).body == b"ok"


def test_a_proxy_or_netrc_of_the_environment_is_not_used(send, receiver, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    answer = send(receiver.url("/echo"))
    assert b"Authorization" not in answer.body


def test_cookies_are_not_kept(send, receiver):
    send(receiver.url("/cookie"), times=2)
    assert b"cookie:" not in receiver.requests[-1].lower()


def test_connections_are_reused(send):
    with Receiver() as receiver:
        send(receiver.url(), times=5)
        assert (len(receiver.requests), receiver.connections) == (5, 1)


def test_a_public_address_is_dialled(send, monkeypatch):
    dialled = []

    def refuse(self, address):
        dialled.append(address[0])
        raise ConnectionRefusedError(111, "refused")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for host in ("93.184.216.34", "[2606:2800:220:1::1]"):
        with pytest.raises(Retryable) as failed:
            send(f"http://{host}:8080/", policy=PUBLIC_ONLY)
        assert failed.value.code == "CONNECT_FAILED"
    assert dialled == ["93.184.216.34", "2606:2800:220:1::1"]


def test_a_loopback_policy_does_not_open_metadata(send):
    for address in ("169.254.169.254", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]"):
        with pytest.raises(Permanent) as refused:
            send(f"http://{address}/latest/meta-data/", policy=AddressPolicy(["0.0.0.0/0", "::/0"]))
        assert refused.value.code == "ADDRESS_REFUSED"
    assert LOOPBACK.refusal("169.254.169.254") is not None

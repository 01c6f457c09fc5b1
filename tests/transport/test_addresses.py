"""The address policy: public by default, allowed networks on top, metadata never."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.kernel.errors import Permanent
from server.transport.addresses import METADATA, PUBLIC_V6, AddressPolicy, embedded_v4, own_addresses
from server.transport.urls import vet_url

PUBLIC = AddressPolicy(own=frozenset())


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "93.184.216.34", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0", "11.0.0.0",
     "192.167.255.255", "198.17.255.255", "198.20.0.0", "223.255.255.255", "2606:2800:220:1:248:1893:25c8:1946",
     "2a00:1450:4001:830::200e", "2001:4860:4860::8888", "2001:200::1"],
)  # fmt: skip
def test_a_public_address_may_be_reached(address):
    PUBLIC.vet(address)


@pytest.mark.parametrize(("port", "reached"), [(80, True), (443, True), (8000, True), (8443, True), (9000, True),
                                               (22, False), (25, False), (6379, False), (9001, False), (65535, False)])  # fmt: skip
def test_a_public_address_is_reached_at_ordinary_ports_only(port, reached):
    assert (PUBLIC.refusal("1.1.1.1", port) is None) == reached


def test_an_allowed_network_is_reached_at_any_port():
    AddressPolicy(["10.1.0.0/16"]).vet("10.1.2.3", 22)
    assert AddressPolicy(["10.1.0.0/16"]).refusal("10.2.2.3", 80)


@pytest.mark.parametrize("address", sorted(map(str, METADATA)))
def test_metadata_is_refused_whatever_is_allowed(address):
    everything = AddressPolicy(["0.0.0.0/0", "::/0", f"{address}/{128 if ':' in address else 32}"])
    assert everything.refusal(address)
    if ":" not in address:
        number = int(IPv4Address(address))
        for prefix in ("::ffff:", "64:ff9b::", "::"):
            assert everything.refusal(f"{prefix}{number >> 16:x}:{number & 0xFFFF:x}")


def test_an_address_that_carries_another_must_be_allowed_in_both_shapes():
    assert AddressPolicy(["64:ff9b::/96"]).refusal("64:ff9b::7f00:1")
    AddressPolicy(["64:ff9b::/96"], own=frozenset()).vet("64:ff9b::101:101")
    AddressPolicy(["64:ff9b::/96", "127.0.0.0/8"]).vet("64:ff9b::7f00:1")
    AddressPolicy(["::1/128"]).vet("::1")


def test_the_machine_itself_is_not_reached_by_its_public_address():
    mine = IPv4Address("93.184.216.34")
    assert AddressPolicy(own=frozenset({mine})).refusal(str(mine))
    AddressPolicy([f"{mine}/32"], own=frozenset({mine})).vet(str(mine))
    assert IPv4Address("127.0.0.1") in own_addresses()


@pytest.mark.parametrize(
    "text", ["", "localhost", "127.1", "0x7f000001", "fe80::1%lo", "1.1.1.1 ", "①.1.1.1", "1.1.1.1/32"]
)
def test_only_a_numeric_address_is_vetted(text):
    with pytest.raises(Permanent) as refused:
        PUBLIC.vet(text)
    assert refused.value.code == "ADDRESS_REFUSED"


@pytest.mark.parametrize("network", ["10.0.0.1/8", "10.0.0.0/33", "everything", ""])
def test_a_network_that_is_none_is_an_error_at_once(network):
    with pytest.raises(ValueError):  # noqa: PT011 - the library's own sentences differ
        AddressPolicy([network])


def test_equal_policies_are_interchangeable_and_a_ceiling_holds():
    assert AddressPolicy(["10.0.0.0/8", "::1/128"]) == AddressPolicy(["::1/128", "10.0.0.0/8"])
    assert hash(AddressPolicy(["10.0.0.0/8"])) == hash(AddressPolicy(["10.0.0.0/8"]))
    assert AddressPolicy(["10.0.0.0/8"]) != AddressPolicy(["10.0.0.0/9"])
    assert AddressPolicy(["10.1.0.0/16"]).within(["10.0.0.0/8", "::1/128"])
    assert not AddressPolicy(["10.1.0.0/16", "192.168.0.0/24"]).within(["10.0.0.0/8"])
    assert not AddressPolicy(["::1/128"]).within(["0.0.0.0/0"])


@given(st.integers(0, 2**32 - 1))
def test_an_ipv4_address_is_never_taken_that_the_standard_library_calls_private(number):
    address = IPv4Address(number)
    if PUBLIC.refusal(str(address)) is None:
        assert address.is_global
        assert not address.is_multicast


@given(st.integers(0, 2**128 - 1))
def test_an_ipv6_address_is_never_taken_outside_of_global_unicast(number):
    address = IPv6Address(number)
    if PUBLIC.refusal(str(address)) is None:
        assert address in PUBLIC_V6
        assert not embedded_v4(address)


@given(st.integers(0, 2**32 - 1))
def test_no_wrapping_makes_a_refused_address_reachable(number):
    low = f"{number >> 16:x}:{number & 0xFFFF:x}"
    for wrapped in (
        f"::ffff:{low}",
        f"::{low}",
        f"64:ff9b::{low}",
        f"64:ff9b:1::{low}",
        f"2002:{low}::1",
        f"::ffff:0:{low}",
    ):
        assert PUBLIC.refusal(wrapped)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com", ("https://example.com/", "https", "example.com", 443, False)),
        ("HTTP://Example.COM:8080/a?b=c#d", ("http://Example.COM:8080/a?b=c", "http", "Example.COM", 8080, False)),
        ("http://[::1]:80/", ("http://[::1]:80/", "http", "::1", 80, True)),
        ("http://10.0.0.1?x", ("http://10.0.0.1/?x", "http", "10.0.0.1", 80, True)),
        ("http://a_b.test./ü?q=ö&r=%20", ("http://a_b.test./%C3%BC?q=%C3%B6&r=%20", "http", "a_b.test.", 80, False)),
        (
            "https://xn--bcher-kva.example/",
            ("https://xn--bcher-kva.example/", "https", "xn--bcher-kva.example", 443, False),
        ),
    ],
)
def test_a_url_is_taken_apart(url, target):
    assert vet_url(url)[:5] == target


@given(st.text(max_size=80))
def test_any_text_is_a_target_or_refused(text):
    for url in (text, f"http://{text}", f"https://host.test/{text}"):
        try:
            target = vet_url(url)
        except Permanent as refused:
            assert refused.code == "URL_REFUSED"  # noqa: PT017 - either outcome is right
        else:
            assert target.url.isascii()
            assert vet_url(target.url)[1:] == target[1:]

"""Every scheme has requests that others made: they are taken as they came, and refused with any byte changed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from server.kernel.errors import Permanent, Unauthenticated
from server.webhooks.inbound.arrived import Arrived
from server.webhooks.verifiers.registry import schemes

VECTORS = [
    pytest.param(scheme, vector, id=f"{scheme.name}: {vector.about}")
    for scheme in schemes().values()
    for vector in scheme.vectors
]
PROVING = [each for each in VECTORS if each.values[0].name != "none" and each.values[1].accepted]


def made_of(scheme, vector):
    def fetch(url, *, anew=False):
        if url not in vector.fetched:
            raise Permanent("no 200")
        return vector.fetched[url]

    return scheme.make({"scheme": scheme.name, **vector.declared}, vector.keys, fetch)


def refused(verify, request, now):
    with pytest.raises(Unauthenticated) as error:
        verify.verify(request, now)
    return (error.value.code, error.value.message) == ("SIGNATURE_REFUSED", "the signature is refused")


@pytest.mark.parametrize("scheme", schemes().values(), ids=schemes())
def test_every_scheme_has_a_vector_that_it_accepts(scheme):
    assert any(each.accepted for each in scheme.vectors)


@pytest.mark.parametrize(("scheme", "vector"), VECTORS)
def test_a_vector_is_taken_or_refused_as_it_says(scheme, vector):
    verify, request = made_of(scheme, vector), Arrived(**vector.request)
    if vector.accepted:
        verify.verify(request, vector.now)
    else:
        assert refused(verify, request, vector.now)


@pytest.mark.parametrize(("scheme", "vector"), PROVING)
def test_a_vector_without_any_of_its_headers_is_refused(scheme, vector):
    bare = replace(Arrived(**vector.request), headers={}, query="", client="", peer_trusted=False)
    assert refused(made_of(scheme, vector), bare, vector.now)

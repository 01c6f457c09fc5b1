from __future__ import annotations

import pytest

from tests.transport.receiver import Receiver
from tests.transport.senders import SENDERS


@pytest.fixture(params=list(SENDERS))
def send(request):
    """Each sender in turn."""
    return SENDERS[request.param]


@pytest.fixture(scope="module")
def receiver():
    """A misbehaving receiver at 127.0.0.1."""
    with Receiver() as running:
        yield running

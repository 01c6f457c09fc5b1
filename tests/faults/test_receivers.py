"""Receivers that answer what cannot be kept: they cost themselves a try, and nobody else anything."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from tests.support.product import Product, until
from tests.support.receiver import Answer, Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def product(database_url: str) -> Iterator[Product]:
    product = Product(database_url)
    yield product
    product.close()


@pytest.fixture
def odd_receiver() -> Iterator[str]:
    """Answer with a reason, a header and a body that are no text; the URL."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(65_536)
                connection.sendall(
                    b"HTTP/1.1 200 \xff\r\nX-Odd: \xff\xed\xa0\x80\r\nContent-Length: 2\r\nConnection: close\r\n\r\n\x00\xff"
                )

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}"
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(5)


def test_an_answer_that_is_no_text_is_kept_as_far_as_it_goes(product: Product, odd_receiver: str) -> None:
    product.webhook("odd", odd_receiver)
    product.publish({})
    with product.worker():
        until(lambda: product.states() == {"delivered": 1})
    [row] = product.rows("SELECT response_headers, response_body FROM attempts")
    assert row.response_headers["X-Odd"] == "\ufffd" * 4
    assert bytes(row.response_body) == b"\x00\xff"


def test_an_outcome_that_cannot_be_stored_fails_alone(product: Product) -> None:
    with product.core.engine.engine.begin() as conn:  # a status that the ledger does not take
        conn.execute(text("RESET ROLE"))
        conn.execute(text("ALTER TABLE attempts ADD CHECK (status <> 299)"))
    with Receiver() as bad, Receiver() as good:
        bad.answer = Answer(299)
        product.webhook("bad", bad.url)
        product.webhook("good", good.url)
        product.publish({})
        with product.worker():
            until(lambda: product.rows("SELECT 1 FROM attempts WHERE status IS NULL"), 30)
            until(lambda: product.states() == {"delivered": 1, "pending": 1})
    [row] = product.rows("SELECT error ->> 'code' AS code, attempts FROM deliveries WHERE state = 'pending'")
    assert (row.code, row.attempts) == ("INTERNAL", 1)


def test_a_worker_raises_its_limit_of_open_files() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    code = """if True:
        import resource
        from server.transport.limits import allow_open_files
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        print(allow_open_files())
    """
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert int(shown) == (hard if hard != resource.RLIM_INFINITY else 1_048_576)

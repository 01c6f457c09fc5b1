from __future__ import annotations

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from server.telemetry import traces
from tests.support.product import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from tests.support.product import Product
    from tests.support.receiver import Receiver

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Collector:
    """A real OTLP/HTTP receiver that keeps what it was sent."""

    def __init__(self) -> None:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    import gzip

                    body = gzip.decompress(body)
                collector.requests.append((self.path, ExportTraceServiceRequest.FromString(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.requests: list[tuple[str, ExportTraceServiceRequest]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for _, request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    traces.configure(collector.url, "api")
    yield collector
    traces.shutdown()
    collector.server.shutdown()
    collector.server.server_close()


def attributes(span: Span) -> dict[str, object]:
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in span.attributes}


def test_spans_arrive_nested_and_below_the_parent_of_the_request(collector: Collector) -> None:
    with traces.span("request", traceparent=PARENT, route="/api/v1/events"):
        inside = traces.traceparent()
        with traces.span("publish", count=3):
            pass
    traces.shutdown()
    assert {path for path, _ in collector.requests} == {"/v1/traces"}
    publish, request = collector.spans
    assert (publish.name, request.name) == ("publish", "request")
    assert request.trace_id.hex() == publish.trace_id.hex() == PARENT.split("-")[1]
    assert request.parent_span_id.hex() == PARENT.split("-")[2]
    assert publish.parent_span_id == request.span_id
    assert inside == f"00-{request.trace_id.hex()}-{request.span_id.hex()}-01"
    assert attributes(publish) == {"count": 3}


def test_a_request_and_the_delivery_that_it_owes_are_spans(
    collector: Collector, product: Product, receiver: Receiver
) -> None:
    product.webhook("hook", receiver.url)
    client = product.client()
    event = {"type": "order.created", "data": {}, "correlation_id": "corr-1"}
    assert client.post("/api/v1/events?x=secret", json=event).status_code == 422
    assert client.post("/api/v1/events", json=event, headers={"traceparent": PARENT}).status_code == 202
    with product.worker():
        until(lambda: product.states() == {"delivered": 1})
    traces.shutdown()
    spans = {span.name: span for span in collector.spans}
    assert spans["HTTP POST"].trace_id.hex() == PARENT.split("-")[1]
    assert attributes(spans["HTTP POST"])["url.path"] == "/api/v1/events"
    delivery = attributes(spans["webhook delivery"])
    assert (delivery["crossdock.webhook"], delivery["crossdock.correlation_id"]) == ("hook", "corr-1")
    assert "secret" not in str(collector.spans)


def test_no_span_carries_a_credential(collector: Collector) -> None:
    with traces.span(
        "call",
        url="https://user:canary@example.com/path?token=canary#canary",
        path="/x?api_key=canary",
        authorization="Bearer canary123",
        note="used whsec_canarycanary",
    ):
        pass
    with pytest.raises(ValueError, match="canary"), traces.span("fails"):
        raise ValueError("refused https://user:canary@example.com")
    traces.shutdown()
    assert "canary" not in str(collector.requests)
    call, fails = collector.spans
    assert attributes(call)["url"] == "https://example.com/path"
    assert attributes(call)["path"] == "/x"
    assert fails.status.code == 2
    assert fails.events[0].name == "exception"


def test_without_a_collector_nothing_is_loaded_and_nothing_happens() -> None:
    program = (
        "import sys; from server.telemetry import traces\n"
        "traces.configure('', 'api')\n"
        "with traces.span('x', url='y'): print(repr(traces.traceparent()))\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["''", "[]"]


def test_a_collector_that_is_away_holds_nobody_up() -> None:
    traces.configure("http://127.0.0.1:9", "api")
    with traces.span("x"):
        pass
    traces.shutdown()


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        (PARENT, PARENT),
        ("", ""),
        ("00-00000000000000000000000000000000-b7ad6b7169203331-01", ""),
        ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", ""),
        ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", ""),
        (PARENT.upper(), ""),
        (PARENT + "\r\nx: y", ""),
    ],
)
def test_only_a_valid_traceparent_is_taken(text: str, taken: str) -> None:
    assert traces.read_traceparent({"traceparent": text}) == taken


@pytest.mark.parametrize(
    ("url", "stripped"),
    [
        ("https://u:p@example.com:8443/a/b?c=d#e", "https://example.com:8443/a/b"),
        ("http://[::1]:80/x?y", "http://[::1]:80/x"),
        ("http://[", "[redacted]"),
        ("", ""),
    ],
)
def test_an_address_loses_query_and_password(url: str, stripped: str) -> None:
    assert traces.strip_url(url) == stripped

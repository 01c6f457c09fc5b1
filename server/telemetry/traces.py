"""Traces by OpenTelemetry, sent over OTLP/HTTP when OTEL_EXPORTER_OTLP_ENDPOINT is set; else a span costs nothing.

The libraries are loaded only then. A trace crosses processes as the W3C `traceparent`: it is taken from a request,
kept in the rows of due work, and given to the systems that we call. Addresses lose their query and password before
they are kept.
"""

from __future__ import annotations

import atexit
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from server.telemetry.redaction import HIDDEN, hides, redact_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class _Tracing:
    """The tracer of this process; None while traces go nowhere."""

    tracer: Any = None
    provider: Any = None
    pid: int = 0


def configure(endpoint: str, process: str, version: str = "") -> None:
    """Send the spans of this process to a collector; an empty `endpoint` sends none. Call it after any fork."""
    if not endpoint or _Tracing.pid == os.getpid():
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 (see above)
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    names = {"service.name": "crossdock", "service.instance.id": f"{process}-{os.getpid()}", "service.version": version}
    provider = TracerProvider(resource=Resource.create(names), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _Tracing.provider, _Tracing.tracer, _Tracing.pid = provider, provider.get_tracer("crossdock"), os.getpid()
    atexit.register(shutdown)


def on() -> bool:
    """Tell whether spans go anywhere; what is on a hot path asks first."""
    return _Tracing.tracer is not None


def shutdown() -> None:
    """Send what is left and stop: part of a graceful end."""
    provider = _Tracing.provider
    _Tracing.tracer = _Tracing.provider = None
    _Tracing.pid = 0
    if provider is not None:
        provider.shutdown()


@contextmanager
def span(name: str, traceparent: str = "", **attributes: Any) -> Iterator[None]:
    """Measure what happens inside `with`, below `traceparent` when one is given, else below the span around it.

    An exception is recorded by its class and redacted message, and goes on.
    """
    tracer = _Tracing.tracer
    if tracer is None:
        yield
        return
    from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415 (see above)

    cleaned = {key: _clean(key, value) for key, value in attributes.items() if value is not None}
    with tracer.start_as_current_span(
        name, context=_context(traceparent), attributes=cleaned, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except BaseException as error:  # whatever it was, the span says so and the caller handles it
            message = redact_text(str(error))
            current.add_event("exception", {"exception.type": type(error).__qualname__, "exception.message": message})
            current.set_status(Status(StatusCode.ERROR, message))
            raise


def traceparent() -> str:
    """Return the present span as a `traceparent` to keep or to send; empty without one."""
    if _Tracing.tracer is None:
        return ""
    from opentelemetry.trace import get_current_span  # noqa: PLC0415 (see above)

    context = get_current_span().get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def read_traceparent(headers: Mapping[str, str]) -> str:
    """Return the valid `traceparent` of a request's headers, else nothing."""
    text = (headers.get("traceparent") or "").strip()
    return text if _TRACEPARENT.fullmatch(text) else ""


def strip_url(url: str) -> str:
    """Return a URL without query, fragment, user and password."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))
    except ValueError:
        return HIDDEN


def _clean(key: str, value: Any) -> str | bool | int | float:
    if hides(key):
        return HIDDEN
    if isinstance(value, bool | int | float):
        return value
    text = str(value)
    return redact_text(
        strip_url(text)
        if "://" in text and " " not in text
        else text.partition("?")[0]
        if text.startswith("/")
        else text
    )


def _context(parent: str) -> Any:
    if not _TRACEPARENT.fullmatch(parent):
        return None
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context  # noqa: PLC0415

    _, trace, above, flags = parent.split("-")
    remote = SpanContext(int(trace, 16), int(above, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
    return set_span_in_context(NonRecordingSpan(remote))

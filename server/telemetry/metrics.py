"""Prometheus metrics: declared once with their meaning, counted in every process, shown by one.

A capability declares what it counts beside the code that counts it; the reference page is made from `declared()`:

    ATTEMPTS = counter("crossdock_delivery_attempts_total", "Attempts that ended.", "workspace", "outcome")
    ATTEMPTS.add(workspace="default/default", outcome="delivered")

Processes that share a machine share the figures through files in PROMETHEUS_MULTIPROC_DIR, which the supervisor
sets and empties. What only the database knows (backlogs, ages) is handed to `render` by a callable and asked for
when it is shown.
"""

from __future__ import annotations

import os
import shutil
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
"""Buckets for durations from a database call to a retry."""

_SERIES_LIMIT = 2000
_OTHER = "other"
_declared: dict[str, Metric] = {}
_lock = threading.Lock()

Kind: TypeAlias = Literal["counter", "histogram", "gauge"]


@dataclass(slots=True)
class Metric:
    """One named metric. At most 2,000 sets of label values are kept apart in a process; the rest counts as `other`."""

    name: str
    kind: Kind
    about: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = SECONDS
    _parent: Any = None
    _children: dict[tuple[str, ...], Any] = field(default_factory=dict)

    def add(self, amount: float = 1, **labels: str) -> None:
        """Raise a counter."""
        self._child(labels).inc(amount)

    def observe(self, value: float, **labels: str) -> None:
        """Put one figure, in seconds for durations, into a histogram."""
        self._child(labels).observe(value)

    def _child(self, labels: dict[str, str]) -> Any:
        values = tuple(labels[name] for name in self.labels)
        child = self._children.get(values)
        return self._make(values) if child is None else child

    def _make(self, values: tuple[str, ...]) -> Any:
        """Make a series on its first use: nothing is made at import, when the folder is not known yet."""
        with _lock:
            if self._parent is None:
                self._parent = self._build()
            if len(self._children) >= _SERIES_LIMIT:
                values = (_OTHER,) * len(values)
            if values not in self._children:
                self._children[values] = self._parent.labels(*values) if self.labels else self._parent
            return self._children[values]

    def _build(self) -> Any:
        import prometheus_client  # noqa: PLC0415 (it reads its folder's variable when imported)

        if self.kind == "histogram":
            return prometheus_client.Histogram(self.name, self.about, self.labels, buckets=self.buckets)
        return prometheus_client.Counter(self.name, self.about, self.labels)


Sample: TypeAlias = tuple[Metric, dict[str, str], float]
"""A gauge, its labels, its value."""


def counter(name: str, about: str, *labels: str) -> Metric:
    """Declare a figure that only rises; the name ends in `_total`."""
    if not name.endswith("_total"):
        raise ValueError(f"a counter's name ends in _total: {name}")
    return _declare(Metric(name, "counter", about, labels))


def histogram(name: str, about: str, *labels: str, buckets: tuple[float, ...] = SECONDS) -> Metric:
    """Declare a distribution; the name of a duration ends in `_seconds`."""
    return _declare(Metric(name, "histogram", about, labels, buckets))


def gauge(name: str, about: str, *labels: str) -> Metric:
    """Declare a figure that is asked for when the metrics are shown (`render`)."""
    return _declare(Metric(name, "gauge", about, labels))


def declared() -> list[Metric]:
    """Return every declared metric by name, for the reference page."""
    return [_declared[name] for name in sorted(_declared)]


def render(ask: Iterable[Callable[[], Iterable[Sample]]] = ()) -> bytes:
    """Return the figures of all processes of this machine and the gauges that the callables answer, as text."""
    import prometheus_client  # noqa: PLC0415 (see _build)
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415
    from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415

    counted = prometheus_client.REGISTRY
    if FOLDER_VARIABLE in os.environ:
        counted = prometheus_client.CollectorRegistry()
        MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
    families: dict[str, GaugeMetricFamily] = {}
    for each in ask:
        for metric, labels, value in each():
            family = families.get(metric.name)
            if family is None:
                family = families[metric.name] = GaugeMetricFamily(metric.name, metric.about, labels=metric.labels)
            family.add_metric([labels[name] for name in metric.labels], value)
    asked = prometheus_client.CollectorRegistry()
    asked.register(_Families(list(families.values())))
    return prometheus_client.generate_latest(counted) + prometheus_client.generate_latest(asked)


def empty_folder(folder: Path) -> None:
    """Make the folder of shared figures anew, once, before any process of ours starts."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)


class _Families:
    """What the registry wants to see: something that can be collected."""

    def __init__(self, families: list[Any]) -> None:
        self._families = families

    def collect(self) -> list[Any]:
        """Return the families."""
        return self._families


def _declare(metric: Metric) -> Metric:
    known = _declared.setdefault(metric.name, metric)
    if (known.kind, known.labels) != (metric.kind, metric.labels):
        raise ValueError(f"metric {metric.name} is declared twice")
    return known

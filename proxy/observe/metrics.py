"""
What `GET /metrics` shows, in the names and units that Prometheus asks for. Labels are bounded sets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from proxy import __version__

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# From a record acknowledged on loopback to a long poll of a minute.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


# Of the 46 that the parser knows, those that have a meaning here.
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

# No `_created` gauge beside each counter and histogram: the text format does not have it.
disable_created_metrics()  # type: ignore[no-untyped-call] # the library gives it no hints


class Metrics:
    """One for the process. What others hold or count is read from them when somebody looks."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._seconds = Histogram(
            "koh_http_request_duration_seconds",
            "Time from the head of a request to the end of its answer.",
            ("route", "method", "status"),
            buckets=SECONDS,
            registry=self._registry,
        )
        records = Counter(
            "koh_produced_records_total",
            "Records of produce requests, by what became of them.",
            ("outcome",),
            registry=self._registry,
        )
        self._written = records.labels("written")
        self._failed = records.labels("failed")
        Gauge("koh_build_info", "Version.", ("version",), registry=self._registry).labels(
            __version__
        ).set(1)

    def add_gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A gauge that is read from its owner."""
        Gauge(name, text, registry=self._registry).set_function(read)

    def add_counter(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A counter that its owner counts; `name` ends in `_total`."""
        self._registry.register(_OwnedCounter(name, text, read))

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered. `route` is the template, never the path itself."""
        if method not in METHODS:
            method = "other"
        self._seconds.labels(route, method, str(status)).observe(seconds)

    def count_produced(self, written: int, failed: int) -> None:
        """The outcomes of one produce request."""
        self._written.inc(written)
        if failed:
            self._failed.inc(failed)

    def show(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self._registry)


class _OwnedCounter(Collector):
    def __init__(self, name: str, text: str, read: Callable[[], float]) -> None:
        self._name = name
        self._text = text
        self._read = read

    def collect(self) -> Iterator[CounterMetricFamily]:
        yield CounterMetricFamily(self._name, self._text, value=self._read())

"""GET /metrics is Prometheus text, and a client cannot make it grow."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from proxy import __version__
from proxy.api.routes import ROUTES
from tests.api.raw_connection import ask, connected, render_head
from tests.conftest import ProxyFactory

TEXT = "text/plain; version=0.0.4; charset=utf-8"


def samples(url: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Name and labels of each sample, with its value."""
    answer = ask(url, "/metrics")
    assert (answer.status, answer.headers["content-type"]) == (200, TEXT)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def test_metrics_have_what_an_operator_looks_for(proxy_url: str) -> None:
    """Each name is there, with a value; also for a client that accepts something else."""
    names = {name for name, _ in samples(proxy_url)}
    assert names >= {
        "koh_consumer_instances",
        "koh_direct_reads",
        "koh_in_flight_bytes",
        "koh_producers_replaced_total",
        "koh_produced_records_total",
    }
    assert not any(name.endswith("_created") for name in names)
    assert (
        "# TYPE koh_producers_replaced_total counter"
        in ask(proxy_url, "/metrics").body.decode().splitlines()
    )
    assert samples(proxy_url)["koh_build_info", frozenset({("version", __version__)})] == 1
    assert ask(proxy_url, "/metrics", "Accept: application/json").headers["content-type"] == TEXT


def test_requests_are_counted_by_route_method_and_status(start_proxy: ProxyFactory) -> None:
    """The route is the template, never a path; what is no route is `unmatched`."""
    url = start_proxy().url
    expected = {
        ("/topics/{topic}", "GET", "404"): 3,
        ("/topics/{topic}", "POST", "415"): 2,
        ("/topics/{topic}/partitions/{partition}", "POST", "415"): 1,
        ("unmatched", "GET", "404"): 5,
        ("unmatched", "DELETE", "405"): 1,
        ("/live", "HEAD", "200"): 1,
        ("/live", "OPTIONS", "204"): 1,
    }
    with connected(url) as connection:
        for number in range(5):
            connection.get(f"/nothing/{number}")
        for number in range(3):
            connection.get(f"/topics/koh-not-there-{number}")
        for topic in ("a", "b/", "a/partitions/0"):
            connection.get(f"/topics/{topic}", "Content-Length: 0", method="POST")
        connection.get("/topics", method="DELETE")
        connection.get("/live", method="HEAD")
        connection.get("/live", method="OPTIONS")
    found = samples(url)
    for (route, method, status), count in expected.items():
        labels = frozenset({("route", route), ("method", method), ("status", status)})
        assert found["koh_http_request_duration_seconds_count", labels] == count


def test_labels_are_bounded(start_proxy: ProxyFactory) -> None:
    """Made-up methods, paths and names add no series but those of the table."""
    url = start_proxy().url
    with connected(url) as connection:
        for number in range(200):
            connection.get(f"/{number}")
            connection.get(f"/topics/{number}%00")
            connection.get(f"/consumers/{number}/instances/{number}/records")
        for method in ("PROPFIND", "M-SEARCH", "REPORT", "PURGE", "QUERY", "TRACE"):
            connection.get("/live", method=method)
    with connected(url) as connection:
        connection.send(render_head("MADEUP /live HTTP/1.1"))
        assert connection.read().status == 400
    routes = {value for _, labels in samples(url) for name, value in labels if name == "route"}
    methods = {value for _, labels in samples(url) for name, value in labels if name == "method"}
    assert routes <= {*ROUTES, "unmatched"}
    assert methods <= {"GET", "POST", "DELETE", "HEAD", "OPTIONS", "other"}

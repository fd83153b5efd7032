"""Which path and method reaches what: every route of the table, and what is none."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from proxy.api.routes import ROUTES, WITHOUT_HEAD
from tests.api.raw_connection import RawConnection, ask, connected, render_head
from tests.conftest import ProxyFactory

V2 = "application/vnd.kafka.v2+json"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
NO_ROUTE = {
    "error_code": 404,
    "message": "No such route. GET /openapi.json lists those that there are.",
}


@pytest.fixture(scope="module")
def connection(proxy_url: str) -> Iterator[RawConnection]:
    """One connection for all: each of these answers leaves it open."""
    with connected(proxy_url) as made:
        yield made


def fill(template: str) -> str:
    """A path for a template; nothing that it names is there."""
    path = template.replace("{partition}", "0")
    return re.sub(r"{\w+}", "koh-not-there", path)


def methods_of(template: str) -> list[str]:
    """The methods of a template in the order in which `Allow` has them, without OPTIONS."""
    methods = list(ROUTES[template])
    return methods + (["HEAD"] if "GET" in methods and template not in WITHOUT_HEAD else [])


@pytest.mark.parametrize("template", ROUTES)
def test_method_that_a_path_has_not_is_405_with_those_it_has(
    connection: RawConnection, template: str
) -> None:
    """Each other method of HTTP is refused in our shape, `Allow` names the right ones."""
    allow = ", ".join([*methods_of(template), "OPTIONS"])
    for method in set(METHODS) - {*methods_of(template), "OPTIONS"}:
        answer = connection.get(fill(template), method=method)
        assert answer.headers["allow"] == allow
        if method != "HEAD":
            body = {"error_code": 405, "message": f"Method not allowed. Allowed here: {allow}"}
            assert answer.refusal == (405, V2, body)
        assert answer.status == 405


@pytest.mark.parametrize("template", ROUTES)
def test_options_lists_the_methods(connection: RawConnection, template: str) -> None:
    """OPTIONS is 204 with `Allow` on every path."""
    answer = connection.get(fill(template), method="OPTIONS")
    allow = ", ".join([*methods_of(template), "OPTIONS"])
    assert (answer.status, answer.headers["allow"], answer.body) == (204, allow, b"")


@pytest.mark.parametrize("template", [name for name, methods in ROUTES.items() if "GET" in methods])
def test_head_is_get_without_a_body_but_never_reads_records(
    connection: RawConnection, template: str
) -> None:
    """HEAD has the status and headers of GET; where GET takes records it is 405."""
    head = connection.get(fill(template), method="HEAD")
    if template in WITHOUT_HEAD:
        assert head.status == 405
        return
    got = connection.get(fill(template))
    assert head.status == got.status
    assert head.headers["content-type"] == got.headers["content-type"]
    if template != "/metrics":
        assert head.headers["content-length"] == got.headers["content-length"]


@pytest.mark.parametrize("template", ROUTES)
def test_trailing_slash_makes_no_difference(connection: RawConnection, template: str) -> None:
    """Every path may end in a slash; two are none of ours."""
    method = next(iter(ROUTES[template]))
    path, fields = fill(template), ("Content-Length: 0",)
    plain = connection.get(path, *fields, method=method)
    slashed = connection.get(path.removesuffix("/") + "/", *fields, method=method)
    assert (plain.status, plain.headers["content-type"]) == (
        slashed.status,
        slashed.headers["content-type"],
    )
    twice = connection.get(path.removesuffix("/") + "//", *fields, method=method)
    assert twice.refusal == (404, V2, NO_ROUTE)


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "//live",
        "//topics",
        "/topics//",
        "/topics//partitions",
        "/topics/a//partitions",
        "/topics/a/partitions//offsets",
        "/topics/a/b",
        "/LIVE",
        "/%6Cive",
        "/live/live",
        "/../live",
        "/./live",
        "/topics/a%2Fpartitions/0/offsets/x",
        "/consumers",
        "/consumers/g/instances",
        "/consumers//instances/i/records",
        "/consumers/g/instances//records",
        "/docs/../../../etc/passwd",
        "/live;x=1",
        "/v3/clusters",
        "/favicon.ico",
    ],
)
def test_path_that_is_no_route_is_404(connection: RawConnection, path: str) -> None:
    """Nothing is guessed: other case, dots, empty segments, escapes of plain letters."""
    assert connection.get(path).refusal == (404, V2, NO_ROUTE)


@pytest.mark.parametrize(
    ("path", "parameter", "got"),
    [
        ("/topics/a%2Fb", "topic_name", "a/b"),
        ("/topics/a%00b", "topic_name", "a␀b"),
        ("/topics/%7F", "topic_name", "␡"),
        ("/topics/a%0D%0Ab", "topic_name", "a␍␊b"),
        ("/topics/%", "topic_name", "%"),
        ("/topics/%zz", "topic_name", "%zz"),
        ("/topics/%f", "topic_name", "%f"),
        ("/topics/%ff", "topic_name", "%ff"),
        ("/topics/%C3%BC", "topic_name", "ü"),
        ("/topics/.", "topic_name", "."),
        ("/topics/..", "topic_name", ".."),
        ("/topics/%2e%2e", "topic_name", ".."),
        ("/topics/a+b", "topic_name", "a+b"),
        ("/topics/a%20b/partitions", "topic_name", "a b"),
        ("/topics/" + "a" * 250, "topic_name", "a" * 100 + "…"),
        ("/topics/a/partitions/foo", "partition_id", "foo"),
        ("/topics/a/partitions/-1", "partition_id", "-1"),
        ("/topics/a/partitions/1.0", "partition_id", "1.0"),
        ("/topics/a/partitions/%30", "partition_id", "%30"),
        ("/topics/a/partitions/2147483648", "partition_id", "2147483648"),
        ("/topics/a/partitions/99999999999999999999/offsets", "partition_id", "9" * 20),
        ("/topics/a/partitions/+1/records", "partition_id", "+1"),
        ("/consumers/My%0Dgroup/instances/i/records", "group_name", "My␍group"),
        ("/consumers/g/instances/a%00/records", "instance", "a␀"),
        ("/consumers/g/instances/%/records", "instance", "%"),
    ],
)
def test_illegal_name_in_a_path_is_40002(
    connection: RawConnection, path: str, parameter: str, got: str
) -> None:
    """A name that Kafka forbids, a broken escape, no number: named, control characters shown."""
    message = f"Invalid parameter '{parameter}' got '{got}'"
    expected = {"error_code": 40002, "message": message}
    assert connection.get(path).refusal == (400, V2, expected)


def test_absolute_request_target_is_served(proxy_url: str) -> None:
    """A target with scheme and host is what a proxy's client sends; its path counts."""
    for target in ("http://a.example/live", "HTTP://a.example:8082/live?x"):
        with connected(proxy_url) as connection:
            connection.send(render_head(f"GET {target} HTTP/1.1"))
            assert connection.read().status == 200
    with connected(proxy_url) as connection:
        connection.send(render_head("GET http://a.example HTTP/1.1"))
        assert connection.read().body.startswith(b'{"service":"kafka-over-http"')


def test_root_path_is_taken_and_may_be_left_out(start_proxy: ProxyFactory) -> None:
    """Behind a prefix, requests come with it or with it cut off; addresses that we give have it."""
    url = start_proxy(root_path="/kafka/a").url
    for path in ("/live", "/kafka/a/live", "/kafka/a/live/"):
        assert ask(url, path).status == 200
    for path in ("/kafka/a", "/kafka/a/", "/"):
        links = ask(url, path, "Host: h").parsed
        assert isinstance(links, dict)
        assert links["links"]["topics"] == "http://h/kafka/a/topics"
    for path in ("/kafka/alive", "/kafka/live", "/kafka"):
        assert ask(url, path).status == 404
    made = ask(url, "/kafka/a/consumers/g", "Host: h", "Content-Length: 0", method="POST").parsed
    assert isinstance(made, dict)
    assert made["base_uri"] == f"http://h/kafka/a/consumers/g/instances/{made['instance_id']}"
    unknown = ask(url, "/kafka/a/topics/koh-not-there", method="POST")
    assert unknown.status == 415

"""How much a client may send, and that refusals leave nothing behind."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.raw_connection import RawConnection, ask, connected, render_head
from tests.brokers.broker import Broker
from tests.brokers.proxy_process import ProxyProcess

V2 = "application/vnd.kafka.v2+json"
JSON = "application/vnd.kafka.json.v2+json"
KIB = 1024
SETTINGS = {
    "receive_timeout_ms": 800,
    "max_header_bytes": 4 * KIB,
    "max_url_bytes": 2 * KIB,
    "max_body_bytes": 300 * KIB,
    "max_in_flight_bytes": 400 * KIB,
}
TOO_LONG = {"error_code": 414, "message": "The URL is longer than the limit of 2048 bytes."}
TOO_MUCH_HEAD = {
    "error_code": 431,
    "message": "The header is larger than the limit of 4096 bytes.",
}
TOO_LARGE = {
    "error_code": 413,
    "message": "The request body is larger than the limit of 307200 bytes.",
}


@pytest.fixture(scope="module")
def proxy(broker: Broker) -> Iterator[ProxyProcess]:
    """A proxy with small limits."""
    started = ProxyProcess(broker.bootstrap, SETTINGS)
    try:
        started.await_ready()
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="module")
def url(proxy: ProxyProcess) -> str:
    """Its address."""
    return proxy.url


def used_bytes(url: str) -> int:
    """What the proxy's budget has lent."""
    found = re.search(rb"^koh_in_flight_bytes (\d+)", ask(url, "/metrics").body, re.MULTILINE)
    assert found is not None
    return int(found[1])


def await_budget(url: str, count: int) -> None:
    """Until the budget has lent exactly so much; the end of the test is the deadline."""
    while used_bytes(url) != count:
        pass


def render_post(path: str, *fields: str) -> bytes:
    """The head of a POST of JSON."""
    return render_head(f"POST {path} HTTP/1.1", f"Content-Type: {JSON}", *fields)


def test_long_url_is_414(url: str) -> None:
    """At the limit it is looked for, above it is refused; query included; one of 3 MB too."""
    assert ask(url, "/" + "a" * (2 * KIB - 1)).status == 404
    assert ask(url, "/" + "a" * (2 * KIB)).refusal == (414, V2, TOO_LONG)
    assert ask(url, "/live?" + "a" * (2 * KIB)).refusal == (414, V2, TOO_LONG)
    assert ask(url, "/" + "a" * 3_000_000).refusal == (414, V2, TOO_LONG)


def test_large_header_is_431(url: str) -> None:
    """One long field or many short ones."""
    assert ask(url, "/live", "X: " + "a" * 4000).status == 200
    for fields in (("X: " + "a" * 4096,), ("X" * 4096 + ": a",), ("X: a",) * 1000):
        assert ask(url, "/live", *fields).refusal == (431, V2, TOO_MUCH_HEAD)


@pytest.mark.parametrize("start", [b"GET /live HTTP/1.1\r\nX: ", b"GET /live HTTP/1.1\r\nX"])
def test_field_without_an_end_is_431(url: str, proxy: ProxyProcess, start: bytes) -> None:
    """A field that never ends is refused soon, and not kept until memory is full."""
    before = resident_bytes(proxy)
    with connected(url) as connection:
        connection.send(start)
        with contextlib.suppress(ConnectionError):
            for _ in range(500):
                connection.send(b"a" * 100 * KIB)
                connection.socket.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    assert connection.socket.recv(12) == b"HTTP/1.1 431"
                    break
                connection.socket.settimeout(10)
    assert resident_bytes(proxy) - before < 10_000_000


def test_framing_without_content_is_refused(url: str, name: str) -> None:
    """Endless chunk extensions or trailers in place of a body."""
    for start, more in ((b"1;", b"a" * 5000), (b"1\r\na\r\n0\r\n", b"X: " + b"a" * 5000)):
        with connected(url) as connection:
            connection.send(render_post(f"/consumers/{name}", "Transfer-Encoding: chunked") + start)
            with contextlib.suppress(ConnectionError):
                for _ in range(20):
                    connection.send(more)
                    time.sleep(0)
            expected = {"error_code": 400, "message": "The body has more framing than content."}
            assert connection.read().refusal == (400, V2, expected)


@pytest.mark.parametrize("path", ["/topics/x", "/topics/x/partitions/0", "/consumers/g"])
def test_body_above_the_limit_is_413(url: str, path: str) -> None:
    """By its length before any of it comes; without one as soon as it is too large."""
    with connected(url) as connection:
        connection.send(render_post(path, f"Content-Length: {300 * KIB + 1}"))
        assert connection.read().refusal == (413, V2, TOO_LARGE)
    with connected(url) as connection:
        connection.send(render_post(path, "Transfer-Encoding: chunked"))
        with contextlib.suppress(ConnectionError):
            for _ in range(301):
                connection.send(b"400\r\n" + b"[" * KIB + b"\r\n")
        assert connection.read().refusal == (413, V2, TOO_LARGE)
    await_budget(url, 0)


def test_connection_goes_on_after_a_body_that_was_not_read(url: str) -> None:
    """A refused body that is sent all the same is read past."""
    with connected(url) as connection:
        body = b"x" * 200 * KIB
        connection.send(
            render_head("POST /nothing HTTP/1.1", f"Content-Length: {len(body)}") + body
        )
        assert connection.read().status == 404
        assert connection.get("/live").status == 200


def test_bytes_beyond_the_budget_are_503_until_others_end(url: str) -> None:
    """50304 with Retry-After; free again once the client that held them has gone."""
    with connected(url) as holder:
        holder.send(render_post("/topics/x", f"Content-Length: {300 * KIB}") + b"{")
        await_budget(url, 300 * KIB)
        with connected(url) as other:
            other.send(render_post("/topics/x", f"Content-Length: {101 * KIB}"))
            answer = other.read()
            message = "Too many bytes are on their way to Kafka."
            assert answer.refusal == (503, V2, {"error_code": 50304, "message": message})
            assert answer.headers["retry-after"] == "1"
        assert ask(url, "/ready").status == 200
    await_budget(url, 0)


def resident_bytes(proxy: ProxyProcess) -> int:
    """The memory of the proxy's process."""
    status = Path(f"/proc/{proxy.child.pid}/status").read_text("ascii")
    found = re.search(r"VmRSS:\s*(\d+) kB", status)
    assert found is not None
    return int(found[1]) * KIB


def abuse(connection: RawConnection, number: int) -> None:
    """A hundred bad requests, each different from all others, in one write; their answers."""
    requests = []
    for index in range(100):
        word = f"{number}-{index}-{'x' * (index * 7 % 300)}"
        requests.append(
            [
                render_head(f"GET /topics/{word} HTTP/1.1", f"Accept: text/{word}"),
                render_head(f"GET /topics/%00{word} HTTP/1.1"),
                render_head(f"GET /{word}/{word} HTTP/1.1", f"Accept: application/{word};q=0.1"),
                render_head(f"GET /topics/a/partitions/0/records?offset={word} HTTP/1.1"),
                render_head(f"POST /topics/{word} HTTP/1.1", f"Content-Type: a/{word}"),
                render_post(f"/topics/{word}", "Content-Length: 2") + b"[[",
                render_post(f"/consumers/{word}", f"Content-Length: {10**9 + index}", "X: a"),
                render_head(f"GET /consumers/{word}/instances/{word}/records HTTP/1.1"),
            ][index % 8 if index % 8 != 6 else 5]
        )
    connection.send(b"".join(requests))
    for _ in requests:
        assert 400 <= connection.read().status < 500


def test_memory_stays_flat_under_varied_bad_requests(proxy: ProxyProcess, url: str) -> None:
    """Ten thousand of them, after two thousand to warm up, cost less than 4 MB; none is logged."""
    with connected(url) as connection:
        for number in range(20):
            abuse(connection, number)
        before = resident_bytes(proxy)
        for number in range(20, 120):
            abuse(connection, number)
        grown = resident_bytes(proxy) - before
    assert grown < 4_000_000
    assert used_bytes(url) == 0


def test_nothing_of_all_this_is_worth_a_line_in_the_log(proxy: ProxyProcess) -> None:
    """What clients do wrong is told to them; a client cannot fill the log."""
    lines = proxy.log.read_text("utf-8").splitlines()
    assert [line for line in lines if '"level": "info"' not in line] == []
    assert len(lines) < 10

"""A client may be slow, not for ever: heads, bodies, and the taking of answers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.conftest import MakeTopic
from tests.api.raw_connection import RawConnection, ask, connected, render_head
from tests.brokers.broker import Broker
from tests.brokers.proxy_process import ProxyProcess
from tests.brokers.verify import produce

V2 = "application/vnd.kafka.v2+json"
JSON = "application/vnd.kafka.json.v2+json"
TEXT = "application/vnd.kafka.text.v2+json"
TOO_SLOW_HEAD = {
    "error_code": 408,
    "message": "The head of the request did not come within 0.8 s.",
}
TOO_SLOW_BODY = {
    "error_code": 408,
    "message": "The body of the request did not come within 0.8 s.",
}


@pytest.fixture(scope="module")
def url(broker: Broker) -> Iterator[str]:
    """The address of a proxy with little patience, that logs nothing of all this."""
    proxy = ProxyProcess(broker.bootstrap, {"receive_timeout_ms": 800})
    try:
        proxy.await_ready()
        yield proxy.url
        assert '"level": "warning"' not in proxy.log.read_text("utf-8")
        assert '"level": "error"' not in proxy.log.read_text("utf-8")
    finally:
        proxy.stop()


def render_post(path: str, *fields: str) -> bytes:
    """The head of a POST of JSON."""
    return render_head(f"POST {path} HTTP/1.1", f"Content-Type: {JSON}", *fields)


@pytest.mark.parametrize(
    ("data", "more"),
    [
        (b"G", b""),
        (b"\r\nPOST", b""),
        (b"GET /live", b"a"),
        (b"GET /live HTTP/1.1\r\nHost: x\r\n", b"a: b\r\n"),
        (b"GET /live HTTP/1.1\r\nHost: x\r\nX: a", b"a"),
    ],
)
def test_head_that_does_not_come_is_408(url: str, data: bytes, more: bytes) -> None:
    """Answered and closed after `receive_timeout_ms`, not before, although bytes trickle in."""
    with connected(url) as connection:
        begun = time.monotonic()
        connection.send(data)
        connection.socket.settimeout(0.1)
        trickled = 0
        while True:
            try:
                answer = connection.read()
                break
            except TimeoutError:
                connection.send(more)
                trickled += 1
        assert answer.refusal == (408, V2, TOO_SLOW_HEAD)
        assert answer.headers["connection"] == "close"
        assert 0.6 < time.monotonic() - begun < 3
        assert trickled > 3


@pytest.mark.parametrize("field", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("path", ["/topics/x", "/consumers/g"])
def test_body_that_does_not_come_is_408_and_gives_its_bytes_back(
    url: str, path: str, field: str
) -> None:
    """What was reserved for it is free again: nobody can hold the budget by doing nothing."""
    with connected(url) as connection:
        connection.send(render_post(path, field))
        connection.send(b"5\r\n{}   " if field.startswith("T") else b"{}")
        answer = connection.read()
        assert answer.refusal == (408, V2, TOO_SLOW_BODY)
        assert connection.is_closed()
    while b"\nkoh_in_flight_bytes 0.0\n" not in ask(url, "/metrics").body:
        pass


def test_slow_body_that_comes_is_taken(url: str, name: str) -> None:
    """Twice as long as the timeout, at a modest rate, is no reason to refuse it."""
    body = b'{"name":"koh"' + b" " * 1200 + b"}"
    with connected(url) as connection:
        connection.send(render_post(f"/consumers/{name}", f"Content-Length: {len(body)}"))
        begun = time.monotonic()
        for start in range(0, len(body), 100):
            connection.send(body[start : start + 100])
            # The rate is what is tested.
            time.sleep(0.12)
        assert connection.read().status == 200
        assert time.monotonic() - begun > 1.4


def test_slow_head_behind_a_running_request_waits_for_its_answer(
    url: str, make_topic: MakeTopic
) -> None:
    """The answer of the request before it comes, late as it is, and only then the end."""
    path = f"/topics/{make_topic()}/partitions/0/records?timeout=1500"
    with connected(url) as connection:
        connection.send(render_head(f"GET {path} HTTP/1.1") + b"GET /li")
        assert connection.read().body == b"[]"
        assert connection.is_closed()


def test_long_poll_is_not_slow(url: str, make_topic: MakeTopic) -> None:
    """A client that has sent its request may wait for the answer as long as it asked to."""
    with connected(url) as connection:
        path = f"/topics/{make_topic()}/partitions/0/records?timeout=1500"
        assert connection.get(path).body == b"[]"
        assert connection.get("/live").status == 200


@pytest.fixture(scope="module")
def large(make_topic: MakeTopic, broker: Broker) -> str:
    """A topic of 12 MB."""
    topic = make_topic()
    asyncio.run(produce(broker.bootstrap, topic, [b"x" * 100_000] * 120))
    return topic


def begin_large_read(connection: RawConnection, topic: str) -> None:
    """Ask for 12 MB, and wait for the first bytes of them."""
    path = f"/topics/{topic}/partitions/0/records?offset=0&max_bytes=12000000"
    connection.send(render_head(f"GET {path} HTTP/1.1", f"Accept: {TEXT}"))
    connection.socket.recv(100)


def test_client_that_does_not_take_its_answer_is_given_up(url: str, large: str) -> None:
    """After `receive_timeout_ms` in which it took nothing the connection ends, unfinished."""
    with connected(url, receive_buffer_bytes=4096) as connection:
        begin_large_read(connection, large)
        while count_connections(url) > 0:
            pass
        took = 0
        with contextlib.suppress(ConnectionError):
            while received := connection.socket.recv(1 << 20):
                took += len(received)
        assert took < 11_000_000


def test_client_that_takes_its_answer_slowly_gets_it(url: str, large: str) -> None:
    """Longer than the timeout altogether, but never so long without taking anything."""
    with connected(url, receive_buffer_bytes=1 << 16) as connection:
        begin_large_read(connection, large)
        begun, took = time.monotonic(), 100
        while took < 11_000_000:
            received = connection.socket.recv(1 << 18)
            assert received
            took += len(received)
            if time.monotonic() - begun < 2:
                time.sleep(0.05)


def count_connections(url: str) -> int:
    """How many connections clients have to the proxy, this one included."""
    port = int(url.rpartition(":")[2])
    lines = Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]
    mine = [line.split() for line in lines]
    return sum(entry[1].endswith(f":{port:04X}") and entry[3] == "01" for entry in mine)

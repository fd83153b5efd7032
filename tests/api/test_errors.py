"""Whatever goes wrong, the client gets our shape, and the log no stack."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import orjson
import pytest

from proxy.api.routes import ROUTES
from tests.api.conftest import MakeTopic
from tests.api.raw_connection import Answer, RawConnection, ask, connected, render_head
from tests.brokers.broker import Broker
from tests.brokers.proxy_process import ProxyProcess
from tests.brokers.verify import produce

V2 = "application/vnd.kafka.v2+json"
JSON = "application/vnd.kafka.json.v2+json"
INSTANCE = "/consumers/{g}/instances/koh"


@pytest.fixture(scope="module")
def proxy(broker: Broker) -> Iterator[ProxyProcess]:
    """A proxy whose log is looked at after every test."""
    started = ProxyProcess(broker.bootstrap, {})
    try:
        started.await_ready()
        yield started
    finally:
        started.stop()


@pytest.fixture(autouse=True)
def quiet_log(proxy: ProxyProcess) -> Iterator[None]:
    """No line above info after any of these tests."""
    yield
    lines = proxy.log.read_text("utf-8").splitlines()
    assert [line for line in lines if '"level": "info"' not in line] == []


@pytest.fixture(scope="module")
def large(make_topic: MakeTopic, broker: Broker) -> str:
    """Records of 7 MB: more than the system buffers for a socket, so that a client can be slow."""
    topic = make_topic(configs={"max.message.bytes": "8000000"})
    values = [b"x" * 7_000_000] * 3
    asyncio.run(
        produce(
            broker.bootstrap, topic, values, max_request_size=8_000_000, compression_type="gzip"
        )
    )
    return topic


def post(url: str, path: str, body: bytes, content_type: str = V2) -> Answer:
    """A POST on a connection of its own."""
    with connected(url) as connection:
        fields = (f"Content-Type: {content_type}", f"Content-Length: {len(body)}")
        connection.send(render_head(f"POST {path} HTTP/1.1", *fields) + body)
        return connection.read()


def assign(url: str, group: str, topic: str) -> str:
    """The path of an instance that reads the topic from its beginning."""
    path = INSTANCE.format(g=group)
    assert post(url, f"/consumers/{group}", b'{"name":"koh"}').status == 200
    wanted = orjson.dumps({"partitions": [{"topic": topic, "partition": 0}]})
    assert post(url, f"{path}/assignments", wanted).status == 204
    return path


def first_offset(answer: Answer) -> int:
    """The offset of the first record."""
    records = answer.parsed
    assert isinstance(records, list)
    offset: int = records[0]["offset"]
    return offset


BODIES = [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"{}" * 9, b"[" * 5000, b'{"records":1}']


@pytest.mark.parametrize(
    ("method", "template"),
    [(method, template) for template, methods in ROUTES.items() for method in methods],
)
def test_every_route_refuses_in_our_shape(proxy: ProxyProcess, method: str, template: str) -> None:
    """Odd names and odd bodies on each: an answer, and where it is an error, ours."""
    for name in ("a", "a%2Fb", "%F0%9F%98%80", "%01", "%"):
        path = template
        for part in ("topic", "group", "instance", "file"):
            path = path.replace(f"{{{part}}}", name)
        for partition, body in zip(("0", "x", "99", "-1") * 3, BODIES, strict=False):
            target = path.replace("{partition}", partition)
            with connected(proxy.url) as connection:
                fields = (f"Content-Type: {JSON}", f"Content-Length: {len(body)}")
                connection.send(render_head(f"{method} {target} HTTP/1.1", *fields) + body)
                answer = connection.read()
            if answer.status >= 400:
                assert answer.status < 500, answer
                assert answer.headers["content-type"] == V2
                refusal = answer.parsed
                assert isinstance(refusal, dict)
                assert set(refusal) in (
                    {"error_code", "message"},
                    {"error_code", "message", "offsets"},
                )
                assert "Traceback" not in refusal["message"]
                assert "aiokafka" not in refusal["message"]


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("behind", [b"", render_head("GET /live HTTP/1.1")], ids=["", "pipelined"])
def test_fetch_whose_client_leaves_in_mid_answer_is_not_delivered(
    proxy: ProxyProcess, large: str, name: str, how: str, behind: bytes
) -> None:
    """The same records come again, and nothing is logged of it."""
    path = assign(proxy.url, name, large) + "/records?timeout=9000&max_bytes=5000000"
    with connected(proxy.url, receive_buffer_bytes=4096) as connection:
        connection.send(render_head(f"GET {path} HTTP/1.1") + behind)
        assert connection.socket.recv(15) == b"HTTP/1.1 200 OK"
        leave(connection, how)
    assert first_offset(ask(proxy.url, path)) == 0
    assert first_offset(ask(proxy.url, path)) > 0
    ask(proxy.url, INSTANCE.format(g=name), method="DELETE")


def test_fetch_whose_client_left_while_it_waited_is_not_delivered(
    proxy: ProxyProcess, make_topic: MakeTopic, broker: Broker, name: str
) -> None:
    """A request behind it, and the end of the connection right after: the records come again."""
    topic = make_topic()
    path = assign(proxy.url, name, topic) + "/records?timeout=9000"
    for how in ("close", "reset"):
        with connected(proxy.url) as connection:
            connection.send(
                render_head(f"GET {path} HTTP/1.1") + render_head("GET /live HTTP/1.1") * 3
            )
            leave(connection, how)
    asyncio.run(produce(broker.bootstrap, topic, [b"x"]))
    assert first_offset(ask(proxy.url, path)) == 0
    ask(proxy.url, INSTANCE.format(g=name), method="DELETE")


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize(
    "path", ["/topics/x", "/topics/x/partitions/0", "/consumers/g", "/consumers/g/instances/i/x"]
)
def test_client_that_leaves_in_mid_body_is_forgotten(
    proxy: ProxyProcess, path: str, how: str
) -> None:
    """Nobody is answered, nothing is kept and nothing logged."""
    for fields, data in (
        (("Content-Length: 100000",), b"{"),
        (("Content-Length: 1000000",), b" " * 500_000),
        (("Transfer-Encoding: chunked",), b"1\r\n{\r\n"),
    ):
        with connected(proxy.url) as connection:
            head = render_head(f"POST {path} HTTP/1.1", f"Content-Type: {JSON}", *fields)
            connection.send(head + data)
            leave(connection, how)
    while b"\nkoh_in_flight_bytes 0.0\n" not in ask(proxy.url, "/metrics").body:
        pass


@pytest.mark.parametrize("how", ["close", "reset"])
def test_direct_read_whose_client_leaves_in_mid_answer(
    proxy: ProxyProcess, large: str, how: str
) -> None:
    """It harms nobody."""
    path = f"/topics/{large}/partitions/0/records?max_bytes=6000000"
    for _ in range(3):
        with connected(proxy.url, receive_buffer_bytes=4096) as connection:
            connection.send(render_head(f"GET {path} HTTP/1.1") * 2)
            assert connection.socket.recv(15) == b"HTTP/1.1 200 OK"
            leave(connection, how)
    assert ask(proxy.url, "/live").status == 200


def leave(connection: RawConnection, how: str) -> None:
    """Go away, with a reset or without."""
    with contextlib.suppress(OSError):
        connection.reset() if how == "reset" else connection.close()

"""HTTP/1.1 on the wire: what a client library would not send, and what old ones do."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.api.conftest import MakeTopic
from tests.api.raw_connection import RawConnection, ask, connected, render_head
from tests.brokers.broker import Broker
from tests.brokers.verify import produce
from tests.conftest import ProxyFactory

V2 = "application/vnd.kafka.v2+json"
JSON = "application/vnd.kafka.json.v2+json"
INVALID = {"error_code": 400, "message": "This is not a valid HTTP/1.1 request."}
CREATE = b'{"name":"koh"}'


def refuse(url: str, data: bytes) -> tuple[int, str, object]:
    """What the proxy says to these bytes; it closes the connection after that."""
    with connected(url) as connection:
        connection.send(data)
        answer = connection.read()
        assert answer.headers["connection"] == "close"
        assert connection.is_closed()
    return answer.refusal


def render_create(group: str, *fields: str) -> bytes:
    """A request with a body that can be seen to have arrived."""
    return render_head(f"POST /consumers/{group} HTTP/1.1", *fields)


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET live HTTP/1.1\r\n\r\n",
        b"GET /\xc3\xbc HTTP/1.1\r\n\r\n",
        b"GET /live HTTP/1.1\r\nX : a\r\n\r\n",
        b"GET /live HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
        b"GET /live HTTP/1.1\r\nX: a\x00b\r\n\r\n",
        b"GET /live HTTP/1.1\nHost: x\n\n",
        b"GET /live HTTP/9.9\r\n\r\n",
        render_create("g", "Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        render_create("g", "Transfer-Encoding: chunked", "Content-Length: 5") + b"0\r\n\r\n",
        render_create("g", "Content-Length: 5", "Content-Length: 6") + b"aaaaaa",
        render_create("g", "Content-Length: +5") + b"aaaaa",
        render_create("g", "Content-Length: -5") + b"aaaaa",
        render_create("g", "Content-Length: 5_0"),
        render_create("g", "Content-Length: 99999999999999999999999"),
        render_create("g", "Transfer-Encoding: xchunked") + b"0\r\n\r\n",
        render_create("g", "Transfer-Encoding: chunked, identity") + b"0\r\n\r\n",
        render_create("g", "Transfer-Encoding: chunked") + b"zz\r\n",
        render_create("g", "Transfer-Encoding: chunked") + b"2\r\n{}x\r\n",
        render_create("g", "Transfer-Encoding: chunked") + b"-1\r\n{}\r\n",
        render_create("g", "Transfer-Encoding: chunked") + b"ffffffffffffffffff\r\n{}\r\n",
    ],
    ids=lambda data: repr(data[-30:]),
)
def test_what_is_no_request_is_400_in_our_shape(proxy_url: str, data: bytes) -> None:
    """Garbage, and a length that two servers could read in two ways: refused, and closed."""
    assert refuse(proxy_url, data) == (400, V2, INVALID)


def test_tunnel_is_refused(proxy_url: str) -> None:
    """CONNECT is a request for another kind of proxy."""
    expected = {"error_code": 400, "message": "CONNECT is not served here."}
    assert refuse(proxy_url, render_head("CONNECT a:443 HTTP/1.1")) == (400, V2, expected)


@pytest.mark.parametrize(
    "broken",
    [b"garbage\r\n\r\n", render_head(f"GET /{'a' * 20_000} HTTP/1.1")],
    ids=["garbage", "long URL"],
)
def test_broken_request_does_not_take_the_answer_of_the_one_before(
    proxy_url: str, broken: bytes
) -> None:
    """The request before it is answered, as itself, and then the connection ends."""
    with connected(proxy_url) as connection:
        connection.send(render_head("GET /brokers HTTP/1.1") + broken)
        answer = connection.read()
        assert answer.status == 200
        assert answer.body.startswith(b'{"brokers":')
        assert connection.is_closed()


def test_broken_body_behind_a_request_that_runs_ends_in_turn(proxy_url: str) -> None:
    """A chunk of no length, pipelined: the first answer comes, then the end."""
    with connected(proxy_url) as connection:
        broken = render_create("g", "Transfer-Encoding: chunked") + b"zz\r\n"
        connection.send(render_head("GET /brokers HTTP/1.1") + broken)
        assert connection.read().body.startswith(b'{"brokers":')
        assert connection.is_closed()
    assert ask(proxy_url, "/live").status == 200


def test_pipelined_requests_are_answered_in_order(proxy_url: str) -> None:
    """Forty in one write: each its own answer, more than are read ahead."""
    paths = ["/live", "/brokers", "/nothing", "/topics/koh-not-there"] * 10
    starts = [b'{"status":"live"}', b'{"brokers":', b'{"error_code":404,', b'{"error_code":40401']
    with connected(proxy_url) as connection:
        connection.send(b"".join(render_head(f"GET {path} HTTP/1.1") for path in paths))
        for number in range(len(paths)):
            assert connection.read().body.startswith(starts[number % 4])


@pytest.mark.parametrize(
    "fields",
    [
        ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP"),
        ("Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZQ=="),
        ("Connection: keep-alive, Upgrade", "Upgrade: TLS/1.0"),
    ],
    ids=["h2c", "websocket", "tls"],
)
def test_offer_to_upgrade_is_passed_over(
    proxy_url: str, name: str, fields: tuple[str, ...]
) -> None:
    """Java's HttpClient offers h2c: its body arrives, in one piece or two, and what follows it."""
    with connected(proxy_url) as connection:
        head = render_create(name, *fields, f"Content-Length: {len(CREATE)}")
        connection.send(head + CREATE + render_head("GET /live HTTP/1.1", *fields))
        assert b'"instance_id":"koh"' in connection.read().body
        assert connection.read().body == b'{"status":"live"}'
        connection.send(render_create(name + "2", *fields, f"Content-Length: {len(CREATE)}"))
        connection.send(CREATE)
        assert b'"instance_id":"koh"' in connection.read().body
        chunks = b"e\r\n" + CREATE + b"\r\n0\r\n\r\n"
        connection.send(render_create(name + "3", *fields, "Transfer-Encoding: chunked") + chunks)
        assert b'"instance_id":"koh"' in connection.read().body


def test_chunked_body_arrives_whole(proxy_url: str, name: str) -> None:
    """In chunks of one byte, each in a write of its own, with extensions and trailers."""
    with connected(proxy_url) as connection:
        connection.send(render_create(name, "Transfer-Encoding: chunked"))
        for byte in CREATE:
            connection.send(b"1;a=b\r\n%c\r\n" % byte)
        connection.send(b"0\r\nX-Checksum: 1\r\n\r\n")
        assert b'"instance_id":"koh"' in connection.read().body
        assert connection.get("/live").status == 200


def test_trailer_is_no_header(proxy_url: str, name: str) -> None:
    """A field behind the body changes nothing: what is in front of us could not check it."""
    with connected(proxy_url) as connection:
        head = render_create(name, "Transfer-Encoding: chunked")
        connection.send(head + b"2\r\n{}\r\n0\r\nAccept: text/html\r\nX-Forwarded-Host: a\r\n\r\n")
        assert connection.read().status == 200


def test_expect_continue_is_answered_when_the_body_is_wanted(proxy_url: str, name: str) -> None:
    """100 before a body that is taken, and none before a refusal that needs no body."""
    with connected(proxy_url) as connection:
        fields = ("Expect: 100-continue", f"Content-Length: {len(CREATE)}")
        connection.send(render_create(name, *fields))
        assert connection.read().status == 100
        connection.send(CREATE)
        assert connection.read().status == 200
    with connected(proxy_url) as connection:
        fields = ("Expect: 100-continue", "Content-Length: 99999999999")
        connection.send(render_create(name, *fields))
        assert connection.read().status == 413


@pytest.mark.parametrize(
    ("version", "fields"),
    [("1.0", ()), ("1.0", ("Connection: keep-alive",)), ("1.1", ("Connection: close",))],
)
def test_connection_is_closed_for_clients_that_want_it(
    proxy_url: str, version: str, fields: tuple[str, ...]
) -> None:
    """HTTP/1.0, and `Connection: close`: the answer says so, has a length, and is the last."""
    for path in ("/live", "/topics", "/topics/koh-not-there"):
        with connected(proxy_url) as connection:
            connection.send(render_head(f"GET {path} HTTP/{version}", *fields))
            answer = connection.read()
            assert answer.headers["connection"] == "close"
            assert connection.is_closed()


@pytest.mark.parametrize(
    ("version", "fields"), [("1.0", ()), ("1.1", ("Connection: close",)), ("1.1", ())]
)
def test_fetch_on_a_connection_that_closes_is_delivered_once(
    proxy_url: str,
    name: str,
    make_topic: MakeTopic,
    broker: Broker,
    version: str,
    fields: tuple[str, ...],
) -> None:
    """Its records count as delivered: the next fetch goes on behind them."""
    topic = make_topic()
    asyncio.run(produce(broker.bootstrap, topic, [b"1", b"2"]))
    base = f"/consumers/{name}/instances/koh"
    for path, body in (
        (f"/consumers/{name}", CREATE),
        (f"{base}/assignments", b'{"partitions":[{"topic":"%b","partition":0}]}' % topic.encode()),
    ):
        with connected(proxy_url) as connection:
            connection.send(render_head(f"POST {path} HTTP/1.1", f"Content-Length: {len(body)}"))
            connection.send(body)
            assert connection.read().status in (200, 204)
    for offset in (b"0", b"1"):
        with connected(proxy_url) as connection:
            path = f"{base}/records?timeout=8000&max_records=1"
            connection.send(render_head(f"GET {path} HTTP/{version}", *fields))
            assert b'"offset":%b,' % offset in connection.read().body
    head = ask(proxy_url, f"{base}/records", method="HEAD")
    assert head.status == 405
    assert ask(proxy_url, base, method="DELETE").status == 204


def test_idle_connection_is_closed_after_a_while(start_proxy: ProxyFactory) -> None:
    """One that was used, one that never was, and one with empty lines alone; without a word."""
    url = start_proxy(keep_alive_timeout_s=1).url
    with connected(url) as used, connected(url) as silent, connected(url) as blank:
        assert used.get("/live").status == 200
        blank.send(b"\r\n\r\n")
        begun = time.monotonic()
        assert used.is_closed()
        assert silent.is_closed()
        assert blank.is_closed()
        assert 0.5 < time.monotonic() - begun < 3


@pytest.mark.parametrize(
    "host",
    ['a"b', "a b", "a/../b", "<x>", "", "x" * 300, "\xfc", "a\tb", "user@a", "a?b", "a#b", "a\\b"],
)
def test_host_that_is_none_does_not_get_into_addresses(proxy_url: str, host: str) -> None:
    """The address that the client connected to is given instead."""
    links = ask(proxy_url, "/", f"Host: {host}").parsed
    assert isinstance(links, dict)
    assert links["links"]["topics"] == f"{proxy_url}/topics"


@pytest.mark.parametrize(
    ("trusted", "fields", "expected"),
    [
        ("", ("X-Forwarded-Host: evil", "Forwarded: host=evil"), "http://h:1"),
        ("127.0.0.0/8", ("X-Forwarded-Host: a.b", "X-Forwarded-Proto: https"), "https://a.b"),
        ("127.0.0.0/8", ("X-Forwarded-Host: a, b", "X-Forwarded-Port: 8443"), "http://a:8443"),
        ("127.0.0.0/8", ('Forwarded: proto=https;host="a:9", host=b',), "https://a:9"),
        ("127.0.0.0/8", ("X-Forwarded-Prefix: /kafka/",), "http://h:1/kafka"),
        ("127.0.0.0/8", ('X-Forwarded-Prefix: /"><script>',), "http://h:1"),
        ("127.0.0.0/8", ("X-Forwarded-Prefix: //evil.example",), "http://h:1"),
        ("127.0.0.0/8", ("X-Forwarded-Host: a b", "X-Forwarded-Proto: javascript"), "http://h:1"),
        ("10.0.0.0/8", ("X-Forwarded-Host: evil",), "http://h:1"),
    ],
)
def test_forwarded_fields_count_from_trusted_proxies_only(
    shared_proxies: dict[str, str], trusted: str, fields: tuple[str, ...], expected: str
) -> None:
    """And only where they say something that can stand in an address."""
    links = ask(shared_proxies[trusted], "/", "Host: h:1", *fields).parsed
    assert isinstance(links, dict)
    assert links["links"]["topics"] == f"{expected}/topics"


def test_requests_in_small_pieces_are_put_together(proxy_url: str) -> None:
    """A byte a write, over two requests."""
    with connected(proxy_url) as connection:
        for _ in range(2):
            for byte in render_head("GET /live HTTP/1.1", "Accept: */*"):
                connection.send(bytes([byte]))
            assert connection.read().status == 200


def test_half_closed_connection_is_a_closed_one(proxy_url: str) -> None:
    """A client that ends its side is taken to have gone; nothing is harmed by it."""
    connection = RawConnection(proxy_url)
    connection.send(render_head("GET /live HTTP/1.1"))
    connection.socket.shutdown(1)
    connection.close()
    assert ask(proxy_url, "/live").status == 200

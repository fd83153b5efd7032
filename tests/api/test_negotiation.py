"""Which type an answer bears, and which body is taken: CONTRACT.md section 1 on every route."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.api.conftest import MakeTopic
from tests.api.raw_connection import RawConnection, connected, render_head
from tests.brokers.broker import Broker
from tests.brokers.verify import produce

V2 = "application/vnd.kafka.v2+json"
BIN = "application/vnd.kafka.binary.v2+json"
JSON = "application/vnd.kafka.json.v2+json"
TEXT = "application/vnd.kafka.text.v2+json"
PLAIN = "application/json"
PROBLEM = "application/problem+json"
RECORDS = {BIN: b'"MQ=="', JSON: b"1", TEXT: b'"1"'}


@pytest.fixture(scope="module")
def connection(proxy_url: str) -> Iterator[RawConnection]:
    """One connection for all."""
    with connected(proxy_url) as made:
        yield made


@pytest.fixture(scope="module")
def topic(make_topic: MakeTopic, broker: Broker) -> str:
    """A topic with the one value `1`."""
    name = make_topic()
    asyncio.run(produce(broker.bootstrap, name, [b"1"]))
    return name


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/brokers",
        "/topics",
        "/topics/{t}",
        "/topics/{t}/partitions",
        "/topics/{t}/partitions/0",
        "/topics/{t}/partitions/0/offsets",
    ],
)
def test_metadata_answers_in_what_is_accepted(
    connection: RawConnection, topic: str, path: str
) -> None:
    """V2, or `application/json` where that is asked for; 406 says what is on offer."""
    for accept, expected in (
        (None, V2),
        ("", V2),
        ("*/*", V2),
        ("*", V2),
        ("application/*", V2),
        (V2, V2),
        (PLAIN, PLAIN),
        ("APPLICATION/JSON; charset=utf-8", PLAIN),
        (f"{V2};q=0.1, {PLAIN}", PLAIN),
        (f"{V2};q=0, */*", PLAIN),
        (f"text/html, {PLAIN};q=0.9, */*;q=0.1", PLAIN),
        (f"{BIN}, {JSON};q=0.5", V2),
        (f"{PROBLEM}, {V2}", V2),
        (';;;,,,"a, b;q=x', V2),
        ("a" * 5000, V2),
    ):
        fields = () if accept is None else (f"Accept: {accept}",)
        answer = connection.get(path.format(t=topic), *fields)
        assert (answer.status, answer.headers["content-type"]) == (200, expected), accept
    message = f"Nothing on offer satisfies Accept. On offer are: {V2}, {PLAIN}"
    for accept in ("text/html", "application/json;q=0", "image/*", "*/*;q=0", f"{V2};q=0.000"):
        answer = connection.get(path.format(t=topic), f"Accept: {accept}")
        assert answer.refusal == (406, V2, {"error_code": 406, "message": message}), accept


@pytest.mark.parametrize(
    ("accept", "expected", "value"),
    [
        (None, BIN, BIN),
        ("*/*", BIN, BIN),
        ("application/*;q=0.3", BIN, BIN),
        (BIN, BIN, BIN),
        (JSON, JSON, JSON),
        (TEXT, TEXT, TEXT),
        (V2, V2, BIN),
        (PLAIN, PLAIN, BIN),
        (f"{JSON};q=0.2, {TEXT};q=0.7, */*;q=0.1", TEXT, TEXT),
        (f"{BIN};q=0, */*", JSON, JSON),
        (f"{PLAIN}, */*", PLAIN, BIN),
    ],
)
def test_direct_read_answers_in_the_format_accepted(
    connection: RawConnection, topic: str, accept: str | None, expected: str, value: str
) -> None:
    """An explicit format wins; anything general is the binary one."""
    fields = () if accept is None else (f"Accept: {accept}",)
    answer = connection.get(f"/topics/{topic}/partitions/0/records?offset=0", *fields)
    assert (answer.status, answer.headers["content-type"]) == (200, expected)
    assert b'"value":' + RECORDS[value] in answer.body


def test_direct_read_that_nothing_satisfies_is_406(connection: RawConnection, topic: str) -> None:
    """The message has all types of a record read."""
    answer = connection.get(f"/topics/{topic}/partitions/0/records?offset=0", "Accept: text/csv")
    offer = f"{BIN}, {JSON}, {TEXT}, {V2}, {PLAIN}"
    message = f"Nothing on offer satisfies Accept. On offer are: {offer}"
    assert answer.refusal == (406, V2, {"error_code": 406, "message": message})


@pytest.mark.parametrize(
    ("method", "path", "fields", "status", "code"),
    [
        ("GET", "/no/such/route/here", (), 404, 404),
        ("PUT", "/topics", (), 405, 405),
        ("GET", "/topics/a%00", (), 400, 40002),
        ("GET", "/topics/koh-not-there", (), 404, 40401),
        ("GET", "/topics/{t}/partitions/7", (), 404, 40402),
        ("GET", "/topics/{t}/partitions/0/records?offset=99", (), 400, 40002),
        ("GET", "/consumers/g/instances/i/records", (), 404, 40403),
        ("POST", "/topics/{t}", ("Content-Length: 0",), 415, 415),
        ("POST", "/topics/{t}", ("Content-Encoding: br", "Content-Length: 0"), 415, 415),
        ("POST", "/consumers/g", ("Content-Length: 99999999999",), 413, 413),
    ],
)
def test_every_kind_of_error_is_a_problem_when_asked_for(
    proxy_url: str,
    topic: str,
    method: str,
    path: str,
    fields: tuple[str, ...],
    status: int,
    code: int,
) -> None:
    """RFC 9457 with our two members, from the router, a parser, a body limit and Kafka alike."""
    path = path.format(t=topic)
    with connected(proxy_url) as connection:
        answer = connection.get(path, f"Accept: {PROBLEM}, {V2}", *fields, method=method)
    assert (answer.status, answer.headers["content-type"]) == (status, PROBLEM)
    body = answer.parsed
    assert isinstance(body, dict)
    assert set(body) == {
        *("type", "title", "status", "detail", "instance", "error_code", "message")
    }
    assert (body["status"], body["error_code"]) == (status, code)
    assert body["type"] == "about:blank"
    assert body["detail"] == body["message"]
    assert body["instance"] == path.partition("?")[0]


def test_produce_of_which_nothing_was_written_is_a_problem_with_offsets(proxy_url: str) -> None:
    """The problem has a member more, the records' outcomes."""
    body = b'{"records":[{"value":1}]}'
    fields = (
        *(f"Accept: {PROBLEM}, {V2}", f"Content-Type: {JSON}"),
        f"Content-Length: {len(body)}",
    )
    with connected(proxy_url) as connection:
        connection.send(render_head("POST /topics/koh-not-there HTTP/1.1", *fields) + body)
        answer = connection.read()
    message = "Topic 'koh-not-there' not found."
    entry = {"partition": None, "offset": None, "error_code": 40401, "error": message}
    expected = {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": message,
        "instance": "/topics/koh-not-there",
        "error_code": 40401,
        "message": message,
        "offsets": [entry],
    }
    assert answer.refusal == (404, PROBLEM, expected)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, V2),
        (PLAIN, PLAIN),
        ("text/html", V2),
        (PROBLEM, PROBLEM),
        (f"{PROBLEM};q=0, */*;q=0.1", V2),
        (f"{PROBLEM};q=0.1, */*", PROBLEM),
        (BIN, V2),
    ],
)
def test_error_has_the_type_accepted(
    connection: RawConnection, accept: str | None, expected: str
) -> None:
    """An error is never refused for its type: what nothing fits is V2."""
    fields = () if accept is None else (f"Accept: {accept}",)
    answer = connection.get("/no/such/route/here", *fields)
    assert (answer.status, answer.headers["content-type"]) == (404, expected)
    # Where nothing on offer would do, that is said first, and in the same type.
    answer = connection.get("/topics/koh-not-there", *fields)
    status = 406 if accept in ("text/html", PROBLEM) else 404
    assert (answer.status, answer.headers["content-type"]) == (status, expected)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (
            "Content-Encoding: gzip",
            "Content-Encoding 'gzip': not supported here. Accepted is: identity",
        ),
        (
            "Content-Encoding: GZip, br",
            "Content-Encoding 'GZip, br': not supported here. Accepted is: identity",
        ),
        (
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding 'gzip, chunked': not supported here. Accepted is: chunked",
        ),
    ],
)
@pytest.mark.parametrize("path", ["/topics/x", "/topics/x/partitions/0", "/consumers/g"])
def test_compressed_body_is_415_that_says_so(
    proxy_url: str, path: str, field: str, message: str
) -> None:
    """It is not taken for malformed JSON."""
    chunked = field.startswith("Transfer")
    length, body = (
        ((), b"2\r\n\x1f\x8b\r\n0\r\n\r\n") if chunked else (("Content-Length: 2",), b"\x1f\x8b")
    )
    head = render_head(f"POST {path} HTTP/1.1", field, f"Content-Type: {JSON}", *length)
    with connected(proxy_url) as connection:
        connection.send(head + body)
        expected = {"error_code": 415, "message": message}
        assert connection.read().refusal == (415, V2, expected)


def test_identity_coding_is_no_coding(connection: RawConnection) -> None:
    """`Content-Encoding: identity` is passed over."""
    answer = connection.get(
        "/topics/koh-not-there",
        *(f"Content-Type: {JSON}", "Content-Encoding: Identity", "Content-Length: 0"),
        method="POST",
    )
    assert answer.status == 422

"""Bodies that are too large, slow, cut off or many: what is refused, and that bytes come back."""

from __future__ import annotations

import asyncio
import re
import socket
from urllib.parse import urlsplit

import orjson
import pytest

from tests.api.produce_calls import (
    JSON,
    V2,
    answer,
    assert_settled,
    get_metric,
    post,
    read,
    written,
)
from tests.brokers import verify
from tests.brokers.broker import Broker
from tests.brokers.proxy_process import ProxyProcess
from tests.conftest import ProxyFactory, TopicFactory

pytestmark = pytest.mark.anyio


class Wire:
    """A connection on which requests are written by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    def send_head(self, topic: str, framing: str) -> None:
        """The head of a produce request; `framing` is one more header field."""
        self.writer.write(
            f"POST /topics/{topic} HTTP/1.1\r\nhost: t\r\ncontent-type: {JSON}\r\n"
            f"{framing}\r\n\r\n".encode()
        )

    def send_chunk(self, data: bytes) -> None:
        """One chunk; the empty one is the last."""
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))

    async def read_answer(self) -> tuple[int, str, object]:
        """Header section in lower case."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = re.search(r"content-length: (\d+)", head)
        assert length is not None, head
        body = orjson.loads(await self._reader.readexactly(int(length[1])))
        return int(head.split(" ", 2)[1]), head, body


async def open_wire(proxy: ProxyProcess) -> Wire:
    """A fresh connection."""
    parts = urlsplit(proxy.url)
    return Wire(*await asyncio.open_connection(parts.hostname, parts.port))


async def await_reserved(proxy: ProxyProcess, least: int) -> None:
    """Return when so many bytes are in flight."""
    while await get_metric(proxy.url, "koh_in_flight_bytes") < least:  # noqa: ASYNC110 (a gauge)
        await asyncio.sleep(0.01)


async def test_a_body_that_says_it_is_too_large(
    start_proxy: ProxyFactory, topic: TopicFactory
) -> None:
    """413 before a byte of it is read."""
    name = await topic()
    proxy = start_proxy(max_body_bytes=1000)
    wire = await open_wire(proxy)
    wire.send_head(name, "content-length: 1001")
    status, head, body = await wire.read_answer()
    message = "The request body is larger than the limit of 1000 bytes."
    assert (status, body) == (413, {"error_code": 413, "message": message})
    assert f"content-type: {V2}" in head
    wire.writer.close()
    body_of_1000 = b'{"records":[{"value":"%b"}]}' % (b"x" * (1000 - 26))
    assert len(body_of_1000) == 1000
    assert read(await post(proxy.url, name, body_of_1000)) == (200, V2, answer(written(0, 0)))
    await assert_settled(proxy)


async def test_a_chunked_body(
    start_proxy: ProxyFactory, broker: Broker, topic: TopicFactory
) -> None:
    """Taken as any other, cut wherever it may be; 413 as soon as it is larger than the limit."""
    name = await topic()
    proxy = start_proxy(max_body_bytes=200_000)
    wire = await open_wire(proxy)
    wire.send_head(name, "transfer-encoding: chunked")
    body = b'{"records":[{"value":"%b"},{"value":"\xc3\xa9"}]}' % (b"y" * 150_000)
    for at in range(0, len(body), 33_333):
        wire.send_chunk(body[at : at + 33_333])
    wire.send_chunk(b"")
    status, _, told = await wire.read_answer()
    assert (status, told) == (200, answer(written(0, 0), written(0, 1)))
    wire.send_head(name, "transfer-encoding: chunked")
    for _ in range(7):
        wire.send_chunk(b" " * 30_000)
    status, _, told = await wire.read_answer()
    message = "The request body is larger than the limit of 200000 bytes."
    assert (status, told) == (413, {"error_code": 413, "message": message})
    wire.writer.close()
    stored = await verify.read_all(broker.bootstrap, name)
    assert [len(record.value or b"") for record in stored] == [150_002, 4]
    await assert_settled(proxy)


@pytest.mark.parametrize("framing", ["content-length: 60000", "transfer-encoding: chunked"])
async def test_the_budget(start_proxy: ProxyFactory, topic: TopicFactory, framing: str) -> None:
    """When it is used up, 503 with Retry-After; as soon as bytes are given back, 200 again."""
    name = await topic()
    proxy = start_proxy(max_in_flight_bytes=100_000, max_body_bytes=100_000)
    slow = await open_wire(proxy)
    slow.send_head(name, framing)
    slow.send_chunk(b'{"records":[{"value":') if "chunked" in framing else None
    await await_reserved(proxy, 60_000)
    refused = await post(proxy.url, name, b'{"records":[{"value":"%b"}]}' % (b"x" * 50_000))
    message = "Too many bytes are on their way to Kafka."
    assert read(refused) == (503, V2, {"error_code": 50304, "message": message})
    assert refused.headers["retry-after"] == "1"
    small = await post(proxy.url, name, {"records": [{"value": 1}]})
    assert small.status_code == 200
    slow.writer.close()
    await assert_settled(proxy)
    again = await post(proxy.url, name, b'{"records":[{"value":"%b"}]}' % (b"x" * 50_000))
    assert again.status_code == 200
    await assert_settled(proxy)


@pytest.mark.parametrize("framing", ["content-length: 5000", "transfer-encoding: chunked"])
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_body_that_breaks_off(
    proxy: ProxyProcess, broker: Broker, topic: TopicFactory, framing: str, how: str
) -> None:
    """A client that goes away in mid-body writes nothing, and leaves no bytes behind."""
    name = await topic()
    for _ in range(5):
        wire = await open_wire(proxy)
        wire.send_head(name, framing)
        part = b'{"records":[{"value":1},{"value":2}]}'
        wire.send_chunk(part) if "chunked" in framing else wire.writer.write(part)
        await await_reserved(proxy, 1)
        if how == "reset":
            # Closed with a timeout of 0 it is reset.
            wire.writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
            )
        wire.writer.close()
        await assert_settled(proxy)
    assert await verify.end_offsets(broker.bootstrap, name) == {0: 0}


async def test_a_client_that_does_not_wait_for_its_answer(
    proxy: ProxyProcess, broker: Broker, topic: TopicFactory
) -> None:
    """What was sent whole is written, also when nobody is there to hear of it."""
    name = await topic()
    for at in range(20):
        wire = await open_wire(proxy)
        body = b'{"records":[{"value":%d}]}' % at
        wire.send_head(name, f"content-length: {len(body)}")
        wire.writer.write(body)
        await wire.writer.drain()
        wire.writer.close()
    async with asyncio.timeout(10):
        while (await verify.end_offsets(broker.bootstrap, name))[0] < 20:  # noqa: ASYNC110 (no event)
            await asyncio.sleep(0.02)
    await assert_settled(proxy)


async def test_a_slow_body(proxy: ProxyProcess, topic: TopicFactory) -> None:
    """One that comes byte by byte holds nobody up, and is taken when it is whole."""
    name = await topic()
    body = b'{"records":[{"value":"slow"}]}'
    wire = await open_wire(proxy)
    wire.send_head(name, f"content-length: {len(body)}")
    for at in range(len(body)):
        wire.writer.write(body[at : at + 1])
        await wire.writer.drain()
        if at % 10 == 0:
            response = await post(proxy.url, name, {"records": [{"value": at}]})
            assert response.status_code == 200
    status, _, told = await wire.read_answer()
    assert (status, told) == (200, answer(written(0, 3)))
    wire.writer.close()
    await assert_settled(proxy)


async def test_refused_requests_leave_no_bytes(
    proxy: ProxyProcess, topic: TopicFactory, name: str
) -> None:
    """Whatever is wrong with a request, its bytes are given back."""
    known = await topic()
    for where, body in [
        (name, b'{"records":[{"value":1}]}'),
        (known, b"{"),
        (known, b""),
        (known, b'{"records":[]}'),
        (known, b'{"records":[{"value":1,"partition":9}]}'),
        ("illegal%20name", b'{"records":[{"value":1}]}'),
    ]:
        assert (await post(proxy.url, where, body)).status_code in (400, 404, 422)
    response = await post(proxy.url, known, b"<xml/>", "text/xml")
    assert response.status_code == 415
    await assert_settled(proxy, within_s=1)

"""What the produce tests share: calls, the entries of an answer, and what must hold afterwards."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from tests.brokers.broker import Broker
from tests.brokers.proxy_process import ProxyProcess

V2 = "application/vnd.kafka.v2+json"
JSON = "application/vnd.kafka.json.v2+json"
BINARY = "application/vnd.kafka.binary.v2+json"
TEXT = "application/vnd.kafka.text.v2+json"


def written(partition: int, offset: int | None) -> dict[str, object]:
    """The entry of a record that was written."""
    return {"partition": partition, "offset": offset, "error_code": None, "error": None}


def failed(partition: int | None, code: int, error: str) -> dict[str, object]:
    """The entry of a record that was not."""
    return {"partition": partition, "offset": None, "error_code": code, "error": error}


def answer(*offsets: dict[str, object]) -> dict[str, object]:
    """The body where at least one record was written."""
    return {"offsets": list(offsets), "key_schema_id": None, "value_schema_id": None}


def refusal(code: int, message: str, *offsets: dict[str, object]) -> dict[str, object]:
    """The body where none was."""
    return {"error_code": code, "message": message, "offsets": list(offsets)}


async def post(
    url: str, topic: str, body: object, content_type: str = JSON, *, partition: int | None = None
) -> httpx.Response:
    """Produce, on a connection of its own; a body that is no bytes is made JSON."""
    path = f"/topics/{topic}" + ("" if partition is None else f"/partitions/{partition}")
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    async with httpx.AsyncClient(timeout=30) as client:
        return await client.post(
            url + path, content=content, headers={"content-type": content_type}
        )


def read(response: httpx.Response) -> tuple[int, str, Any]:
    """Status, content type and body: what a test asserts in one literal."""
    return response.status_code, response.headers["content-type"], response.json()


async def get_metric(url: str, name: str) -> float:
    """The value of a gauge."""
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"{url}/metrics")).text
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    assert found is not None, text
    return float(found[1])


@contextmanager
def run_proxy(broker: Broker, **settings: object) -> Iterator[ProxyProcess]:
    """A proxy for several tests."""
    proxy = ProxyProcess(broker.bootstrap, settings)
    try:
        proxy.await_ready()
        yield proxy
    finally:
        proxy.stop()


async def assert_settled(proxy: ProxyProcess, within_s: float = 5) -> None:
    """All bytes are given back, and nothing happened that was not foreseen."""
    async with asyncio.timeout(within_s):
        while await get_metric(proxy.url, "koh_in_flight_bytes") != 0:  # noqa: ASYNC110 (a gauge)
            await asyncio.sleep(0.02)
    assert_quiet(proxy)


def assert_quiet(proxy: ProxyProcess) -> None:
    """No traceback is in the log."""
    log = proxy.log.read_text()
    assert "Traceback" not in log and "never retrieved" not in log, log


class Connection:
    """One kept connection: requests go and come one after the other, as fast as this can."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def produce(self, topic: str, records: list[dict[str, object]]) -> tuple[int, Any]:
        """Send records as JSON; status and body."""
        body = orjson.dumps({"records": records})
        self._writer.write(
            f"POST /topics/{topic} HTTP/1.1\r\nhost: test\r\ncontent-type: {JSON}\r\n"
            f"content-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = re.search(r"content-length: (\d+)", head)
        assert length is not None, head
        return int(head.split(" ", 2)[1]), orjson.loads(
            await self._reader.readexactly(int(length[1]))
        )


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Connection]:
    """A connection to the proxy."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()

"""Delivered means written: what a client did not get comes again, and is not committed."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from tests.api.instance_client import NOT_FOUND, Instance, an_instance, answer
from tests.brokers import verify
from tests.brokers.broker import Broker
from tests.conftest import TopicFactory

pytestmark = pytest.mark.anyio

# Far more than the socket buffers of both ends take.
MANY = 600
LARGE = b"x" * 20_000
WIDE = "timeout=10000&max_bytes=64000000"


@contextlib.asynccontextmanager
async def small_window(instance: Instance, query: str) -> AsyncIterator[asyncio.StreamReader]:
    """A fetch by a client that takes a few kilobytes and is closed with the rest unread."""
    where = urlsplit(instance.base)
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, (where.hostname, where.port))
    reader, writer = await asyncio.open_connection(sock=raw, limit=2048)
    writer.write(f"GET {where.path}/records?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await writer.drain()
    try:
        yield reader
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_gone_in_mid_answer(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """A slow client that closes gets all of it again, and a commit stores nothing of it."""
    read = await topic()
    await verify.produce(broker.bootstrap, read, [b"first"])
    async with an_instance(proxy_url, name, fetch_min_bytes=9_000_000) as instance:
        await instance.subscribe(read)
        assert len(await instance.fetch_until(1)) == 1
        await verify.produce(broker.bootstrap, read, [LARGE] * MANY)
        async with small_window(instance, WIDE) as reader:
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        await instance.commit()
        assert await verify.committed(broker.bootstrap, name) == {(read, 0): (1, "")}
        records = await instance.fetch_until(MANY)
        assert [record["offset"] for record in records] == list(range(1, MANY + 1))
        await instance.commit()
        assert await verify.committed(broker.bootstrap, name) == {(read, 0): (MANY + 1, "")}


async def test_a_commit_while_the_answer_is_written(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """What is on its way is not delivered yet; the next fetch waits for the one before."""
    read = await topic()
    await verify.produce(broker.bootstrap, read, [LARGE] * MANY)
    async with an_instance(proxy_url, name, fetch_min_bytes=9_000_000) as instance:
        await instance.subscribe(read)
        async with small_window(instance, WIDE) as reader:
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            await instance.commit()
            assert await verify.committed(broker.bootstrap, name) == {}
            second = asyncio.create_task(instance.fetch(timeout=5000, max_records=1))
            done, _ = await asyncio.wait([second], timeout=0.3)
            assert not done
        assert [record["offset"] for record in await second] == [0]


async def test_gone_as_records_arrive(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """A client that leaves its long poll just as records arrive leaves the instance in order."""
    read = await topic()
    async with an_instance(proxy_url, name) as instance:
        await instance.subscribe(read)
        expected = 0
        for at in range(10):
            async with small_window(instance, "timeout=15000") as reader:
                produced = asyncio.create_task(verify.produce(broker.bootstrap, read, [b"x"]))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.004 * at):
                        await reader.read(1)
            await produced
            # The socket may have taken it in the last instant; then it is delivered.
            for record in await instance.fetch(timeout=200):
                assert record["offset"] in (expected, at)
                expected = record["offset"] + 1
        await verify.produce(broker.bootstrap, read, [b"last"])
        assert [record["offset"] for record in await instance.fetch_until(1)] == [10]


async def test_a_client_that_waits_and_leaves(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """Long polls that nobody waits for any more hold up no other, and take no record."""
    read = await topic()
    async with an_instance(proxy_url, name, format="json") as instance:
        await instance.subscribe(read)
        for _ in range(20):
            async with small_window(instance, "timeout=15000"):
                pass
        await verify.produce(broker.bootstrap, read, [b"1", b"2"])
        assert [record["value"] for record in await instance.fetch_until(2)] == [1, 2]


async def test_a_seek_while_the_answer_is_written(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """A seek wins over the answer that is on its way: reading goes on from the sought offset."""
    read = await topic()
    await verify.produce(broker.bootstrap, read, [LARGE] * MANY)
    async with an_instance(proxy_url, name, fetch_min_bytes=9_000_000) as instance:
        await instance.subscribe(read)
        async with small_window(instance, WIDE) as reader:
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            await instance.seek(read, 7)
            # The client takes the rest after all: what it got is not what the position says.
            while not (await reader.read(1 << 16)).endswith(b"]"):
                pass
        assert (await instance.fetch(timeout=5000, max_records=1))[0]["offset"] == 7


async def test_deleted_while_it_waits_and_while_it_writes(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """DELETE ends a long poll with 40403 at once, and does not wait for an answer to be taken."""
    read = await topic()
    async with an_instance(proxy_url, name) as instance:
        await instance.subscribe(read)
        waiting = asyncio.create_task(instance.get("/records", timeout=15_000))
        done, _ = await asyncio.wait([waiting], timeout=0.3)
        assert not done
        async with asyncio.timeout(5):
            await instance.delete()
            assert answer(await waiting) == NOT_FOUND
    await verify.produce(broker.bootstrap, read, [LARGE] * MANY)
    async with an_instance(proxy_url, name, fetch_min_bytes=9_000_000) as instance:
        await instance.subscribe(read)
        async with small_window(instance, WIDE) as reader:
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            async with asyncio.timeout(5):
                await instance.delete()
            assert await verify.count_members(broker.bootstrap, name) == 0

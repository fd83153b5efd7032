"""GET …/records: when a fetch answers: at the first data, at `timeout`, at `fetch.min.bytes`."""

from __future__ import annotations

import asyncio
import time
from base64 import b64decode

import pytest

from tests.api.instance_client import (
    BINARY,
    an_instance,
    answer,
    refused,
)
from tests.brokers import verify
from tests.brokers.broker import Broker
from tests.conftest import TopicFactory

pytestmark = pytest.mark.anyio

# Far below the waits that the tests ask for, far above what a busy machine needs.
SOON_S = 5.0
LONG_MS = 15_000


async def test_a_waiting_fetch_returns_at_the_first_record(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """A long poll ends when a record comes, also one without a byte in it, and not before."""
    read = await topic()
    async with an_instance(proxy_url, name) as instance:
        await instance.subscribe(read)
        for value in (b"1", b""):
            waiting = asyncio.create_task(instance.fetch(timeout=LONG_MS))
            done, _ = await asyncio.wait([waiting], timeout=0.3)
            assert not done
            begun = time.monotonic()
            await verify.produce(broker.bootstrap, read, [value])
            assert len(await waiting) == 1
            assert time.monotonic() - begun < SOON_S


async def test_timeouts(proxy_url: str, topic: TopicFactory, name: str) -> None:
    """The query's timeout wins over the instance's; 0 does not wait; nothing is `[]`."""
    read = await topic()
    slow = {"consumer_request_timeout_ms": LONG_MS}
    async with an_instance(proxy_url, name, **slow) as instance:
        await instance.subscribe(read)
        begun = time.monotonic()
        assert answer(await instance.get("/records", timeout=0)) == (200, BINARY, [])
        assert answer(await instance.get("/records", timeout=100)) == (200, BINARY, [])
        assert time.monotonic() - begun < SOON_S
    async with an_instance(proxy_url, name, consumer_request_timeout_ms=300) as instance:
        await instance.subscribe(read)
        begun = time.monotonic()
        assert await instance.fetch() == []
        assert 0.3 <= time.monotonic() - begun < SOON_S


@pytest.mark.parametrize("query", ["timeout", "max_bytes", "max_records"])
@pytest.mark.parametrize("given", ["-1", "x", "1.5", ""])
async def test_bad_numbers(proxy_url: str, name: str, query: str, given: str) -> None:
    """What is no number, or negative, is 40002."""
    async with an_instance(proxy_url, name) as instance:
        refusal = await instance.get("/records", **{query: given})
        assert answer(refusal) == refused(40002, f"Invalid parameter '{query}' got '{given}'")


async def test_min_bytes(broker: Broker, proxy_url: str, topic: TopicFactory, name: str) -> None:
    """A fetch waits for `fetch.min.bytes`, returns with what there is at its timeout."""
    read = await topic(partitions=4)
    async with an_instance(proxy_url, name, fetch_min_bytes=1000) as instance:
        await instance.subscribe(read)
        await verify.produce(broker.bootstrap, read, [b"x" * 500])
        waiting = asyncio.create_task(instance.fetch(timeout=LONG_MS))
        done, _ = await asyncio.wait([waiting], timeout=0.5)
        assert not done
        await verify.produce(broker.bootstrap, read, [b"x" * 500], partition=3)
        assert len(await waiting) == 2
        await verify.produce(broker.bootstrap, read, [b"y"])
        assert len(await instance.fetch(timeout=500)) == 1


async def test_min_bytes_of_one_partition_among_many(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """What one partition holds may be all that is waited for, its share of the queue or not."""
    read = await topic(partitions=8)
    await verify.produce(broker.bootstrap, read, [b"x" * 100_000] * 12)
    async with an_instance(proxy_url, name, fetch_min_bytes=1_000_000) as instance:
        await instance.subscribe(read)
        begun = time.monotonic()
        size = sum(len(b64decode(one["value"])) for one in await instance.fetch(timeout=LONG_MS))
        assert (size >= 1_000_000, time.monotonic() - begun < SOON_S) == (True, True)


async def test_more_than_is_held_ready_may_be_waited_for(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """A queue that is full makes room for a fetch that wants more than it holds."""
    read = await topic()
    await verify.produce(broker.bootstrap, read, [b"x" * 500_000] * 12)
    async with an_instance(proxy_url, name, fetch_min_bytes=5_000_000) as instance:
        await instance.subscribe(read)
        # The first leaves a full queue behind, whose pump sleeps.
        assert len(await instance.fetch(timeout=300, max_records=1)) == 1
        begun = time.monotonic()
        assert len(await instance.fetch(timeout=LONG_MS, max_bytes=10_000_000)) >= 10
        assert time.monotonic() - begun < SOON_S


async def test_min_bytes_minus_one(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """With -1 a fetch waits for its whole time, or until `max_bytes` are there."""
    read = await topic()
    await verify.produce(broker.bootstrap, read, [b"x" * 100] * 3)
    async with an_instance(proxy_url, name, fetch_min_bytes=-1) as instance:
        await instance.subscribe(read)
        begun = time.monotonic()
        assert len(await instance.fetch(timeout=LONG_MS, max_bytes=200)) == 2
        assert time.monotonic() - begun < SOON_S
        assert len(await instance.fetch(timeout=400)) == 1
        assert time.monotonic() - begun >= 0.4

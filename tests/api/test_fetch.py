"""GET …/records: with what a fetch answers, and in which order."""

from __future__ import annotations

import asyncio
import random
import time
from base64 import b64decode, b64encode

import pytest

from tests.api.instance_client import (
    BINARY,
    JSON,
    TEXT,
    V2,
    an_instance,
    answer,
)
from tests.brokers import verify
from tests.brokers.broker import Broker
from tests.conftest import TopicFactory

pytestmark = pytest.mark.anyio

# Far below the waits that the tests ask for, far above what a busy machine needs.
SOON_S = 5.0
LONG_MS = 15_000


async def test_a_record_whole(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """A record has all its fields, headers only where there are some, and null is not empty."""
    read = await topic()
    await verify.produce(
        broker.bootstrap,
        read,
        [b"", None],
        key=b"k",
        headers=[("h", b"1"), ("h", None)],
        timestamp_ms=1_700_000_000_000,
    )
    await verify.produce(broker.bootstrap, read, [b"v"], timestamp_ms=1_700_000_000_001)
    headers = [{"key": "h", "value": "MQ=="}, {"key": "h", "value": None}]
    common = {"topic": read, "partition": 0, "key": "aw==", "timestamp": 1_700_000_000_000}
    async with an_instance(proxy_url, name) as instance:
        await instance.subscribe(read)
        assert answer(await instance.get("/records", timeout=5000)) == (
            200,
            BINARY,
            [
                {**common, "value": "", "offset": 0, "headers": headers},
                {**common, "value": None, "offset": 1, "headers": headers},
                {
                    "topic": read,
                    "partition": 0,
                    "offset": 2,
                    "key": None,
                    "value": "dg==",
                    "timestamp": 1_700_000_000_001,
                },
            ],
        )


@pytest.mark.parametrize(
    ("accept", "content_type", "value"),
    [
        (None, JSON, 1),
        (V2, V2, 1),
        ("application/json", "application/json", 1),
        (BINARY, BINARY, "MQ=="),
        (TEXT, TEXT, "1"),
    ],
)
async def test_the_format_is_the_clients(
    broker: Broker,
    proxy_url: str,
    topic: TopicFactory,
    name: str,
    accept: str | None,
    content_type: str,
    value: object,
) -> None:
    """The instance's format unless Accept names another."""
    read = await topic()
    await verify.produce(broker.bootstrap, read, [b"1"])
    async with an_instance(proxy_url, name, format="json") as instance:
        await instance.assign((read, 0))
        headers = {} if accept is None else {"accept": accept}
        fetched = await instance.client.get(instance.base + "/records", headers=headers)
        assert (fetched.status_code, fetched.headers["content-type"]) == (200, content_type)
        assert [record["value"] for record in fetched.json()] == [value]
        refusal = await instance.client.get(
            instance.base + "/records", headers={"accept": "image/png"}
        )
        assert (refusal.status_code, refusal.json()["error_code"]) == (406, 406)


async def test_key_and_value_may_differ(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """`key.format` and `value.format` override one side each."""
    read = await topic()
    await verify.produce(broker.bootstrap, read, [b"[1]"], key=b"\xff")
    async with an_instance(proxy_url, name, key_format="binary", value_format="json") as instance:
        await instance.assign((read, 0))
        [record] = await instance.fetch(timeout=5000)
        assert (record["key"], record["value"]) == ("/w==", [1])


@pytest.mark.parametrize("seed", range(3))
async def test_walking_a_topic(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str, seed: int
) -> None:
    """
    Whatever the limits, a fetch keeps them or brings one record, and none is lost, doubled or
    changed.
    """
    choose = random.Random(seed)  # noqa: S311 (no secret)
    read = await topic(partitions=3)
    written: dict[int, list[bytes | None]] = {}
    for partition in range(3):
        values: list[bytes | None] = [
            None
            if choose.random() < 0.1
            else choose.randbytes(int(choose.paretovariate(0.4)) % 9000)
            for _ in range(choose.randrange(50, 150))
        ]
        written[partition] = values
        await verify.produce(broker.bootstrap, read, values, key=b"", partition=partition)
    found: dict[int, list[bytes | None]] = {0: [], 1: [], 2: []}
    async with an_instance(proxy_url, name) as instance:
        await instance.subscribe(read)
        while found != written:
            max_bytes = choose.choice([0, 1, 100, 5000, 100_000])
            max_records = choose.choice([0, 1, 7, 1000])
            records = await instance.fetch(max_bytes=max_bytes, max_records=max_records)
            size = 0
            for record in records:
                value = None if record["value"] is None else b64decode(record["value"])
                seen = found[record["partition"]]
                assert record["offset"] == len(seen)
                assert value == written[record["partition"]][len(seen)]
                seen.append(value)
                size += len(value or b"")
            assert records
            assert len(records) == 1 or (size <= max_bytes and len(records) <= max_records)
        assert await instance.fetch(timeout=0) == []


async def test_partitions_take_turns(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """With room for one record at a time, no partition has two turns while another has one."""
    read = await topic(partitions=3)
    for partition in range(3):
        await verify.produce(broker.bootstrap, read, [b"x"] * 4, partition=partition)
    async with an_instance(proxy_url, name, fetch_min_bytes=12) as instance:
        await instance.subscribe(read)
        order = [
            (await instance.fetch(timeout=1000 if at == 0 else 0, max_records=1))[0]["partition"]
            for at in range(12)
        ]
        assert [set(order[at : at + 3]) for at in (0, 3, 6, 9)] == [{0, 1, 2}] * 4


async def test_two_at_once_take_turns(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """Fetches at once on one instance are served one after the other, none sees a record twice."""
    read = await topic()
    async with an_instance(proxy_url, name, format="json") as instance:
        await instance.subscribe(read)
        waiting = [
            asyncio.create_task(instance.fetch(timeout=LONG_MS, max_records=1)) for _ in range(5)
        ]
        await verify.produce(broker.bootstrap, read, [b"%d" % at for at in range(5)])
        values = [record["value"] for one in waiting for record in await one]
        assert sorted(values) == [0, 1, 2, 3, 4]


async def test_a_full_partition_does_not_slow_another(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """What is fetched is filled up again at once, although another partition waits for records."""
    read = await topic(partitions=2)
    value = b"x" * 10_000
    await verify.produce(broker.bootstrap, read, [value] * 2000)
    async with an_instance(proxy_url, name) as instance:
        await instance.subscribe(read)
        begun = time.monotonic()
        assert len(await instance.fetch_until(2000)) == 2000
        # 40 fetches of half a MiB: with a wait of 0.2 s at each it would take 8 s.
        assert time.monotonic() - begun < SOON_S


async def test_a_large_record_comes_whole(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """A record larger than every limit is brought, alone, and the next one after it."""
    read = await topic(configs={"max.message.bytes": "8000000"})
    large = random.Random(0).randbytes(5_000_000)  # noqa: S311 (no secret)
    await verify.produce(broker.bootstrap, read, [b"a", large, b"b"], max_request_size=8_000_000)
    async with an_instance(proxy_url, name) as instance:
        await instance.subscribe(read)
        found = [(await instance.fetch(timeout=5000, max_bytes=1))[0]["value"] for _ in range(3)]
        assert found == [b64encode(value).decode() for value in (b"a", large, b"b")]

"""Batches that aiokafka cannot decode: one bad byte costs no more than it must."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from tests.api.instance_client import an_instance, assert_no_traceback, create, http_client
from tests.brokers import verify
from tests.brokers.broker import Broker
from tests.conftest import KafkaFactory, ProxyFactory, TopicFactory

pytestmark = pytest.mark.anyio

MARK = b"<this is where the disk failed>"


async def produce_with_header(
    bootstrap: str, topic: str, partition: int, header: bytes, values: list[bytes]
) -> None:
    """One batch, whose second record has a header of that name, in bytes."""
    builder: Any = _DefaultRecordBatchBuilderPy(2, 0, False, -1, -1, -1, 1_000_000)
    stand_in = "h" * len(header)
    for at, value in enumerate(values):
        builder.append(at, None, None, value, [(stand_in, b"v")] if at == 1 else [])
    start = builder._buffer.index(stand_in.encode())
    builder._buffer[start : start + len(header)] = header
    batch = bytes(builder.build())
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        await producer.client.force_metadata_update()
        request = ProduceRequest(None, -1, 10_000, [(topic, [(partition, batch)])])
        response: Any = await producer.client.send(producer.client.get_random_node(), request)
        assert response.topics[0][1][0][1] == 0
    finally:
        await producer.stop()


async def test_a_header_name_that_is_no_text(
    broker: Broker, start_proxy: ProxyFactory, topic: TopicFactory, name: str
) -> None:
    """
    Kafka takes any bytes for a header's name: the record comes with U+FFFD in it, as the Java
    client shows it, and the records of its batch, before and after it, and of other partitions.
    """
    read = await topic(partitions=2)
    await verify.produce(broker.bootstrap, read, [b"before"])
    await produce_with_header(broker.bootstrap, read, 0, b"\xffab", [b"0", b"1", b"2"])
    await verify.produce(broker.bootstrap, read, [b"after"])
    await verify.produce(broker.bootstrap, read, [b"other"] * 2000, partition=1)
    proxy = start_proxy()
    for config in ({}, {"isolation_level": "read_committed"}):
        async with an_instance(proxy.url, f"{name}{len(config)}", format="text", **config) as one:
            await one.subscribe(read)
            records = await one.fetch_until(2005)
            values = [record["value"] for record in records if record["partition"] == 0]
            assert values == ["before", "0", "1", "2", "after"]
            offsets = [record["offset"] for record in records if record["partition"] == 1]
            assert offsets == list(range(2000))
            [marked] = [record for record in records if "headers" in record]
            assert marked["headers"] == [{"key": "\ufffdab", "value": "dg=="}]
    assert_no_traceback(proxy.log)


@pytest.mark.timeout(60)
async def test_a_batch_whose_checksum_is_wrong(
    start_kafka: KafkaFactory, start_proxy: ProxyFactory, name: str
) -> None:
    """
    What stands before the damage comes, and all of the other partition; then the fetch says where
    the damage is and how to get behind it.
    """
    node = await asyncio.to_thread(start_kafka)
    await verify.await_brokers(node.bootstrap)
    await verify.create_topic(node.bootstrap, name, 2)
    for value in (b"0", b"1", MARK, b"3"):
        await verify.produce(node.bootstrap, name, [value])
    await verify.produce(node.bootstrap, name, [b"x"] * 100, partition=1)
    await asyncio.to_thread(node.child.stop, 20)
    [segment] = (node.home / "data" / f"{name}-0").glob("*.log")
    stored = segment.read_bytes()
    assert stored.count(MARK) == 1
    segment.write_bytes(stored.replace(MARK, MARK.upper()))
    await asyncio.to_thread(node.start)
    await verify.await_brokers(node.bootstrap)
    proxy = await asyncio.to_thread(start_proxy, node.bootstrap)
    async with http_client() as client:
        instance = await create(client, proxy.url, name, format="text")
        await instance.subscribe(name)
        records = await instance.fetch_until(102)
        values = [record["value"] for record in records if record["partition"] == 0]
        assert values == ["0", "1"]
        for _ in range(2):
            refusal = await instance.get("/records", timeout=5000)
            assert (refusal.status_code, refusal.json()) == (
                500,
                {
                    "error_code": 50002,
                    "message": "Kafka error: CORRUPT_MESSAGE: the record batch of"
                    f" {name}-0 at offset 2 cannot be decoded; seek to offset 3 to leave it out.",
                },
            )
        await verify.produce(node.bootstrap, name, [b"y"], partition=1)
        while (fetched := await instance.get("/records", timeout=50)).status_code != 200:
            assert fetched.status_code == 500
        assert [record["value"] for record in fetched.json()] == ["y"]
        await instance.seek(name, 3)
        assert [record["value"] for record in await instance.fetch_until(1)] == ["3"]
        await instance.delete()
    assert_no_traceback(proxy.log)

"""Where records go, and in which order they are there."""

from __future__ import annotations

import os

import pytest
from aiokafka import AIOKafkaProducer

from tests.api.produce_calls import (
    BINARY,
    TEXT,
    V2,
    answer,
    assert_settled,
    connect,
    failed,
    post,
    read,
    refusal,
    written,
)
from tests.api.topic_changes import add_partitions
from tests.brokers import verify
from tests.brokers.broker import Broker
from tests.brokers.proxy_process import ProxyProcess
from tests.conftest import TopicFactory

pytestmark = pytest.mark.anyio


async def partitions_of_a_native_producer(
    bootstrap: str, topic: str, keys: list[str]
) -> dict[bytes, int]:
    """Where another client puts records with these keys, by its own default."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        sent = [await producer.send(topic, b"native", key=key.encode()) for key in keys]
        return {key.encode(): (await one).partition for key, one in zip(keys, sent, strict=True)}


async def test_keys_go_where_a_native_producer_puts_them(
    proxy_url: str, broker: Broker, topic: TopicFactory
) -> None:
    """Records of one key are in one partition, whoever wrote them; a very long key too."""
    name = await topic(partitions=7)
    keys = [f"key-{at}" for at in range(60)] + ["", "ключ", "x" * 300, "k" * 40_000]
    native = await partitions_of_a_native_producer(broker.bootstrap, name, keys)
    records = [{"key": key, "value": "ours"} for key in keys]
    response = await post(proxy_url, name, {"records": records}, TEXT)
    assert response.status_code == 200
    told = [entry["partition"] for entry in response.json()["offsets"]]
    assert told == [native[key.encode()] for key in keys]
    stored = await verify.read_all(broker.bootstrap, name)
    assert {(record.key, record.partition) for record in stored if record.value == b"ours"} == set(
        native.items()
    )


async def test_keyless_records_of_a_request_share_a_partition(
    proxy_url: str, topic: TopicFactory
) -> None:
    """One request, one partition; the next request takes the next."""
    name = await topic(partitions=3)
    seen = []
    for _ in range(3):
        response = await post(proxy_url, name, {"records": [{"value": at} for at in range(4)]})
        [partition] = {entry["partition"] for entry in response.json()["offsets"]}
        seen.append(partition)
    assert sorted(seen) == [0, 1, 2]


async def test_a_records_own_partition_wins(proxy_url: str, topic: TopicFactory) -> None:
    """Over the path's partition, which wins over the key."""
    name = await topic(partitions=4)
    records = [{"value": 1}, {"value": 2, "partition": 3}, {"key": "k", "value": 3}]
    response = await post(proxy_url, name, {"records": records}, partition=1)
    assert read(response) == (200, V2, answer(written(1, 0), written(3, 0), written(1, 1)))


async def test_order_within_a_request_and_from_one_to_the_next(
    proxy_url: str, broker: Broker, topic: TopicFactory
) -> None:
    """Records of one partition stand in the order sent, over many requests of one connection."""
    name = await topic(partitions=3)
    async with connect(proxy_url) as connection:
        for request in range(40):
            records: list[dict[str, object]] = [
                {"key": at % 5, "value": [request, at]} for at in range(25)
            ]
            status, _ = await connection.produce(name, records)
            assert status == 200
    stored = await verify.read_all(broker.bootstrap, name)
    for key in range(5):
        values = [record.value for record in stored if record.key == b"%d" % key]
        assert values == [
            b"[%d,%d]" % (request, at) for request in range(40) for at in range(25) if at % 5 == key
        ]


async def test_a_topic_that_got_more_partitions(
    proxy: ProxyProcess, broker: Broker, topic: TopicFactory
) -> None:
    """A partition that was added is there at once, in the path, in a record, and for keys."""
    name = await topic()
    response = await post(proxy.url, name, {"records": [{"value": 0}]})
    assert read(response) == (200, V2, answer(written(0, 0)))
    await add_partitions(broker.bootstrap, name, 3)
    response = await post(proxy.url, name, {"records": [{"value": 1}]}, partition=2)
    assert read(response) == (200, V2, answer(written(2, 0)))
    response = await post(proxy.url, name, {"records": [{"value": 1, "partition": 1}]})
    assert read(response) == (200, V2, answer(written(1, 0)))
    keys = [f"k{at}" for at in range(20)]
    native = await partitions_of_a_native_producer(broker.bootstrap, name, keys)
    response = await post(proxy.url, name, {"records": [{"key": key} for key in keys]}, TEXT)
    told = [entry["partition"] for entry in response.json()["offsets"]]
    assert told == [native[key.encode()] for key in keys]
    await assert_settled(proxy)


async def test_an_unknown_partition_in_the_path(proxy_url: str, topic: TopicFactory) -> None:
    """404 with 40402, and an entry for each record."""
    name = await topic(partitions=2)
    response = await post(proxy_url, name, {"records": [{"value": 1}, {"value": 2}]}, partition=2)
    message = f"Partition 2 of topic '{name}' not found."
    entry = failed(None, 40402, message)
    assert read(response) == (404, V2, refusal(40402, message, entry, entry))
    response = await post(proxy_url, name, {"records": [{"value": 1}]}, partition=2**31 - 1)
    assert response.status_code == 404


async def test_a_key_of_a_megabyte(
    proxy: ProxyProcess, broker: Broker, topic: TopicFactory
) -> None:
    """A very long key is hashed without holding others up, and one that is too long is refused."""
    name = await topic(partitions=3, configs={"max.message.bytes": "3000000"})
    key = os.urandom(1_000_000).hex()
    body = {"records": [{"key": key, "value": None}, {"key": key * 2}, {"key": "ok"}]}
    response = await post(proxy.url, name, body, TEXT)
    entries = response.json()["offsets"]
    assert [entry["error_code"] for entry in entries] == [None, 41301, None]
    native = await partitions_of_a_native_producer(broker.bootstrap, name, ["ok"])
    assert entries[2]["partition"] == native[b"ok"]
    await assert_settled(proxy)
    response = await post(proxy.url, name, b'{"records":[{"key":"AAAA"}]}', BINARY)
    assert response.status_code == 200

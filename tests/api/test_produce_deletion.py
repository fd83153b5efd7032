"""Topics that are deleted, and made again, while records are sent to them."""

from __future__ import annotations

import asyncio

import pytest

from tests.api.produce_calls import V2, answer, assert_settled, connect, post, read, written
from tests.brokers import verify
from tests.brokers.broker import Broker
from tests.conftest import ProxyFactory, TopicFactory

pytestmark = pytest.mark.anyio


async def test_a_topic_that_is_deleted_under_load(
    start_proxy: ProxyFactory, broker: Broker, topic: TopicFactory
) -> None:
    """
    Its records are refused with 40401, soon and for good; those for other topics, new ones too, are
    all written.
    """
    doomed, kept = await topic(partitions=3), await topic(partitions=3)
    fresh = [await topic() for _ in range(10)]
    proxy = start_proxy(metadata_ttl_ms=500)
    gone = asyncio.Event()
    told: list[tuple[int, int]] = []

    async def send_to_doomed(client: int) -> None:
        async with connect(proxy.url) as connection:
            for at in range(100_000):
                status, body = await connection.produce(doomed, [{"key": client, "value": at}])
                if status == 404:
                    assert body["error_code"] == 40401
                    return
                assert status == 200, body

    async def send_to_kept(client: int) -> None:
        async with connect(proxy.url) as connection:
            while not gone.is_set():
                status, body = await connection.produce(kept, [{"key": client, "value": 1}])
                assert status == 200, body
                told.append((body["offsets"][0]["partition"], body["offsets"][0]["offset"]))

    doomed_clients = [asyncio.create_task(send_to_doomed(client)) for client in range(8)]
    kept_clients = [asyncio.create_task(send_to_kept(client)) for client in range(8)]
    while len(told) < 50:  # noqa: ASYNC110 (a count)
        await asyncio.sleep(0.01)
    await verify.delete_topics(broker.bootstrap, [doomed])
    for name in fresh:
        assert (await post(proxy.url, name, {"records": [{"value": 1}]})).status_code == 200
    # A broker may wait 5 s for the replicas of what it has just deleted.
    async with asyncio.timeout(10):
        await asyncio.gather(*doomed_clients)
    gone.set()
    await asyncio.gather(*kept_clients)
    stored = await verify.read_all(broker.bootstrap, kept)
    assert sorted((record.partition, record.offset) for record in stored) == sorted(told)
    assert doomed not in await verify.list_topics(broker.bootstrap)
    await assert_settled(proxy)


async def test_a_topic_that_is_made_again(
    start_proxy: ProxyFactory, broker: Broker, topic: TopicFactory
) -> None:
    """The new one takes records from its first offset on, without a restart of anything."""
    name = await topic(partitions=2)
    proxy = start_proxy(metadata_ttl_ms=500)
    for round_ in range(3):
        for partition in (0, 1):
            records = [{"value": round_, "partition": partition}] * 5
            response = await post(proxy.url, name, {"records": records})
            assert read(response) == (200, V2, answer(*(written(partition, at) for at in range(5))))
        await verify.delete_topics(broker.bootstrap, [name])
        while name in await verify.list_topics(broker.bootstrap):  # noqa: ASYNC110 (no event)
            await asyncio.sleep(0.01)
        await verify.create_topic(broker.bootstrap, name, partitions=2)
    await assert_settled(proxy)


async def test_a_topic_that_is_made_again_with_fewer_partitions(
    start_proxy: ProxyFactory, broker: Broker, topic: TopicFactory
) -> None:
    """A record for a partition that is no more fails with 40402, also if we remember another."""
    name = await topic(partitions=3)
    proxy = start_proxy(metadata_ttl_ms=600_000)
    records = [{"value": 1, "partition": partition} for partition in range(3)]
    assert (await post(proxy.url, name, {"records": records})).status_code == 200
    await verify.delete_topics(broker.bootstrap, [name])
    while name in await verify.list_topics(broker.bootstrap):  # noqa: ASYNC110 (no event)
        await asyncio.sleep(0.01)
    await verify.create_topic(broker.bootstrap, name)
    response = await post(proxy.url, name, {"records": records})
    assert response.status_code == 200
    entries = response.json()["offsets"]
    assert [entry["error_code"] for entry in entries] == [None, 40402, 40402]
    assert entries[0] == written(0, 0)
    await assert_settled(proxy)

"""Groups: instances share them with each other and with native clients, and lose nothing."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

from tests.api.instance_client import (
    Instance,
    an_instance,
    answer,
    assert_no_traceback,
    create,
    eventually,
    http_client,
    refused,
)
from tests.brokers import verify
from tests.brokers.broker import Broker
from tests.conftest import ProxyFactory, TopicFactory

pytestmark = [pytest.mark.anyio, pytest.mark.needs("commit_while_rebalancing")]

SOON_S = 5.0


async def test_a_group_shared_with_a_native_client(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """Partitions are shared, come back when the other leaves, and resume at its commits."""
    read = await topic(partitions=2)
    for partition in (0, 1):
        await verify.produce(broker.bootstrap, read, [b"x"] * 10, partition=partition)
    async with an_instance(proxy_url, name) as instance:
        await instance.subscribe(read)
        native: Any = AIOKafkaConsumer(
            read,
            bootstrap_servers=broker.bootstrap,
            group_id=name,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            heartbeat_interval_ms=200,
        )
        await native.start()
        try:
            [theirs] = native.assignment()

            async def shared() -> bool:
                return await instance.assignments() == [(read, 1 - theirs.partition)]

            await eventually(shared)
            await native.commit({theirs: 4})
        finally:
            await native.stop()

        async def back() -> bool:
            return len(await instance.assignments()) == 2

        await eventually(back)
        seen: dict[int, list[int]] = {0: [], 1: []}
        for record in await instance.fetch_until(16):
            seen[record["partition"]].append(record["offset"])
        assert seen == {
            theirs.partition: list(range(4, 10)),
            1 - theirs.partition: list(range(10)),
        }


async def test_what_stays_goes_on_without_duplicates(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """
    A partition that stays through rebalances is read on where it was, committed or not, with what
    was delivered of it still to commit; the loss of the other is told.
    """
    read = await topic(partitions=2)
    for partition in (0, 1):
        await verify.produce(broker.bootstrap, read, [b"x"] * 6, partition=partition)
    async with an_instance(proxy_url, name, fetch_min_bytes=12) as first:
        await first.subscribe(read)
        seen = [(one["partition"], one["offset"]) for one in await first.fetch(timeout=5000)]
        assert len(seen) == 12
        async with an_instance(proxy_url, name) as second:
            await second.subscribe(read)
            [(_, kept)] = await first.assignments()
            [(_, lost)] = await second.assignments()
            assert {kept, lost} == {0, 1}
            assert await first.fetch(timeout=300) == []
            assert answer(await first.post("/offsets")) == refused(
                40903,
                f"The group has rebalanced: what was delivered of {read}-{lost} is not committed"
                " and comes again. The rest is committed.",
            )
            await first.commit()
            assert await verify.committed(broker.bootstrap, name) == {(read, kept): (6, "")}
            assert len(await second.fetch_until(6)) == 6
            await second.commit()
            # What has been read since and is not committed stays out of the next one too.
            await verify.produce(broker.bootstrap, read, [b"y"], partition=kept)
            assert [one["offset"] for one in await first.fetch_until(1)] == [6]

        async def back() -> bool:
            return len(await first.assignments()) == 2

        await eventually(back)
        assert await first.fetch(timeout=300) == []
        await first.commit()
        assert await verify.committed(broker.bootstrap, name) == {
            (read, kept): (7, ""),
            (read, lost): (6, ""),
        }


async def keep_producing(broker: Broker, topic: str, partitions: int, stop: asyncio.Event) -> int:
    """Numbers from 0 on, one after the other, until told to stop; how many there are."""
    producer: Any = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, acks="all")
    await producer.start()
    count = 0
    try:
        while not stop.is_set():
            sends = [
                await producer.send(topic, b"%d" % (count + at), partition=at % partitions)
                for at in range(20)
            ]
            await asyncio.gather(*sends)
            count += 20
    finally:
        await producer.stop()
    return count


async def read_and_commit(
    instance: Instance, seen: Counter[int], committed: Counter[int], stop: asyncio.Event
) -> None:
    """Read, commit, and note what was committed only once the commit has been answered."""
    while not stop.is_set():
        fetched = await instance.get("/records", timeout=200)
        if fetched.status_code == 404:
            return
        assert fetched.status_code == 200, fetched.text
        values = [record["value"] for record in fetched.json()]
        seen.update(values)
        stored = await instance.post("/offsets")
        if stored.status_code == 204:
            committed.update(values)
        else:
            assert stored.status_code in (404, 409, 503), stored.text


@pytest.mark.parametrize("policy", ["earliest", "latest"])
async def test_members_come_and_go_under_load(
    broker: Broker, start_proxy: ProxyFactory, topic: TopicFactory, name: str, policy: str
) -> None:
    """Nothing is missing; what came twice is what had not been committed."""
    read = await topic(partitions=4)
    config = {"format": "json", "auto_offset_reset": policy}
    seen: Counter[int] = Counter()
    committed: Counter[int] = Counter()
    enough, done = asyncio.Event(), asyncio.Event()
    proxy = start_proxy()
    async with http_client() as client:
        stays = await create(client, proxy.url, name, **config)
        await stays.subscribe(read)
        reading = [asyncio.create_task(read_and_commit(stays, seen, committed, done))]
        producing = asyncio.create_task(keep_producing(broker, read, 4, enough))
        for _ in range(3):
            comes = await create(client, proxy.url, name, **config)
            await comes.subscribe(read)
            reading.append(asyncio.create_task(read_and_commit(comes, seen, committed, done)))
            await comes.fetch(timeout=0)
            await comes.delete()
        enough.set()
        count = await producing

        async def all_read() -> bool:
            return len(seen) >= count

        await eventually(all_read)
        done.set()
        await asyncio.gather(*reading)
        await stays.delete()
    assert sorted(seen) == list(range(count))
    assert [value for value, times in committed.items() if times > 1] == []
    assert_no_traceback(proxy.log)


async def test_a_rebalance_is_not_felt_elsewhere(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """While one group rebalances again and again, another's long poll and a produce are prompt."""
    read, busy = await topic(), await topic(partitions=2)
    async with an_instance(proxy_url, name) as quiet, an_instance(proxy_url, f"{name}-b") as first:
        await quiet.subscribe(read)
        await first.subscribe(busy)
        slowest_s = 0.0
        for _ in range(2):
            other = await create(first.client, proxy_url, f"{name}-b")
            joining = asyncio.create_task(other.subscribe(busy))
            while not joining.done():
                waiting = asyncio.create_task(quiet.fetch(timeout=15_000))
                begun = time.monotonic()
                produced = await quiet.client.post(
                    f"{proxy_url}/topics/{read}",
                    json={"records": [{"value": 1}]},
                    headers={"content-type": "application/vnd.kafka.json.v2+json"},
                )
                assert produced.status_code == 200
                assert len(await waiting) == 1
                slowest_s = max(slowest_s, time.monotonic() - begun)
            await joining
            await other.delete()
        assert slowest_s < 1.0


async def test_latest_takes_over_where_another_began(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """A member that leaves without a commit leaves where it began to the others of its group."""
    read = await topic(partitions=2)
    latest = {"auto_offset_reset": "latest"}
    async with an_instance(proxy_url, name, **latest) as stays:
        await stays.subscribe(read)
        async with an_instance(proxy_url, name, **latest) as leaves:
            await leaves.subscribe(read)
            [(_, theirs)] = await leaves.assignments()
            await verify.produce(broker.bootstrap, read, [b"x"] * 3, partition=theirs)
        records = await stays.fetch_until(3)
        assert [(one["partition"], one["offset"]) for one in records] == [
            (theirs, at) for at in range(3)
        ]


async def test_latest_alone_commits_nothing(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """The last member of a group that leaves without a commit leaves none behind."""
    read = await topic()
    async with an_instance(proxy_url, name, auto_offset_reset="latest") as instance:
        await instance.subscribe(read)
        await instance.delete()
        assert await verify.committed(broker.bootstrap, name) == {}


async def test_no_assignor_in_common(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """A group that we cannot join is told at once, not after a timeout."""
    read = await topic()
    native: Any = AIOKafkaConsumer(
        read,
        bootstrap_servers=broker.bootstrap,
        group_id=name,
        partition_assignment_strategy=(StickyPartitionAssignor,),
    )
    await native.start()
    try:
        async with an_instance(proxy_url, name) as instance:
            begun = time.monotonic()
            refusal = await instance.post("/subscription", {"topics": [read]})
            assert answer(refusal) == refused(40903, "Kafka error: INCONSISTENT_GROUP_PROTOCOL")
            assert time.monotonic() - begun < SOON_S
            fetched = await instance.get("/records", timeout=5000)
            assert fetched.json()["error_code"] == 40903
            await native.stop()
            await eventually(instance.assignments)
    finally:
        await native.stop()

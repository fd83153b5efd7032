"""Where a fetch begins: reset policies, logs that were cut off, transactions."""

from __future__ import annotations

import time

import pytest
from aiokafka import AIOKafkaProducer

from tests.api.instance_client import NOTHING, an_instance, answer, refused
from tests.brokers import verify
from tests.brokers.broker import Broker
from tests.conftest import TopicFactory

pytestmark = pytest.mark.anyio

SOON_S = 5.0


@pytest.mark.parametrize("policy", ["earliest", "latest", "none"])
@pytest.mark.parametrize("way", ["commit", "position"])
async def test_below_the_log_start(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str, policy: str, way: str
) -> None:
    """
    A commit or position whose records were deleted goes on at the log start in the same fetch; the
    other partition is unharmed.
    """
    read = await topic(partitions=2)
    offsets = [{"topic": read, "partition": at, "offset": 1} for at in (0, 1)]
    for partition in (0, 1):
        await verify.produce(broker.bootstrap, read, [b"x"] * 10, partition=partition)
    async with an_instance(proxy_url, name, auto_offset_reset=policy) as instance:
        await instance.commit({"offsets": offsets})
        if way == "position":
            await instance.subscribe(read)
            # Both are prefetched; the seek is behind what is there.
            await instance.fetch_until(16)
            await verify.trim(broker.bootstrap, read, {0: 6})
            assert answer(await instance.post("/positions", {"offsets": offsets})) == NOTHING
            expected = [[6, 7, 8, 9], [1, 2, 3, 4, 5, 6, 7, 8, 9]]
        else:
            await verify.trim(broker.bootstrap, read, {0: 6})
            await instance.subscribe(read)
            expected = [[6, 7, 8, 9], [2, 3, 4, 5, 6, 7, 8, 9]]
        begun = time.monotonic()
        found: list[list[int]] = [[], []]
        while found != expected:
            records = await instance.fetch(timeout=15_000)
            assert records
            for record in records:
                found[record["partition"]].append(record["offset"])
        assert time.monotonic() - begun < SOON_S
        assert await instance.fetch(timeout=0) == []


async def test_none_with_nothing_committed(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """`none` is refused until it is sought in or a commit says where to begin."""
    read = await topic(partitions=2)
    for partition in (0, 1):
        await verify.produce(broker.bootstrap, read, [b"x"] * 3, partition=partition)
    expected = {
        partition: refused(
            40903,
            f"No offset is committed for partition {read}-{partition} and auto.offset.reset is"
            " none; seek first.",
        )
        for partition in (0, 1)
    }
    async with an_instance(proxy_url, name, auto_offset_reset="none") as instance:
        await instance.subscribe(read)
        for _ in range(2):
            refusal = await instance.get("/records", timeout=5000)
            assert answer(refusal) in expected.values()
        await instance.seek(read, 1, 0)
        # The other one is told of as long as nothing has arrived.
        while (fetched := await instance.get("/records", timeout=50)).status_code != 200:
            assert answer(fetched) == expected[1]
        records = fetched.json()
        assert [(one["partition"], one["offset"]) for one in records] == [(0, 1), (0, 2)]
        assert answer(await instance.get("/records", timeout=5000)) == expected[1]
        await instance.commit({"offsets": [{"topic": read, "partition": 1, "offset": 1}]})
        records = await instance.fetch_until(1)
        assert [(one["partition"], one["offset"]) for one in records] == [(1, 2)]


@pytest.mark.needs("open_transactions")
async def test_read_committed(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """
    Aborted records are not shown, an open transaction holds back what is behind it, and the end is
    where it begins.
    """
    read = await topic()
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=name)
    await producer.start()
    committed_only = {"isolation_level": "read_committed", "format": "text"}
    where = {"partitions": [{"topic": read, "partition": 0}]}
    try:
        async with producer.transaction():
            await producer.send_and_wait(read, b"kept", partition=0)
        await producer.begin_transaction()
        await producer.send_and_wait(read, b"aborted", partition=0)
        await producer.abort_transaction()
        await producer.begin_transaction()
        await producer.send_and_wait(read, b"open", partition=0)
        async with (
            an_instance(proxy_url, name, **committed_only) as careful,
            an_instance(proxy_url, f"{name}-2", format="text") as careless,
            an_instance(proxy_url, f"{name}-3", **committed_only) as at_the_end,
        ):
            await careful.subscribe(read)
            await careless.subscribe(read)
            await at_the_end.subscribe(read)
            assert answer(await at_the_end.post("/positions/end", where)) == NOTHING
            values = [one["value"] for one in await careless.fetch_until(3)]
            assert values == ["kept", "aborted", "open"]
            assert [one["value"] for one in await careful.fetch(timeout=5000)] == ["kept"]
            assert await careful.fetch(timeout=300) == []
            assert await at_the_end.fetch(timeout=0) == []
            await producer.commit_transaction()
            assert [one["value"] for one in await careful.fetch_until(1)] == ["open"]
            assert [one["value"] for one in await at_the_end.fetch_until(1)] == ["open"]
    finally:
        await producer.stop()

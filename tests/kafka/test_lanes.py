"""
What lanes and producers do that no client can bring about over HTTP in a few seconds: against a
real broker, without the HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxy.config import Settings
from proxy.kafka.cluster import Cluster
from proxy.kafka.connection import Connection
from proxy.kafka.delivery import Delivery
from proxy.kafka.lanes import Lanes
from proxy.kafka.produce import Produce
from proxy.kafka.producers import Producers
from proxy.kafka.topics import Topics
from proxy.model import OutgoingRecord, Produced
from tests.brokers import verify
from tests.brokers.apache import ApacheKafka
from tests.brokers.broker import Broker
from tests.conftest import TopicFactory

# A broker that takes small requests only.
KAFKA_PROPERTIES = {"socket.request.max.bytes": "300000"}

pytestmark = pytest.mark.anyio


class Room:
    """The produce side of the proxy."""

    def __init__(self, produce: Produce, producers: Producers, lanes: Lanes) -> None:
        self.produce, self.producers, self.lanes = produce, producers, lanes

    async def begin(self, topic: str, values: list[bytes], timeout_s: float = 10) -> Delivery:
        """Send records as one request."""
        records = [OutgoingRecord(None, value) for value in values]
        deadline = asyncio.get_running_loop().time() + timeout_s
        known = await self.produce.find_topic(topic, records, deadline)
        return self.produce.send(known, records, deadline)

    async def send(self, topic: str, values: list[bytes]) -> list[Produced]:
        """Send them and wait."""
        delivery = await self.begin(topic, values)
        await delivery.answered
        return delivery.told()


@asynccontextmanager
async def open_room(bootstrap: str, **settings: Any) -> AsyncIterator[Room]:
    """All of it, connected; the tasks that it leaves behind are its faults."""
    chosen = Settings(bootstrap_servers=(bootstrap,), **settings)
    connection = Connection.from_settings(chosen)
    cluster, producers = Cluster(connection), Producers(connection, chosen)
    lanes = Lanes(producers, Topics(cluster, ttl_s=60, auto_create=False))
    await cluster.start()
    producers.start()
    try:
        yield Room(Produce(lanes, chosen), producers, lanes)
    finally:
        await producers.stop(5)
        await cluster.stop()


async def inner(room: Room) -> Any:
    """aiokafka's producer."""
    return (await room.producers.current())._producer


@pytest.mark.needs("sequence_wrap")
@pytest.mark.parametrize("left", [0, 1, 3, 4])
async def test_more_than_2_31_records_to_a_partition(
    broker: Broker, topic: TopicFactory, left: int
) -> None:
    """Their numbers begin again with 0, at the end of a batch or within, and the broker agrees."""
    name = await topic()
    async with open_room(broker.bootstrap) as room:
        producer = await inner(room)
        producer._txn_manager.increment_sequence_number((name, 0), 2**31 - 1 - left)
        for first in range(0, 12, 3):
            told = await room.send(name, [b"%d" % at for at in range(first, first + 3)])
            assert told == [Produced(0, at) for at in range(first, first + 3)]
        assert room.producers.replaced == 0
    stored = await verify.read_all(broker.bootstrap, name)
    assert [record.value for record in stored] == [b"%d" % at for at in range(12)]


async def test_numbers_that_are_out_of_step(broker: Broker, topic: TopicFactory) -> None:
    """The broker refuses the batch for its number: another producer sends it, nobody notices."""
    name, other = await topic(), await topic()
    async with open_room(broker.bootstrap) as room:
        assert await room.send(name, [b"0"]) == [Produced(0, 0)]
        (await inner(room))._txn_manager.increment_sequence_number((name, 0), 7)
        told = await asyncio.gather(
            *(room.send(name, [b"%d" % at]) for at in range(1, 9)), room.send(other, [b"x"])
        )
        assert told == [[Produced(0, at)] for at in (*range(1, 9), 0)]
        assert room.producers.replaced == 1
    stored = await verify.read_all(broker.bootstrap, name)
    assert [record.value for record in stored] == [b"%d" % at for at in range(9)]


async def test_a_producer_that_dies(broker: Broker, topic: TopicFactory) -> None:
    """What it had not sent yet is sent by its successor."""
    names = [await topic() for _ in range(8)]
    async with open_room(broker.bootstrap) as room:
        await room.send(names[0], [b"before"])
        producer = await inner(room)

        async def die() -> None:
            raise RuntimeError("bug")

        # The next thing that the sender does is to see that it has a producer id.
        producer._sender._maybe_wait_for_pid = die
        told = await asyncio.gather(*(room.send(name, [b"after"]) for name in names))
        assert [outcome.failure for [outcome] in told] == 8 * [None]
        assert room.producers.replaced == 1
    for name in names:
        stored = await verify.read_all(broker.bootstrap, name)
        assert [record.value for record in stored][-1] == b"after"


async def test_a_producer_is_retired_while_others_begin(
    broker: Broker, topic: TopicFactory
) -> None:
    """Those who wait for their first metadata when it is retired go on with it or its successor."""
    names = [await topic() for _ in range(20)]
    async with open_room(broker.bootstrap) as room:
        sending = []
        for at, name in enumerate(names):
            sending.append(asyncio.create_task(room.send(name, [b"x"])))
            if at % 5 == 4:
                await asyncio.sleep(0)
                room.producers.retire(await room.producers.current(), RuntimeError("test"))
        told = await asyncio.gather(*sending)
        assert told == 20 * [[Produced(0, 0)]]
        assert room.producers.replaced >= 2


async def test_a_lane_that_is_stuck_holds_no_records(kafka: ApacheKafka, name: str) -> None:
    """Requests that have been answered are gone from memory, however long a broker hangs."""
    await verify.create_topic(kafka.bootstrap, name)
    async with open_room(kafka.bootstrap) as room:
        await room.send(name, [b"first"])
        kafka.freeze()
        try:
            await (await room.begin(name, [b"stuck"], timeout_s=0.1)).answered
            for _ in range(20):
                waiting = [await room.begin(name, [b"x" * 1000], timeout_s=0.02) for _ in range(20)]
                await asyncio.wait([delivery.answered for delivery in waiting])
            [lane] = room.lanes._lanes.values()
            assert len(lane._queue) <= 20
            assert not any(parcel.records for parcel in lane._queue)
        finally:
            kafka.thaw()
        assert (await room.send(name, [b"last"]))[0].failure is None
    stored = await verify.read_all(kafka.bootstrap, name)
    assert [record.value for record in stored] == [b"first", b"stuck", b"last"]


async def test_requests_larger_than_a_broker_takes(
    kafka: ApacheKafka, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Batches of many partitions go in several requests where one would be too large: the broker would
    close the connection, and aiokafka would send the same again for ever.
    """
    monkeypatch.setattr("proxy.kafka.attempts.MAX_REQUEST_BYTES", 200_000)
    await verify.create_topic(kafka.bootstrap, name, partitions=16)
    async with open_room(kafka.bootstrap) as room:
        told = await asyncio.gather(*(room.send(name, [b"x" * 60_000]) for _ in range(64)))
    assert [outcome.failure for [outcome] in told] == 64 * [None]
    assert sum((await verify.end_offsets(kafka.bootstrap, name)).values()) == 64

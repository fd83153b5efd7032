"""
Looking at, and writing to, the broker itself with a plain native client: what HTTP said is checked
against this. Nothing here creates a topic but `create_topic`.

Each function opens a client and closes it; they keep nothing. In a test that is no coroutine, run
them with `asyncio.run`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import (
    AIOKafkaConsumer,
    AIOKafkaProducer,
    TopicPartition,
)
from aiokafka.admin import (
    AIOKafkaAdminClient,
    NewTopic,
    RecordsToDelete,
)
from aiokafka.protocol.metadata import MetadataRequest


@dataclass(frozen=True, slots=True)
class Record:
    """A record as the broker has it. `timestamp` is epoch ms."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: tuple[tuple[str, bytes | None], ...]


async def create_topic(
    bootstrap: str,
    topic: str,
    partitions: int = 1,
    configs: Mapping[str, str] | None = None,
    replication: int = 1,
) -> None:
    """Create it and wait until each partition has a leader that answers."""
    async with _admin(bootstrap) as admin:
        new = NewTopic(topic, partitions, replication, topic_configs=dict(configs or {}))
        answer = await admin.create_topics([new])
        [(_, code, *rest)] = answer.topic_errors
        if code != 0:
            raise RuntimeError(f"topic {topic} was not created: code {code}, {rest}")
        while not await _has_leaders(admin, topic, partitions):  # noqa: ASYNC110 (no event tells)
            await asyncio.sleep(0.01)


async def delete_topics(bootstrap: str, topics: Sequence[str]) -> None:
    """Delete them; those that do not exist are passed over."""
    async with _admin(bootstrap) as admin:
        await admin.delete_topics(list(topics))


async def list_topics(bootstrap: str) -> set[str]:
    """The names of all topics, internal ones included."""
    async with _admin(bootstrap) as admin:
        return {str(name) for name in await admin.list_topics()}


async def produce(
    bootstrap: str,
    topic: str,
    values: Iterable[bytes | None],
    *,
    key: bytes | None = None,
    partition: int = 0,
    headers: Sequence[tuple[str, bytes | None]] = (),
    timestamp_ms: int | None = None,
    **settings: Any,
) -> list[int]:
    """Write one record a value to one partition; their offsets. `settings` go to the producer."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, **settings)
    await producer.start()
    try:
        pending = [
            await producer.send(
                topic,
                value,
                key=key,
                partition=partition,
                headers=list(headers),
                timestamp_ms=timestamp_ms,
            )
            for value in values
        ]
        return [(await sent).offset for sent in pending]
    finally:
        await producer.stop()


async def read_all(
    bootstrap: str, topic: str, isolation_level: str = "read_uncommitted"
) -> list[Record]:
    """Every record there is, by partition and offset."""
    settings = {"isolation_level": isolation_level, "auto_offset_reset": "earliest"}
    async with _reader(bootstrap, **settings) as consumer:
        partitions = await _partitions(bootstrap, topic)
        # No `seek_to_beginning`: it races with the reset that `assign` has begun.
        consumer.assign(partitions)
        ends: dict[Any, int] = await consumer.end_offsets(partitions)
        found: list[Record] = []
        # The position passes transaction markers, which are offsets without a record.
        while any([await consumer.position(at) < end for at, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += [_copy(record) for record in records]
    return sorted(found, key=lambda record: (record.partition, record.offset))


async def end_offsets(bootstrap: str, topic: str) -> dict[int, int]:
    """Partition -> the offset that its next record gets."""
    async with _reader(bootstrap) as consumer:
        ends = await consumer.end_offsets(await _partitions(bootstrap, topic))
    return {at.partition: offset for at, offset in sorted(ends.items())}


async def beginning_offsets(bootstrap: str, topic: str) -> dict[int, int]:
    """Partition -> its first offset."""
    async with _reader(bootstrap) as consumer:
        begins = await consumer.beginning_offsets(await _partitions(bootstrap, topic))
    return {at.partition: offset for at, offset in sorted(begins.items())}


async def trim(bootstrap: str, topic: str, before: Mapping[int, int]) -> None:
    """Delete the records before an offset (partition -> offset), as retention does."""
    async with _admin(bootstrap) as admin:
        await admin.delete_records(
            {TopicPartition(topic, at): RecordsToDelete(offset) for at, offset in before.items()}
        )


async def committed(bootstrap: str, group: str) -> dict[tuple[str, int], tuple[int, str]]:
    """All that a group has committed: (topic, partition) -> (offset, metadata)."""
    async with _admin(bootstrap) as admin:
        stored = await admin.list_consumer_group_offsets(group)
    return {(at.topic, at.partition): (kept.offset, kept.metadata) for at, kept in stored.items()}


async def count_members(bootstrap: str, group: str) -> int:
    """How many members a group has now; 0 when there is no such group."""
    async with _admin(bootstrap) as admin:
        [answer] = await admin.describe_consumer_groups([group])
    [(_, _, _, _, _, members, *_)] = answer.groups
    return len(members)


async def await_brokers(bootstrap: str, count: int = 1, timeout_s: float = 30) -> None:
    """
    Wait until so many brokers are in the metadata and the group coordinator answers.

    Raises: TimeoutError
    """
    async with asyncio.timeout(timeout_s):
        while True:
            try:
                async with _admin(bootstrap) as admin:
                    cluster = await admin.describe_cluster()
                    # Also makes the offsets topic, which is made on first use and takes a while.
                    await admin.find_coordinator("koh-test-warm-up")
                    if len(cluster["brokers"]) >= count:
                        return
            except (OSError, RuntimeError):  # aiokafka's errors are RuntimeErrors
                pass
            await asyncio.sleep(0.1)


class _Admin(AIOKafkaAdminClient):
    """aiokafka's, but what any broker can answer is asked of one that is up, not of any."""

    async def _send_request(self, request: Any, node_id: int | None = None) -> Any:
        if node_id is None:
            for broker in self._client.cluster.brokers():
                if await self._client.ready(broker.nodeId):
                    node_id = broker.nodeId
                    break
        return await super()._send_request(request, node_id)


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[Any]:
    admin: AIOKafkaAdminClient = _Admin(bootstrap_servers=bootstrap, request_timeout_ms=15_000)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


@asynccontextmanager
async def _reader(bootstrap: str, **settings: Any) -> AsyncIterator[Any]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, **settings)
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def _describe(admin: Any, topic: str) -> dict[str, Any]:
    # Not `describe_topics`: that one lets the broker create what it is asked about.
    request = MetadataRequest([topic], allow_auto_topic_creation=False)
    answer = (await admin._send_request(request)).to_object()
    described: dict[str, Any] = answer["topics"][0]
    return described


async def _has_leaders(admin: Any, topic: str, partitions: int) -> bool:
    found = (await _describe(admin, topic))["partitions"]
    return len(found) == partitions and all(at["leader"] >= 0 for at in found)


async def _partitions(bootstrap: str, topic: str) -> list[Any]:
    async with _admin(bootstrap) as admin:
        described = await _describe(admin, topic)
    if described["error_code"] != 0:
        raise LookupError(f"topic {topic}: code {described['error_code']}")
    return sorted(TopicPartition(topic, at["partition"]) for at in described["partitions"])


def _copy(record: Any) -> Record:
    return Record(
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        timestamp=record.timestamp,
        headers=tuple(record.headers),
    )

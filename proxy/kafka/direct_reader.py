"""
Reads of one partition from one offset on, without a group and without a consumer.

A broker answers a connection's requests one after the other, so a read that waits for data has a
connection of its own while it waits: one of a pool of connection groups, lent for the length of the
read.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import KafkaError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.memory_records import MemoryRecords

from proxy.errors import BrokersUnreachable, KafkaFailure, OffsetOutOfRange, Overloaded
from proxy.kafka.broker_errors import failure_for_code
from proxy.kafka.cluster import ASK_TIMEOUT_S, Cluster
from proxy.kafka.offsets import EARLIEST, LATEST, READ_UNCOMMITTED, list_offsets
from proxy.kafka.topics import LEADER_NOT_AVAILABLE, Topics
from proxy.model import StoredRecord, TopicPartition

OFFSET_OUT_OF_RANGE = 1
# Reads at once; each may hold a connection to a broker.
READERS = 64
# The broker is asked to wait no longer than this at a time, well below any request timeout.
LONGEST_WAIT_MS = 5_000
BACKOFF_S = 0.1


class DirectReader:
    """One for the process; `read` may be called from any number of requests at once."""

    def __init__(self, cluster: Cluster, topics: Topics) -> None:
        self._cluster = cluster
        self._topics = topics
        self._free = list(range(READERS))

    async def start_offset(self, where: TopicPartition, offset: int, *, from_end: bool) -> int:
        """
        The offset to begin at: `EARLIEST`, `LATEST`, or, `from_end`, the last `offset` records'
        first.

        Raises: UnknownTopic; UnknownPartition; KafkaFailure; BrokersUnreachable
        """
        if not from_end and offset not in (EARLIEST, LATEST):
            return offset
        if not from_end:
            return (await list_offsets(self._cluster, self._topics, {where: offset}))[where]
        beginning, end = await self.limits(where)
        return max(beginning, end - offset)

    async def limits(self, where: TopicPartition) -> tuple[int, int]:
        """The first offset that there is and the one that the next record will get."""
        beginning = await list_offsets(self._cluster, self._topics, {where: EARLIEST})
        end = await list_offsets(self._cluster, self._topics, {where: LATEST})
        return beginning[where], end[where]

    async def read(
        self, where: TopicPartition, offset: int, *, max_bytes: int, timeout_s: float
    ) -> list[StoredRecord]:
        """
        Records from exactly `offset` on, at least one once there is one; [] when none came in time.

        Units: `max_bytes` bounds keys and values together
        Raises: UnknownTopic; UnknownPartition; OffsetOutOfRange; KafkaFailure; Overloaded
        """
        if not self._free:
            raise Overloaded(f"{READERS} direct reads are waiting already.")
        slot = self._free.pop()
        try:
            return await self._read(where, offset, max_bytes, time.monotonic() + timeout_s, slot)
        finally:
            self._free.append(slot)

    async def _read(
        self, where: TopicPartition, offset: int, max_bytes: int, deadline: float, slot: int
    ) -> list[StoredRecord]:
        known = await self._topics.get(where.topic)
        while True:
            known.check_partition(where.partition)
            left_ms = max(0, int(1000 * (deadline - time.monotonic())))
            failure: Exception
            try:
                records, offset = await self._fetch(
                    where,
                    known.leaders[where.partition],
                    offset,
                    max_bytes,
                    min(left_ms, LONGEST_WAIT_MS),
                    slot,
                )
                if records or left_ms == 0:
                    return records
                continue
            except BrokersUnreachable as unreachable:
                failure = unreachable
            except KafkaFailure as kafka_failure:
                if kafka_failure.code == OFFSET_OUT_OF_RANGE:
                    raise OffsetOutOfRange(*where, offset, *await self.limits(where)) from None
                if not kafka_failure.retriable:
                    raise
                failure = kafka_failure
            if time.monotonic() + BACKOFF_S > deadline:
                raise failure
            await asyncio.sleep(BACKOFF_S)
            known = await self._topics.refreshed(where.topic)

    async def _fetch(
        self,
        where: TopicPartition,
        leader: int,
        offset: int,
        max_bytes: int,
        wait_ms: int,
        slot: int,
    ) -> tuple[list[StoredRecord], int]:
        if leader < 0:
            raise failure_for_code(LEADER_NOT_AVAILABLE)
        # At least a batch always comes; one byte more than asked for makes `max_bytes` 0 one
        # record.
        request = FetchRequest(
            wait_ms,
            1,
            max_bytes + 1,
            READ_UNCOMMITTED,
            [(where.topic, [(where.partition, offset, max_bytes + 1)])],
        )
        response = await self._cluster.ask(
            request, leader, timeout_s=wait_ms / 1000 + ASK_TIMEOUT_S, group=("read", slot)
        )
        # Partition, code, high watermark, …, message set: the ends are the same in all versions.
        answer = response.topics[0][1][0]
        if answer[1] != 0:
            raise failure_for_code(answer[1])
        return _decoded(where, answer[-1], offset, max_bytes)


def _decoded(
    where: TopicPartition, message_set: bytes, offset: int, max_bytes: int
) -> tuple[list[StoredRecord], int]:
    """The records that fit, and the offset after the last one looked at."""
    batches: Any = PartitionRecords(
        where, MemoryRecords(message_set), [], offset, None, None, True, READ_UNCOMMITTED
    )
    taken: list[StoredRecord] = []
    size = 0
    try:
        for record in batches:
            size += len(record.key or b"") + len(record.value or b"")
            if taken and size > max_bytes:
                break
            taken.append(record)
    except KafkaError as exc:
        # What stands before the damaged batch can be had; the batch itself only when it is first.
        if not taken:
            raise KafkaFailure(
                2,
                "CORRUPT_MESSAGE",
                retriable=False,
                message=f"CORRUPT_MESSAGE at {where.topic}-{where.partition} offset {offset}",
            ) from exc
    return taken, batches.next_fetch_offset

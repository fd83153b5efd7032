"""
Reads of one partition from one offset on, without a group and without a consumer.

Rule 1: a broker answers a connection's requests one after the other, so a read that waits for data
has a connection of its own while it waits: one of a pool of connection groups.
Rule 2: a broker's answer is waited for to its end (house rule 1), and only then the connection is
lent again. So that a read whose client has gone does not keep it, the broker is asked to wait no
longer than `LONGEST_WAIT_MS`, again and again.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import KafkaError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.memory_records import MemoryRecords

from proxy.errors import BrokersUnreachable, KafkaFailure, OffsetOutOfRange, Overloaded
from proxy.kafka.broker_errors import failure_for_code
from proxy.kafka.cluster import ASK_TIMEOUT_S, Cluster, unreachable
from proxy.kafka.deadline import within
from proxy.kafka.offsets import EARLIEST, LATEST, READ_UNCOMMITTED, list_offsets
from proxy.kafka.record_queue import RECORDS_AT_ONCE
from proxy.kafka.topics import LEADER_NOT_AVAILABLE, Topics
from proxy.model import StoredRecord, TopicPartition

OFFSET_OUT_OF_RANGE = 1
CORRUPT_MESSAGE = 2
# Reads at once; each may hold a connection to a broker.
READERS = 64
LONGEST_WAIT_MS = 1_000
BACKOFF_S = 0.1
# A leader that has moved is looked for so long, also by a read that waits for nothing.
LEAST_PATIENCE_S = 2.0
# What the broker is asked for counts the framing of its batches, `max_bytes` does not: a batch of
# one small record is 80 bytes.
LEAST_BYTES = 64 * 1024
# In a fetch request it is a 32-bit number.
MOST_BYTES = 2**31 - 1


@dataclass(slots=True)
class Read:
    """What is asked for, and how far it has come."""

    where: TopicPartition
    offset: int
    max_bytes: int
    deadline: float
    patience: float
    slot: int
    abandoned: bool = False


class DirectReader:
    """One for the process; `read` may be called from any number of requests at once."""

    def __init__(self, cluster: Cluster, topics: Topics) -> None:
        self._cluster = cluster
        self._topics = topics
        self._free = list(range(READERS))
        self._hurried = False

    @property
    def running(self) -> int:
        """How many reads there are, those included whose client has gone just now."""
        return READERS - len(self._free)

    def hurry(self) -> None:
        """We are going down: reads that wait for records end with none, now and from now on."""
        self._hurried = True

    async def find_limit(self, where: TopicPartition, limit: int) -> int:
        """
        The first offset that there is (`EARLIEST`) or the one of the next record (`LATEST`).

        Raises: UnknownTopic; UnknownPartition; KafkaFailure; BrokersUnreachable
        """
        return (await list_offsets(self._cluster, self._topics, {where: limit}))[where]

    async def find_last(self, where: TopicPartition, records: int) -> int:
        """Where the last so many records begin. Raises as `find_limit` does."""
        beginning, end = await self.limits(where)
        return max(beginning, end - records)

    async def limits(self, where: TopicPartition) -> tuple[int, int]:
        """The first offset that there is and the one that the next record will get."""
        return await self.find_limit(where, EARLIEST), await self.find_limit(where, LATEST)

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
        now = time.monotonic()
        patience_s = max(timeout_s, LEAST_PATIENCE_S)
        read = Read(where, offset, max_bytes, now + timeout_s, now + patience_s, self._free.pop())
        try:
            return await within(None, self._run(read), unreachable)
        finally:
            read.abandoned = True

    async def _run(self, read: Read) -> list[StoredRecord]:
        try:
            return await self._read(read)
        finally:
            self._free.append(read.slot)

    async def _read(self, read: Read) -> list[StoredRecord]:
        known = await self._topics.get(read.where.topic)
        while True:
            known.check_partition(read.where.partition)
            left_ms = 0 if self._hurried else int(1000 * (read.deadline - time.monotonic()))
            failure: Exception
            try:
                asked_for = read.offset
                leader = known.leaders[read.where.partition]
                records = await self._fetch(read, leader, max(0, min(left_ms, LONGEST_WAIT_MS)))
                # Behind the marker of a transaction, or a gap, there may be more just now.
                moved_on = read.offset > asked_for
                if records or read.abandoned or (left_ms <= 0 and not moved_on):
                    return records
                continue
            except BrokersUnreachable as unreachable_now:
                failure = unreachable_now
            except KafkaFailure as kafka_failure:
                if kafka_failure.code == OFFSET_OUT_OF_RANGE:
                    raise OffsetOutOfRange(
                        *read.where, read.offset, *await self.limits(read.where)
                    ) from None
                if not kafka_failure.retriable:
                    raise
                failure = kafka_failure
            if read.abandoned or time.monotonic() + BACKOFF_S > read.patience:
                raise failure
            await asyncio.sleep(BACKOFF_S)
            known = await self._topics.refreshed(read.where.topic)

    async def _fetch(self, read: Read, leader: int, wait_ms: int) -> list[StoredRecord]:
        if leader < 0:
            raise failure_for_code(LEADER_NOT_AVAILABLE)
        # At least a batch always comes.
        limit = min(max(read.max_bytes, LEAST_BYTES), MOST_BYTES)
        request = FetchRequest(
            wait_ms,
            1,
            limit,
            READ_UNCOMMITTED,
            [(read.where.topic, [(read.where.partition, read.offset, limit)])],
        )
        response = await self._cluster.ask(
            request, leader, timeout_s=wait_ms / 1000 + ASK_TIMEOUT_S, group=("read", read.slot)
        )
        # Partition, code, high watermark, …, message set: the ends are the same in all versions.
        answer = response.topics[0][1][0]
        if answer[1] != 0:
            raise failure_for_code(answer[1])
        return await _decode(read, answer[-1])


async def _decode(read: Read, message_set: bytes) -> list[StoredRecord]:
    """The records that fit; `read.offset` moves on behind the last one looked at."""
    batches: Any = PartitionRecords(
        read.where, MemoryRecords(message_set), [], read.offset, None, None, True, READ_UNCOMMITTED
    )
    taken: list[StoredRecord] = []
    size = 0
    try:
        for record in batches:
            size += len(record.key or b"") + len(record.value or b"")
            if taken and size > read.max_bytes:
                break
            taken.append(record)
            if len(taken) % RECORDS_AT_ONCE == 0:
                await asyncio.sleep(0)
    except KafkaError as exc:
        # What stands before the damaged batch can be had; the batch itself only when it is first.
        if not taken:
            at = f"{read.where.topic}-{read.where.partition} offset {batches.next_fetch_offset}"
            raise failure_for_code(CORRUPT_MESSAGE, f"CORRUPT_MESSAGE at {at}") from exc
    read.offset = batches.next_fetch_offset
    return taken

"""
House rule 1: `getmany` is awaited here and nowhere else, and nobody cancels it.

Rule 1: it takes what there is room for, so that a slow reader slows the broker down and not this
process.
Rule 2: records that come for a buffer other than the one that was there when they were asked for,
after a rebalance or a seek, are put back by seeking to the first of them.
Rule 3: a partition that cannot be read fails alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

import aiokafka.errors as kafka
from aiokafka import TopicPartition as Assigned

from proxy.errors import KafkaFailure
from proxy.kafka.broker_errors import failure_of
from proxy.kafka.positions import Positions
from proxy.kafka.record_queue import Buffer, RecordQueue
from proxy.model import StoredRecord, TopicPartition

log = logging.getLogger(__name__)

# Records decoded in one go: about a millisecond of the loop.
RECORDS_AT_ONCE = 500
# How long to wait for records when all partitions have room, and when some are left out until they
# have.
WAIT_MS = 10_000
CROWDED_WAIT_MS = 200
# How often to look for a topic that is subscribed to and not there, or for more topics that match a
# pattern.
MISSING_LOOK_S = 1.0
PATTERN_LOOK_S = 10.0
BACKOFF_S = 0.2


class Pump:
    """From aiokafka's consumer into the queue, until the consumer stops."""

    def __init__(self, consumer: Any, positions: Positions, queue: RecordQueue) -> None:
        self._consumer = consumer
        self._positions = positions
        self._queue = queue
        self._stopping = False
        self._looked_at = time.monotonic()
        self.task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Call it after the consumer has stopped, which ends a `getmany` that waits."""
        self._stopping = True
        self._queue.wake_pump()
        await asyncio.wait([self.task], timeout=1.0)
        # Its consumer is gone: a wait for an assignment that will never come may be cancelled.
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def _run(self) -> None:
        while not self._stopping:
            there = dict(self._queue.buffers)
            room = self._queue.with_room()
            if there and not room:
                await self._queue.wait_for_room()
                continue
            crowded = len(room) < len(there)
            asked = [Assigned(*at) for at in room] if crowded else []
            watch_s = self._look_for_topics()
            wait_ms = CROWDED_WAIT_MS if crowded else min(WAIT_MS, int(1000 * watch_s))
            try:
                batches = await self._consumer.getmany(
                    *asked, timeout_ms=wait_ms, max_records=RECORDS_AT_ONCE
                )
            except kafka.ConsumerStoppedError:
                return
            except Exception as exc:
                await self._cannot_read(exc, list(there))
                continue
            self._take(batches, there)

    def _take(
        self,
        batches: Mapping[TopicPartition, list[StoredRecord]],
        there: Mapping[TopicPartition, Buffer],
    ) -> None:
        for assigned, records in batches.items():
            at = TopicPartition(*assigned)
            buffer = self._queue.buffers.get(at)
            if buffer is not None and buffer is there.get(at):
                self._queue.put(at, records)
                self._positions.read_to(at, records[-1].offset + 1)
            elif assigned in self._consumer.assignment():
                self._consumer.seek(assigned, records[0].offset)

    def _look_for_topics(self) -> float:
        """Ask for metadata when a topic may have appeared; how soon to ask again, in seconds."""
        client = self._consumer._client
        if client.wants_all_topics:
            every_s = PATTERN_LOOK_S
        elif any(
            client.cluster.partitions_for_topic(topic) is None
            for topic in self._consumer.subscription()
        ):
            every_s = MISSING_LOOK_S
        else:
            return WAIT_MS / 1000
        if time.monotonic() - self._looked_at >= every_s:
            self._looked_at = time.monotonic()
            client.force_metadata_update()
        return every_s

    async def _cannot_read(self, exc: Exception, partitions: list[TopicPartition]) -> None:
        try:
            if isinstance(exc, kafka.NoOffsetForPartitionError):
                await self._positions.begin_uncommitted(TopicPartition(*exc.args[0]))
            elif isinstance(exc, kafka.OffsetOutOfRangeError):
                for assigned, offset in exc.args[0].items():
                    await self._positions.recover(TopicPartition(*assigned), offset)
            elif isinstance(exc, kafka.TopicAuthorizationFailedError):
                for at in partitions:
                    if at.topic == exc.args[0]:
                        self._queue.fail(failure_of(exc), at)
            elif isinstance(exc, kafka.GroupAuthorizationFailedError):
                self._queue.fail(failure_of(exc))
                await asyncio.sleep(BACKOFF_S)
            elif isinstance(exc, kafka.KafkaError) and not isinstance(
                exc, kafka.CorruptRecordException
            ):
                log.warning("consumer cannot read: %s", exc)
                if self._consumer._coordinator._coordination_task.done():
                    self._queue.fail(failure_of(exc))
                await asyncio.sleep(BACKOFF_S)
            else:
                await self._find_damaged(partitions)
        except Exception as failure:
            log.warning("consumer cannot go on yet: %s", failure)
            await asyncio.sleep(BACKOFF_S)

    async def _find_damaged(self, partitions: list[TopicPartition]) -> None:
        """
        aiokafka does not say which partition it could not decode: try each alone, one record at a
        time, so that what stands before the damage comes out.
        """
        for at in partitions:
            there = dict(self._queue.buffers)
            try:
                batches = await self._consumer.getmany(Assigned(*at), timeout_ms=0, max_records=1)
            except Exception as exc:
                offset = await self._consumer.position(Assigned(*at))
                log.error("damaged record batch in %s-%s at %s: %r", *at, offset, exc)
                self._queue.fail(
                    KafkaFailure(
                        2,
                        "CORRUPT_MESSAGE",
                        retriable=False,
                        message=f"CORRUPT_MESSAGE: the record batch of {at.topic}-{at.partition}"
                        f" at offset {offset} or after cannot be decoded; seek behind it.",
                    ),
                    at,
                )
            else:
                self._take(batches, there)

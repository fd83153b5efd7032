"""
House rule 1: aiokafka is read here and nowhere else, and never cancelled.

Rule 1: it takes what there is room for, so that a slow reader slows the broker down and not this
process.
Rule 2: `getmany` is asked for one partition at a time, and never to wait. One that raises loses
what it took of other partitions; one that waits cannot be told that there is room now, or that the
consumer ends. What is waited for is a future of our own: aiokafka resolves it when it has records,
the queue when it has room.
Rule 3: a partition that cannot be read fails alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import aiokafka.errors as kafka

from proxy.kafka.broker_errors import failure_of
from proxy.kafka.damage import read_leniently
from proxy.kafka.join_errors import failure_of_joining
from proxy.kafka.positions import Positions
from proxy.kafka.record_queue import RECORDS_AT_ONCE, RecordQueue
from proxy.model import TopicPartition

log = logging.getLogger(__name__)

# The longest wait, should nothing wake it.
WAIT_S = 10.0
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
        self._woken: asyncio.Future[None] | None = None
        self._looked_at = time.monotonic()
        self._last_trouble = ""
        queue.wake_pump = self._wake
        self.task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """
        It may be cancelled: `getmany` never waits here, and what else is asked of aiokafka is in a
        task of its own (`within`).
        """
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    async def _run(self) -> None:
        while True:
            try:
                self._check_alive()
            except kafka.ConsumerStoppedError:
                return
            except Exception as exc:
                failure = failure_of_joining(exc)
                if failure is not None:
                    self._queue.fail(failure)
                await self._back_off(exc)
                continue
            try:
                took = await self._take_what_is_there()
            except Exception as exc:
                await self._back_off(exc)
            else:
                if not took:
                    await self._wait()

    def _check_alive(self) -> None:
        """Raises what ended, or now keeps, aiokafka from being in its group or reading."""
        self._consumer._coordinator.check_errors()
        reading = self._consumer._fetcher._fetch_task
        if reading.done():
            reading.result()
            raise kafka.ConsumerStoppedError

    async def _take_what_is_there(self) -> bool:
        """
        Whether there was anything. Nothing is awaited between the last look and `_wait`, so no
        wake-up is lost.
        """
        if self._consumer._subscription.reassignment_in_progress:
            return False
        took = False
        room = self._queue.with_room()
        for at in [at for at in self._consumer._fetcher._records if at in room]:
            took = True
            try:
                batches = await self._consumer.getmany(
                    at, timeout_ms=0, max_records=RECORDS_AT_ONCE
                )
            except Exception as exc:
                await self._cannot_read(exc, TopicPartition(*at))
            else:
                for records in batches.values():
                    self._queue.put(at, records)
                    self._positions.read_to(at, records[-1].offset + 1)
            # Decoding blocks the loop: let others have their turn, then look whether it is ours.
            await asyncio.sleep(0)
            room = self._queue.with_room()
            if at not in self._queue.buffers:
                break
        return took

    async def _wait(self) -> None:
        self._woken = self._consumer._fetcher._create_fetch_waiter()
        await asyncio.wait([self._woken], timeout=self._look_for_topics())
        if self._woken.done():
            # What it may raise, `_check_alive` raises again.
            self._woken.exception()
        else:
            self._woken.cancel()

    def _look_for_topics(self) -> float:
        """Ask for metadata when a topic may have appeared; how soon to look again, in seconds."""
        client = self._consumer._client
        if client.wants_all_topics:
            every_s = PATTERN_LOOK_S
        elif any(client.cluster.partitions_for_topic(topic) is None for topic in client._topics):
            every_s = MISSING_LOOK_S
        else:
            return WAIT_S
        if time.monotonic() - self._looked_at >= every_s:
            self._looked_at = time.monotonic()
            client.force_metadata_update()
        return every_s

    async def _cannot_read(self, exc: Exception, at: TopicPartition) -> None:
        if isinstance(exc, kafka.NoOffsetForPartitionError):
            await self._positions.begin_uncommitted(at)
        elif isinstance(exc, kafka.OffsetOutOfRangeError):
            await self._positions.recover(at, exc.args[0][at])
        elif isinstance(exc, kafka.TopicAuthorizationFailedError):
            self._queue.fail(failure_of(exc), at, passing=True)
        elif isinstance(exc, kafka.CorruptRecordException | ValueError):
            await read_leniently(self._consumer, self._positions, self._queue, at)
        else:
            raise exc

    async def _back_off(self, exc: Exception) -> None:
        # It is tried again several times a second: said once is enough.
        if repr(exc) != self._last_trouble:
            self._last_trouble = repr(exc)
            log.warning("consumer cannot go on, trying again: %r", exc)
        await asyncio.sleep(BACKOFF_S)

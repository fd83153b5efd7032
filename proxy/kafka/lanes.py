"""
Group commit: one lane per partition gathers the records of all waiting requests into one batch.

Rule 1: a lane has one batch on its way at a time, so records keep the order in which they came.
Rule 2: a batch is never larger than its topic takes. One that the broker refuses for a record's
sake is sent again in halves, so that only the record at fault fails.
Rule 3: a lane ends when it has nothing left; the next request makes another.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any, NamedTuple

import aiokafka.errors as kafka

from proxy.errors import KafkaFailure, NotWritten, OutcomeUnknown, UnknownTopic
from proxy.kafka.broker_errors import failure_of
from proxy.kafka.delivery import Parcel
from proxy.kafka.producers import Generation, Producers
from proxy.kafka.topics import Topics
from proxy.model import TopicPartition

log = logging.getLogger(__name__)

# The broker looks at records before it looks at their numbers: MESSAGE_TOO_LARGE,
# RECORD_LIST_TOO_LARGE, INVALID_TIMESTAMP, INVALID_RECORD. Source: kafka, UnifiedLog.append.
REFUSED_FOR_A_RECORD = {10, 18, 32, 87}
# aiokafka wants a list, and does not change it.
NO_HEADERS: list[Any] = []
# A batch that is not acknowledged after this long: is its topic still there?
STUCK_AFTER_S = 1.0


class Share(NamedTuple):
    """The part of a batch that came from one parcel: its records `first` to before `stop`."""

    parcel: Parcel
    first: int
    stop: int


class Lanes:
    """All lanes that have something to send."""

    def __init__(self, producers: Producers, topics: Topics) -> None:
        self.producers = producers
        self.topics = topics
        self._lanes: dict[TopicPartition, Lane] = {}

    def put(self, where: TopicPartition, parcel: Parcel, limit_bytes: int) -> None:
        """
        Queue a parcel behind those that are there; no batch will be larger than `limit_bytes`.
        """
        lane = self._lanes.get(where)
        if lane is None:
            lane = self._lanes[where] = Lane(self, where)
        lane.limit_bytes = limit_bytes
        lane.queue.append(parcel)

    def ended(self, where: TopicPartition) -> None:
        """Called by a lane that has nothing left."""
        del self._lanes[where]


class Lane:
    """Runs in a task of its own from the first parcel to the last."""

    __slots__ = ("_lanes", "_task", "_where", "limit_bytes", "queue")

    def __init__(self, lanes: Lanes, where: TopicPartition) -> None:
        self._lanes = lanes
        self._where = where
        self.limit_bytes = 0
        self.queue: deque[Parcel] = deque()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            while self.queue:
                generation = await self._lanes.producers.current()
                batch = generation.builder(self.limit_bytes)
                shares = self._fill(batch)
                if shares:
                    await self._send(generation, batch, shares)
        except Exception:
            # A bug here or in aiokafka: nobody may wait for a lane that is gone.
            log.exception("lane %s-%s failed", *self._where)
            for parcel in self.queue:
                parcel.delivery.expire()
        finally:
            self._lanes.ended(self._where)

    def _fill(self, batch: Any) -> list[Share]:
        shares = []
        while self.queue:
            parcel = self.queue[0]
            first, stop = parcel.taken, len(parcel.records)
            while parcel.taken < stop and _append(batch, parcel, parcel.taken):
                parcel.taken += 1
            if parcel.taken > first:
                shares.append(Share(parcel, first, parcel.taken))
            if parcel.taken < stop:
                break
            self.queue.popleft()
        return shares

    async def _send(self, generation: Generation, batch: Any, shares: list[Share]) -> None:
        try:
            outcome = await generation.hand_over(batch, self._where)
        except kafka.KafkaError as exc:
            self._failed(shares, _not_handed_over(exc, self._where.topic))
            return
        stuck = asyncio.get_running_loop().call_later(
            STUCK_AFTER_S, self._look_after, generation, batch, outcome
        )
        try:
            metadata = await outcome
        except kafka.KafkaError as exc:
            await self._refused(generation, shares, exc)
            return
        finally:
            stuck.cancel()
        # Kafka tells no offset with acks=0 and for a duplicate that it has forgotten.
        base = None if metadata is None or metadata.offset < 0 else metadata.offset
        for parcel, first, stop in shares:
            parcel.delivery.written(parcel.places[first:stop], self._where.partition, base)
            if base is not None:
                base += stop - first

    async def _refused(
        self, generation: Generation, shares: list[Share], exc: kafka.KafkaError
    ) -> None:
        failure = failure_of(exc)
        records = sum(share.stop - share.first for share in shares)
        if isinstance(failure, KafkaFailure) and failure.code in REFUSED_FOR_A_RECORD:
            generation.take_back(self._where, records)
            if records > 1:
                for half in _halves(shares, records // 2):
                    await self._send_again(half)
                return
        else:
            self._lanes.producers.retire(generation, exc)
            if not isinstance(failure, UnknownTopic) and getattr(exc, "retriable", True):
                failure = OutcomeUnknown(f"Whether the record was written is unknown ({failure}).")
        self._failed(shares, failure)

    async def _send_again(self, shares: list[Share]) -> None:
        generation = await self._lanes.producers.current()
        batch = generation.builder(self.limit_bytes)
        for parcel, first, stop in shares:
            for index in range(first, stop):
                _append(batch, parcel, index)
        await self._send(generation, batch, shares)

    def _failed(self, shares: list[Share], failure: Exception) -> None:
        for parcel, first, stop in shares:
            parcel.delivery.failed(parcel.places[first:stop], self._where.partition, failure)

    def _look_after(self, generation: Generation, batch: Any, outcome: asyncio.Future[Any]) -> None:
        """
        A batch takes long. With idempotence aiokafka would keep one for a deleted topic for ever.
        """
        asyncio.get_running_loop().create_task(
            self._withdraw_if_topic_gone(generation, batch, outcome)
        )

    async def _withdraw_if_topic_gone(
        self, generation: Generation, batch: Any, outcome: asyncio.Future[Any]
    ) -> None:
        while not outcome.done():
            try:
                await self._lanes.topics.refreshed(self._where.topic)
            except UnknownTopic:
                gone = kafka.UnknownTopicOrPartitionError(self._where.topic)
                if generation.withdraw(batch, self._where, gone):
                    return
            except Exception as exc:
                del exc
            await asyncio.wait([outcome], timeout=STUCK_AFTER_S)


def _append(batch: Any, parcel: Parcel, index: int) -> bool:
    record = parcel.records[index]
    return (
        batch.append(
            timestamp=record.timestamp_ms,
            key=record.key,
            value=record.value,
            headers=list(record.headers) if record.headers else NO_HEADERS,
        )
        is not None
    )


def _halves(shares: list[Share], at: int) -> tuple[list[Share], list[Share]]:
    """The shares of the first `at` records and those of the rest; both in order."""
    left: list[Share] = []
    right: list[Share] = []
    for parcel, first, stop in shares:
        middle = min(max(first, first + at), stop)
        if middle > first:
            left.append(Share(parcel, first, middle))
        if stop > middle:
            right.append(Share(parcel, middle, stop))
        at -= middle - first
    return left, right


def _not_handed_over(exc: kafka.KafkaError, topic: str) -> Exception:
    if isinstance(exc, kafka.UnknownTopicOrPartitionError):
        return UnknownTopic(topic)
    failure = failure_of(exc)
    if isinstance(failure, KafkaFailure) and not failure.retriable:
        return failure
    return NotWritten(f"The record was not sent: {failure}")

"""
Group commit: one lane per partition gathers the records of all waiting requests into one batch.

Rule 1: a lane has one batch on its way at a time, so records keep the order in which they came.
Rule 2: a batch is never larger than its topic takes. Of one that the broker refuses for a record's
sake only the record at fault fails; the others go again, in smaller batches where the broker does
not say which it is.
Rule 3: what has surely not been written returns to the head of its lane and goes again until its
deadline. What may have been written is aiokafka's to repeat, and is told as unknown.
Rule 4: a lane ends when it has nothing left; the next request makes another.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import deque
from typing import Any

import aiokafka.errors as kafka

from proxy.errors import (
    BrokersUnreachable,
    KafkaFailure,
    OutcomeUnknown,
    UnknownPartition,
    UnknownTopic,
)
from proxy.kafka.attempts import Batch, is_nothing_written
from proxy.kafka.broker_errors import UNKNOWN_SERVER_ERROR, failure_for_code, failure_of
from proxy.kafka.delivery import Parcel
from proxy.kafka.flight import Flight, Share
from proxy.kafka.producers import Generation, Producers, Withdrawn
from proxy.kafka.topics import Topics
from proxy.model import OutgoingRecord, TopicPartition

log = logging.getLogger(__name__)

# MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE, INVALID_TIMESTAMP, INVALID_RECORD: one record is enough
# to have the whole batch refused.
REFUSED_FOR_A_RECORD = {10, 18, 32, 87}
# OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH, UNKNOWN_PRODUCER_ID: nothing is wrong with
# the records, another producer can send them.
REFUSED_FOR_THE_PRODUCER = {45, 47, 59}

# aiokafka wants a list, and does not change it.
NO_HEADERS: list[Any] = []
# A batch that is not acknowledged after this long: is its topic still there?
STUCK_AFTER_S = 1.0
# Why nothing leaves while nobody has answered yet.
AWAY = BrokersUnreachable("The brokers cannot be reached.")
# Between a refusal and the next attempt; doubled each time up to the second.
FIRST_PAUSE_S = 0.1
LAST_PAUSE_S = 1.0


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
        lane.put(parcel, limit_bytes)

    def ended(self, where: TopicPartition) -> None:
        """Called by a lane that has nothing left."""
        del self._lanes[where]


class Lane:
    """Runs in a task of its own from the first parcel to the last."""

    __slots__ = (
        "_flight",
        "_lanes",
        "_limit_bytes",
        "_looking",
        "_pause_s",
        "_queue",
        "_sizes",
        "_task",
        "_where",
        "trouble",
    )

    def __init__(self, lanes: Lanes, where: TopicPartition) -> None:
        self.trouble: Exception | None = None
        self._lanes = lanes
        self._where = where
        self._limit_bytes = 0
        self._queue: deque[Parcel] = deque()
        self._flight: Flight | None = None
        # How many records the next batches may have at most, the next one last; then any number.
        self._sizes: list[int] = []
        self._pause_s = FIRST_PAUSE_S
        self._looking: asyncio.Task[None] | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())

    def put(self, parcel: Parcel, limit_bytes: int) -> None:
        """See `Lanes.put`."""
        parcel.carrier = self
        self._limit_bytes = limit_bytes
        # Those whose deadline has passed go here too: a lane that is stuck must not grow.
        self._drop_empty()
        self._queue.append(parcel)

    def recall(self, parcel: Parcel) -> None:
        """See `Carrier`. All of a batch comes back; those whose time is not up go again."""
        flight = self._flight
        if flight is not None and not flight.batch.maybe_written and flight.has(parcel):
            self._withdraw(flight)

    async def _run(self) -> None:
        try:
            while self._drop_empty():
                await self._send()
        except Exception:
            # A bug here or in aiokafka: nobody may wait for a lane that is gone.
            log.exception("lane %s-%s failed", *self._where)
            self._give_up()
        finally:
            self._lanes.ended(self._where)

    def _drop_empty(self) -> bool:
        while self._queue and self._queue[0].is_empty:
            self._queue.popleft()
        return bool(self._queue)

    async def _send(self) -> None:
        if self.trouble is None:
            self.trouble = AWAY
        generation = await self._lanes.producers.current()
        with generation.in_use():
            try:
                await generation.await_leader(self._where)
            except kafka.KafkaError as exc:
                await self._pause(generation, exc)
                return
            if self.trouble is AWAY:
                self.trouble = None
            self._flight = Flight(generation, generation.builder(self._limit_bytes), [])
            self._fill(self._flight)
            if self._flight.shares:
                await self._fly(self._flight)
            self._flight = None

    def _fill(self, flight: Flight) -> None:
        batch, shares = flight.batch, flight.shares
        room = self._sizes.pop() if self._sizes else sys.maxsize
        while self._queue and room > 0:
            parcel = self._queue[0]
            first = at = parcel.taken
            stop = min(len(parcel.places), first + room)
            while at < stop and _append(batch, parcel.records[at]):
                at += 1
            if at > first:
                shares.append(Share(parcel, first, at))
                parcel.taken = at
                room -= at - first
            if not parcel.is_empty:
                break
            self._queue.popleft()

    async def _fly(self, flight: Flight) -> None:
        try:
            outcome = await flight.generation.hand_over(flight.batch, self._where)
            stuck = asyncio.get_running_loop().call_later(
                STUCK_AFTER_S, self._look_after, flight, outcome
            )
            try:
                metadata = await outcome
            finally:
                stuck.cancel()
        except Withdrawn:
            return
        except kafka.KafkaError as exc:
            await self._refused(flight, exc)
            return
        # Kafka tells no offset with acks=0 and for a duplicate that it has forgotten.
        known = metadata is not None and metadata.offset >= 0
        flight.written(self._where.partition, metadata.offset if known else None)
        self.trouble, self._pause_s = None, FIRST_PAUSE_S

    async def _refused(self, flight: Flight, exc: kafka.KafkaError) -> None:
        failure = failure_of(exc)
        code = exc.errno if isinstance(exc, kafka.BrokerResponseError) else None
        if flight.batch.maybe_written:
            self._lanes.producers.retire(flight.generation, exc)
            unknown = OutcomeUnknown(f"Whether the record was written is unknown ({failure}).")
            flight.failed(self._where.partition, unknown)
            return
        if code in REFUSED_FOR_THE_PRODUCER or not is_nothing_written(exc):
            # Its numbers are out of step, or it is dead.
            self._lanes.producers.retire(flight.generation, exc)
        else:
            flight.generation.take_back(flight.batch, self._where)
            if code in REFUSED_FOR_A_RECORD:
                self._set_apart(flight, failure)
                return
            if not getattr(exc, "retriable", False):
                flight.failed(self._where.partition, failure)
                return
        flight.put_back(self._queue, {})
        await self._pause(flight.generation, exc)

    def _set_apart(self, flight: Flight, failure: Exception) -> None:
        told = flight.told_failures(failure)
        records = flight.batch.records
        if told:
            flight.put_back(self._queue, told)
        elif records > 1:
            self._sizes += [records - records // 2, records // 2]
            flight.put_back(self._queue, {})
        else:
            flight.failed(self._where.partition, failure)

    async def _pause(self, generation: Generation, exc: kafka.KafkaError) -> None:
        self._flight = None
        self.trouble = failure_of(exc)
        if isinstance(exc, kafka.LeaderNotAvailableError):
            gone = await self._find_gone()
            if gone is not None:
                if isinstance(gone, UnknownTopic):
                    generation.forget(self._where.topic)
                for parcel in self._queue:
                    parcel.delivery.failed(parcel.take_rest(), self._where.partition, gone)
                return
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, LAST_PAUSE_S)

    async def _find_gone(self) -> Exception | None:
        """Why nothing can be sent there any more; None where it may be possible again."""
        try:
            topic = await self._lanes.topics.refreshed(self._where.topic)
            topic.check_partition(self._where.partition)
        except (UnknownTopic, UnknownPartition) as gone:
            return gone
        except KafkaFailure as failure:
            return None if failure.retriable else failure
        except BrokersUnreachable:
            return None
        return None

    def _look_after(self, flight: Flight, outcome: asyncio.Future[Any]) -> None:
        self._looking = asyncio.get_running_loop().create_task(
            self._end_if_hopeless(flight, outcome)
        )

    async def _end_if_hopeless(self, flight: Flight, outcome: asyncio.Future[Any]) -> None:
        """
        A batch takes long: aiokafka keeps one without a leader, and repeats one that may have been
        written, also where the topic has been deleted.
        """
        while not outcome.done():
            if not flight.batch.maybe_written:
                if not flight.generation.has_leader(self._where):
                    self._withdraw(flight)
            else:
                gone = await self._find_gone()
                if isinstance(gone, UnknownTopic | UnknownPartition) and (
                    flight.generation.withdraw(flight.batch, self._where)
                ):
                    flight.failed(self._where.partition, gone)
                    # Its numbers are gone with it.
                    self._lanes.producers.retire(flight.generation, gone)
            await asyncio.wait([outcome], timeout=STUCK_AFTER_S)

    def _withdraw(self, flight: Flight) -> None:
        if flight.generation.withdraw(flight.batch, self._where):
            flight.put_back(self._queue, {})

    def _give_up(self) -> None:
        flight, self._flight = self._flight, None
        partition = self._where.partition
        if flight is not None:
            flight.failed(partition, OutcomeUnknown("Whether the record was written is unknown."))
        lost = failure_for_code(UNKNOWN_SERVER_ERROR)
        for parcel in self._queue:
            parcel.delivery.failed(parcel.take_rest(), partition, lost)


def _append(batch: Batch, record: OutgoingRecord) -> bool:
    appended = batch.append(
        timestamp=record.timestamp_ms,
        key=record.key,
        value=record.value,
        headers=list(record.headers) if record.headers else NO_HEADERS,
    )
    return appended is not None

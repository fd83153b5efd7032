"""
Rule 3: one supervised producer.

An idempotent aiokafka producer numbers its batches when they leave. After a failure whose cause it
cannot tell the broker refuses what follows in that partition; after a fatal failure its sender task
is dead while it still takes records. So a producer is watched, and retired at such a failure: it
gets no new batches, ends those it has, and is closed. Another one, with another producer id, takes
its place.
Source: aiokafka #1017, #1133; KIP-98 for the numbering.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiokafka.errors as kafka
from aiokafka import AIOKafkaProducer

from proxy.config import Settings
from proxy.kafka.attempts import AttemptingSender, Batch, Numbers
from proxy.kafka.connection import Connection, keep_from_creating
from proxy.model import TopicPartition

log = logging.getLogger(__name__)

FIRST_BACKOFF_S = 0.1
LAST_BACKOFF_S = 3.0
# A batch that a retired producer still has after this long is given up with it.
RETIREMENT_S = 120.0
# Brokers that have told nothing of a partition for so long are as good as away.
METADATA_TIMEOUT_S = 10.0

# Brokers that cannot number batches, or do not let us: the producer does without.
WITHOUT_IDEMPOTENCE = (
    kafka.ClusterAuthorizationFailedError,
    kafka.UnsupportedVersionError,
    kafka.IncompatibleBrokerVersion,
)


class Withdrawn(Exception):
    """The outcome of a batch that was taken out of its producer before it left."""


class _Unfinished(set[Any]):
    # aiokafka removes a batch that has failed while it waited to be repeated twice, and dies of it.
    remove = set.discard


class Generation:
    """A producer and its users. Lives until it is retired and the last of them has left."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._accumulator = producer._message_accumulator
        self._accumulator._pending_batches = _Unfinished()
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()
        self.retired = False

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keeps the producer from being closed. Enter it before anything else is waited for."""
        self._users += 1
        self._unused.clear()
        try:
            yield
        finally:
            self._users -= 1
            if self._users == 0:
                self._unused.set()

    def builder(self, limit_bytes: int) -> Batch:
        """
        An empty batch that takes no further record once it would be larger than `limit_bytes`.
        """
        return Batch(limit_bytes, self._accumulator._compression_type)

    async def await_leader(self, where: TopicPartition) -> None:
        """
        Ask for the leader of a partition unless it is known.

        Raises: LeaderNotAvailableError, when the partition has none or is unknown;
        KafkaTimeoutError, when nobody answers
        """
        client = self._producer.client
        # Twice: the first answer may be to a request that was made before this topic was added.
        for _ in range(2):
            if self.has_leader(where):
                return
            client.add_topic(where.topic)
            update = client.force_metadata_update()
            if not (await asyncio.wait([update], timeout=METADATA_TIMEOUT_S))[0]:
                raise kafka.KafkaTimeoutError
        if not self.has_leader(where):
            raise kafka.LeaderNotAvailableError

    def has_leader(self, where: TopicPartition) -> bool:
        """Whether it knows whom to send to."""
        leader = self._producer.client.cluster.leader_for_partition(where)
        return leader is not None and leader != -1

    def forget(self, topic: str) -> None:
        """Ask no more about a topic that is gone; aiokafka would for ever."""
        self._producer.client._topics.discard(topic)

    async def hand_over(self, batch: Batch, where: TopicPartition) -> asyncio.Future[Any]:
        """
        Queue a batch for a partition whose leader is known; the future is its outcome: aiokafka's
        metadata of it, None with acks=0.

        Raises: aiokafka's exceptions, when the batch was not queued
        """
        outcome: asyncio.Future[Any] = await self._producer.send_batch(
            batch, where.topic, partition=where.partition
        )
        return outcome

    def withdraw(self, batch: Batch, where: TopicPartition) -> bool:
        """Take back a batch that is queued and not with a broker just now; False if it is not."""
        queue = self._accumulator._batches.get(where, ())
        for queued in queue:
            if queued._builder is batch:
                queue.remove(queued)
                if not queue:
                    del self._accumulator._batches[where]
                queued.failure(Withdrawn())
                _retrieve(queued)
                return True
        return False

    def take_back(self, batch: Batch, where: TopicPartition) -> None:
        """Give its numbers to the next batch, as the broker did not write this one."""
        numbers = self._producer._txn_manager
        if numbers is not None and batch.numbered:
            numbers.increment_sequence_number(where, -batch.records)

    async def close(self) -> None:
        """Wait for those who use it, then close; what is stuck is given up."""
        try:
            await asyncio.wait_for(self._unused.wait(), RETIREMENT_S)
        except TimeoutError:
            self.give_up(kafka.KafkaTimeoutError("producer given up"))
        await _stop(self._producer)

    def give_up(self, reason: BaseException) -> None:
        """Fail every batch that it has."""
        self._accumulator.fail_all(reason)
        for queue in self._accumulator._batches.values():
            for queued in queue:
                _retrieve(queued)


class Producers:
    """Started once, in the lifespan. `current` waits for a producer that works."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._acks: str | int = "all" if settings.acks == "all" else int(settings.acks)
        self._idempotent = settings.enable_idempotence and settings.acks == "all"
        self._settings = settings
        self._current: Generation | None = None
        self._available = asyncio.Event()
        self._making: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.replaced = 0

    def start(self) -> None:
        """Begin to make the first producer; returns at once."""
        self._making = asyncio.create_task(self._make())

    async def current(self) -> Generation:
        """The producer to use for the next batch; waits while there is none."""
        while self._current is None:
            await self._available.wait()
        return self._current

    def retire(self, generation: Generation, reason: BaseException) -> None:
        """Give this producer no more batches and make another one. Does nothing the second time."""
        if generation.retired:
            return
        generation.retired = True
        closing = asyncio.create_task(generation.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        if generation is self._current:
            self._current = None
            self._available.clear()
            if not self._stopping:
                self.replaced += 1
                log.warning("producer replaced after: %r", reason)
                self._making = asyncio.create_task(self._make())

    async def stop(self, timeout_s: float) -> None:
        """End every batch that was handed over, at most for `timeout_s`, then close."""
        self._stopping = True
        if self._making is not None:
            self._making.cancel()
            await asyncio.gather(self._making, return_exceptions=True)
        if self._current is not None:
            self.retire(self._current, ConnectionAbortedError("stopping"))
        if self._closing:
            await asyncio.wait(self._closing, timeout=timeout_s)

    async def _make(self) -> None:
        backoff_s = FIRST_BACKOFF_S
        while True:
            producer = self._new_producer()
            try:
                await producer.start()
            except BaseException as exc:
                await _stop(producer)
                if not isinstance(exc, Exception):
                    raise
                if self._idempotent and isinstance(exc, WITHOUT_IDEMPOTENCE):
                    log.warning("the broker refuses idempotence, producing without: %r", exc)
                    self._idempotent = False
                    continue
                known = isinstance(exc, kafka.KafkaError | OSError | TimeoutError)
                # Whatever it was: without another attempt nobody could produce any more.
                log.warning("no producer yet, trying again: %r", exc, exc_info=not known)
            else:
                self._adopt(producer)
                return
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, LAST_BACKOFF_S)

    def _new_producer(self) -> Any:
        compression = self._settings.compression_type
        producer = AIOKafkaProducer(
            **self._connection.arguments,
            acks=self._acks,
            enable_idempotence=self._idempotent,
            compression_type=None if compression == "none" else compression,
        )
        keep_from_creating(producer.client)
        producer._sender.__class__ = AttemptingSender
        if self._idempotent:
            producer._txn_manager.__class__ = Numbers
        return producer

    def _adopt(self, producer: Any) -> None:
        generation = Generation(producer)

        def died(task: asyncio.Task[Any]) -> None:
            # aiokafka goes on taking records after this and fails each of them, for ever (#1133).
            if not task.cancelled() and not generation.retired:
                reason = task.exception() or RuntimeError("the sender ended")
                generation.give_up(reason)
                self.retire(generation, reason)

        producer._sender.sender_task.add_done_callback(died)
        self._current = generation
        self._available.set()


async def _stop(producer: Any) -> None:
    try:
        await producer.stop()
    except Exception:
        log.exception("a producer did not close")


def _retrieve(batch: Any) -> None:
    # An exception that nobody looks at would be logged with its traceback.
    if batch._drain_waiter.done():
        batch._drain_waiter.exception()

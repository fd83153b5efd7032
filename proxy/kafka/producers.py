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
from typing import Any

import aiokafka.errors as kafka
from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from proxy.config import Settings
from proxy.kafka.connection import Connection, keep_from_creating
from proxy.model import TopicPartition

log = logging.getLogger(__name__)

FIRST_BACKOFF_S = 0.1
LAST_BACKOFF_S = 3.0
# A batch that a retired producer still has after this long is given up with it.
RETIREMENT_S = 120.0

# Brokers that cannot number batches, or do not let us: the producer does without.
WITHOUT_IDEMPOTENCE = (
    kafka.ClusterAuthorizationFailedError,
    kafka.UnsupportedVersionError,
    kafka.IncompatibleBrokerVersion,
)


class Generation:
    """A producer and the batches it has. Lives until it is retired and has ended them."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._accumulator = producer._message_accumulator
        self._pending = 0
        self._idle = asyncio.Event()
        self.retired = False

    def builder(self, limit_bytes: int) -> Any:
        """
        An empty batch that takes no further record once it would be larger than `limit_bytes`.
        """
        return BatchBuilder(limit_bytes, self._accumulator._compression_type)

    async def hand_over(self, batch: Any, where: TopicPartition) -> asyncio.Future[Any]:
        """
        Queue a batch; the future is its outcome: aiokafka's metadata of it, None with acks=0.

        Raises: aiokafka's exceptions, when the batch was not queued
        """
        outcome = await self._producer.send_batch(batch, where.topic, partition=where.partition)
        self._pending += 1
        outcome.add_done_callback(self._ended)
        return outcome  # type: ignore[no-any-return]

    def withdraw(self, batch: Any, where: TopicPartition, reason: Exception) -> bool:
        """Fail a batch that is queued and not with a broker just now; False when there is none."""
        for queued in self._accumulator._batches.get(where, ()):
            if queued._builder is batch:
                self._accumulator._batches[where].remove(queued)
                if not self._accumulator._batches[where]:
                    del self._accumulator._batches[where]
                queued.failure(reason)
                return True
        return False

    def take_back(self, where: TopicPartition, records: int) -> None:
        """
        Give these numbers to the next batch, as the broker refused the last one before it looked at
        them.
        """
        numbers = self._producer._txn_manager
        if numbers is not None:
            numbers.increment_sequence_number(where, -records)

    async def close(self) -> None:
        """Wait for the batches that were handed over, then close; what is stuck is given up."""
        if self._pending > 0:
            try:
                await asyncio.wait_for(self._idle.wait(), RETIREMENT_S)
            except TimeoutError:
                self._accumulator.fail_all(kafka.KafkaTimeoutError("producer given up"))
        await self._producer.stop()

    def _ended(self, outcome: asyncio.Future[Any]) -> None:
        self._pending -= 1
        if self._pending == 0 and self.retired:
            self._idle.set()


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
                await producer.stop()
                if not isinstance(exc, kafka.KafkaError | OSError | TimeoutError):
                    raise
                if self._idempotent and isinstance(exc, WITHOUT_IDEMPOTENCE):
                    log.warning("the broker refuses idempotence, producing without: %r", exc)
                    self._idempotent = False
                    continue
                log.warning("no producer yet, trying again: %s", exc)
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
        return producer

    def _adopt(self, producer: Any) -> None:
        generation = Generation(producer)

        def died(task: asyncio.Task[Any]) -> None:
            # aiokafka goes on taking records after this and fails each of them, for ever (#1133).
            if not task.cancelled():
                self.retire(generation, task.exception() or RuntimeError("the sender ended"))

        producer._sender.sender_task.add_done_callback(died)
        self._current = generation
        self._available.set()

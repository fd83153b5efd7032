"""
An instance's aiokafka consumer: made when it is first needed, a member of the group once it
subscribes.

What is private to aiokafka and used here and in the files around it is held by
`tests/kafka/test_aiokafka_contract.py`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as Assigned
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

from proxy.errors import UnknownInstance
from proxy.kafka.broker_errors import translated
from proxy.kafka.cluster import ASK_TIMEOUT_S, unreachable
from proxy.kafka.commits import Commits
from proxy.kafka.connection import keep_from_creating
from proxy.kafka.consumer_options import ConsumerOptions, KafkaAccess
from proxy.kafka.coordinator import make_careful
from proxy.kafka.deadline import within
from proxy.kafka.group_offsets import GroupOffsets
from proxy.kafka.positions import Positions
from proxy.kafka.pump import Pump
from proxy.kafka.record_queue import RecordQueue
from proxy.kafka.topic_pattern import FullMatch
from proxy.model import TopicPartition

log = logging.getLogger(__name__)

ASSIGNORS = {
    "range": RangePartitionAssignor,
    "roundrobin": RoundRobinPartitionAssignor,
    "sticky": StickyPartitionAssignor,
}
# We end idle instances ourselves: a member whose queue is full must not be taken for a dead one.
NEVER_MS = 2**31 - 1
BACKOFF_S = 0.1

# What one fetch request to a broker may bring; the queue's budget bounds what is decoded of it.
FETCH_MAX_BYTES = 4 * 1024 * 1024
PARTITION_FETCH_MAX_BYTES = 1024 * 1024


class Member:
    """What it reads is changed by one request at a time: the instance sees to it."""

    def __init__(
        self, group: str, options: ConsumerOptions, access: KafkaAccess, queue: RecordQueue
    ) -> None:
        settings = access.settings
        # `earliest` is aiokafka's to apply; the other policies are ours, see `positions.py`.
        earliest = options.auto_offset_reset == "earliest"
        self._consumer: Any = AIOKafkaConsumer(
            **access.connection.arguments,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest" if earliest else "none",
            isolation_level=options.isolation_level,
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=settings.heartbeat_interval_ms,
            rebalance_timeout_ms=settings.rebalance_timeout_ms,
            max_poll_interval_ms=NEVER_MS,
            fetch_max_bytes=FETCH_MAX_BYTES,
            max_partition_fetch_bytes=PARTITION_FETCH_MAX_BYTES,
            partition_assignment_strategy=tuple(
                ASSIGNORS[name] for name in settings.partition_assignment_strategy
            ),
        )
        keep_from_creating(self._consumer._client)
        self._queue = queue
        offsets = GroupOffsets(self._consumer)
        self._positions = Positions(self._consumer, options, access, queue, offsets)
        self.commits = Commits(offsets, self._positions, queue, self)
        self._pump: Pump | None = None
        self._settings = settings
        self._stopping = asyncio.Event()
        self._asked_for: frozenset[str] | str | None = None
        self.assigned_by_hand = False

    async def start(self) -> None:
        """Connect. Raises BrokersUnreachable, or KafkaFailure when the broker refuses us."""
        with translated():
            try:
                await within(ASK_TIMEOUT_S, self._start(), unreachable)
            except BaseException:
                self._stopping.set()
                raise

    async def _start(self) -> None:
        try:
            await self._consumer.start()
        except BaseException:
            await self._consumer.stop()
            raise
        make_careful(self._consumer)
        if self._stopping.is_set():
            # It took so long that nobody waits any more.
            await self.stop()

    async def stop(self) -> None:
        """Leave the group and close; when it returns the group has been told."""
        self._stopping.set()
        if self._pump is not None:
            await self._pump.stop()
        await _finish(self._positions.leave())
        if not await _finish(self._consumer.stop()):
            # aiokafka gives up where one part fails to close and leaves the others open.
            await _finish(self._consumer._fetcher.close())
            await _finish(self._consumer._client.close())

    # What it reads ----------------------------------------------------------------------------

    @property
    def subscribed(self) -> bool:
        return self._asked_for is not None

    @property
    def isolation(self) -> int:
        """For looking up ends: with `read_committed`, where the first open transaction begins."""
        return self._positions.isolation

    async def subscribe(self, topics: tuple[str, ...] | None, pattern: str | None) -> None:
        """
        Join for these topics, or for those that the pattern matches; waits for it, within bounds.

        The same once more changes nothing, as with the Java client.
        """
        wanted = pattern if topics is None else frozenset(topics)
        if wanted != self._asked_for:
            self._positions.assigned.clear()
            self._ask_for(wanted)
            self._asked_for = wanted
        self._start_pump()
        await self.settled(self._settings.subscribe_timeout_ms / 1000)
        if self._stopping.is_set():
            raise UnknownInstance
        failure = self._queue.failure()
        if failure is not None and not self._positions.assigned.is_set():
            raise failure

    def _ask_for(self, wanted: frozenset[str] | str | None) -> None:
        client, subscription = self._consumer._client, self._consumer._subscription
        # Without this aiokafka refuses topics after a pattern, and does not join again for a
        # pattern that matches the same topics as the one before.
        subscription.unsubscribe()
        client.wants_all_topics = isinstance(wanted, str)
        if isinstance(wanted, str):
            subscription.subscribe_pattern(pattern=FullMatch(wanted), listener=self._positions)
            client.set_topics([])
        elif wanted is not None:
            self._consumer.subscribe(topics=list(wanted), listener=self._positions)

    async def assign(self, partitions: tuple[TopicPartition, ...]) -> None:
        """
        Read these partitions; what is read already goes on, the others begin as `positions.py`
        says.
        """
        self._positions.set_aside()
        self._consumer.assign([Assigned(*at) for at in partitions])
        self.assigned_by_hand = True
        with translated():
            await self._positions.take_back(list(partitions), may_keep=True)
        self._start_pump()

    def subscription(self) -> list[str]:
        """The topics that it asks the group for, sorted."""
        return sorted(self._consumer.subscription()) if self.subscribed else []

    async def settled(self, timeout_s: float) -> bool:
        """
        Wait until no rebalance is going on, or until none can end: it stops, or was refused.

        Whether it holds its partitions.
        """
        if not self.subscribed:
            return True
        deadline = time.monotonic() + timeout_s
        while not self._positions.assigned.is_set():
            if self._stopping.is_set() or self._queue.failure() is not None:
                return False
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            # The pump tells of a refusal through the queue, which a fetch listens to: look often.
            await self._first_of(min(left_s, BACKOFF_S))
        return True

    async def _first_of(self, timeout_s: float) -> None:
        waits = [
            asyncio.ensure_future(event.wait())
            for event in (self._positions.assigned, self._stopping)
        ]
        try:
            await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read an assigned partition on from here."""
        self._positions.seek(partition, offset)

    def _start_pump(self) -> None:
        if self._pump is None and not self._stopping.is_set():
            self._pump = Pump(self._consumer, self._positions, self._queue)


async def _finish(closing: Coroutine[Any, Any, Any]) -> bool:
    """
    Whether it ended well. In a task of its own: aiokafka cancels what it closes, and when that goes
    wrong the caller is the one that looks cancelled.
    """
    task = asyncio.create_task(closing)
    await asyncio.wait([task])
    if task.cancelled() or task.exception() is not None:
        log.info("closing a consumer: %r", "cancelled" if task.cancelled() else task.exception())
        return False
    return True

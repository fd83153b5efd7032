"""
An instance's aiokafka consumer: made when it is first needed, a member of the group once it
subscribes.

What is private to aiokafka and used here and in `positions.py` and `pump.py` is held by
`tests/kafka/test_aiokafka_contract.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import aiokafka.errors as kafka
import re2
from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as Assigned
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.structs import OffsetAndMetadata

from proxy.errors import IllegalState, OutcomeUnknown
from proxy.kafka.broker_errors import translated
from proxy.kafka.cluster import ASK_TIMEOUT_S, unreachable
from proxy.kafka.connection import keep_from_creating
from proxy.kafka.consumer_options import ConsumerOptions, KafkaAccess
from proxy.kafka.deadline import within
from proxy.kafka.positions import Positions
from proxy.kafka.pump import Pump
from proxy.kafka.record_queue import RecordQueue
from proxy.model import TopicPartition

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

GROUP_MOVED_ON = (
    kafka.UnknownMemberIdError,
    kafka.IllegalGenerationError,
    kafka.RebalanceInProgressError,
)


class FullMatch:
    """
    A pattern that means the whole name, in the place of the compiled pattern that aiokafka would
    match from the left.

    RE2 takes time linear in the name, so no pattern can block the loop. Source: KIP-848, which
    chose RE2/J.
    """

    def __init__(self, pattern: str) -> None:
        self._fullmatch = re2.compile(pattern).fullmatch

    def match(self, topic: str) -> bool:
        return self._fullmatch(topic) is not None


class Member:
    """Not for two requests at once: the instance sees to it."""

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
        self._positions = Positions(self._consumer, options, access, queue)
        self._pump: Pump | None = None
        self._settings = settings
        self._last_commit: dict[TopicPartition, tuple[int, str]] = {}
        self.subscribed = False
        self.assigned_by_hand = False

    async def start(self) -> None:
        """Connect. Raises BrokersUnreachable, or KafkaFailure when the broker refuses us."""
        with translated():
            try:
                await within(ASK_TIMEOUT_S, self._consumer.start(), unreachable)
            except BaseException:
                await self._consumer.stop()
                raise

    async def stop(self) -> None:
        """Leave the group and close; when it returns the group has been told."""
        await self._consumer.stop()
        if self._pump is not None:
            await self._pump.stop()

    # What it reads ----------------------------------------------------------------------------

    async def subscribe(self, topics: tuple[str, ...] | None, pattern: str | None) -> None:
        """
        Join for these topics, or for those that the pattern matches; waits for it, within bounds.
        """
        self._positions.assigned.clear()
        client = self._consumer._client
        if topics is not None:
            client.wants_all_topics = False
            self._consumer.subscribe(topics=list(topics), listener=self._positions)
        elif pattern is not None:
            client.wants_all_topics = True
            self._consumer._subscription.subscribe_pattern(
                pattern=FullMatch(pattern), listener=self._positions
            )
            client.set_topics([])
        self.subscribed = True
        self._start_pump()
        await self.settled(self._settings.subscribe_timeout_ms / 1000)
        failure = self._queue.failure()
        if failure is not None and not self._positions.assigned.is_set():
            raise failure

    async def assign(self, partitions: tuple[TopicPartition, ...]) -> None:
        """Read these partitions; each begins as `positions.py` says."""
        self._consumer.assign([Assigned(*at) for at in partitions])
        self.assigned_by_hand = True
        with translated():
            await self._positions.begin(list(partitions))
        self._queue.assign(partitions)
        self._start_pump()

    def subscription(self) -> list[str]:
        """The topics that it asks the group for, sorted."""
        return sorted(self._consumer.subscription()) if self.subscribed else []

    async def settled(self, timeout_s: float | None = None) -> None:
        """Until no rebalance is going on, or the timeout; `rebalance_timeout_ms` when None."""
        if not self.subscribed or self._positions.assigned.is_set():
            return
        wait = asyncio.create_task(self._positions.assigned.wait())
        deadline = time.monotonic() + (
            self._settings.rebalance_timeout_ms / 1000 if timeout_s is None else timeout_s
        )
        while not wait.done() and self._queue.failure() is None and time.monotonic() < deadline:
            await asyncio.wait([wait], timeout=min(0.1, deadline - time.monotonic()))
        wait.cancel()

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read an assigned partition on from here."""
        self._positions.seek(partition, offset)

    def _start_pump(self) -> None:
        if self._pump is None:
            self._pump = Pump(self._consumer, self._positions, self._queue)

    # The group's offsets ----------------------------------------------------------------------

    async def commit(self, offsets: Mapping[TopicPartition, tuple[int, str]]) -> None:
        """
        Store the next offsets to read, with their metadata; the broker has done so when it returns.

        Raises: IllegalState when the group moved on without us; OutcomeUnknown; KafkaFailure
        """
        if not offsets:
            return
        timeout_s = self._settings.request_timeout_ms / 1000
        with translated():
            await within(
                timeout_s,
                self._commit(offsets, time.monotonic() + timeout_s),
                lambda: OutcomeUnknown("Whether the offsets were committed is unknown."),
            )
        self._positions.committed(offsets)
        self._last_commit |= offsets

    async def commit_if_new(self, offsets: Mapping[TopicPartition, tuple[int, str]]) -> None:
        """Store those that differ from what we stored last."""
        await self.commit(
            {at: entry for at, entry in offsets.items() if self._last_commit.get(at) != entry}
        )

    async def _commit(
        self, offsets: Mapping[TopicPartition, tuple[int, str]], deadline: float
    ) -> None:
        coordinator = self._consumer._coordinator
        stored = {Assigned(*at): OffsetAndMetadata(*entry) for at, entry in offsets.items()}
        while True:
            await coordinator.ensure_coordinator_known()
            try:
                await coordinator._do_commit_offsets(None, stored)
            except GROUP_MOVED_ON as exc:
                # It does so at each rebalance. What is ours again afterwards may still be
                # committed.
                await asyncio.sleep(BACKOFF_S)
                await self.settled(deadline - time.monotonic())
                mine = self.subscribed and all(at in self._queue.buffers for at in offsets)
                if not mine or time.monotonic() > deadline:
                    raise IllegalState(
                        "The group has rebalanced and the partitions may belong to another member."
                    ) from exc
            except kafka.KafkaError as exc:
                if not exc.retriable or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(BACKOFF_S)
            else:
                return

    async def committed(
        self, partitions: tuple[TopicPartition, ...]
    ) -> dict[TopicPartition, tuple[int, str]]:
        """The group's stored offsets and metadata; partitions without one are left out."""
        timeout_s = self._settings.request_timeout_ms / 1000
        with translated():
            return await within(
                timeout_s,
                self._committed(partitions, time.monotonic() + timeout_s),
                unreachable,
            )

    async def _committed(
        self, partitions: tuple[TopicPartition, ...], deadline: float
    ) -> dict[TopicPartition, tuple[int, str]]:
        coordinator = self._consumer._coordinator
        while True:
            await coordinator.ensure_coordinator_known()
            try:
                stored = await coordinator._do_fetch_commit_offsets(partitions)
            except kafka.KafkaError as exc:
                if not exc.retriable or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(BACKOFF_S)
            else:
                return {
                    TopicPartition(*at): (entry.offset, entry.metadata or "")
                    for at, entry in stored.items()
                }

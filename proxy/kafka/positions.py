"""
Where an instance reads each of its partitions, through rebalances, seeks and logs that were cut
off.

Rule 1: a partition begins at the group's committed offset. Where there is none the reset policy
decides, before the subscription is answered, so that what is written from then on is seen. A topic
that appears only then is read from its beginning: all of it was written since.
Rule 2: where the log no longer reaches back to a position, the log's start is next, whatever the
policy.
Rule 3: a partition that stays here from one generation of the group to the very next goes on where
it was, with what was ready of it. In between nobody else had it.
Rule 4: what is taken away begins elsewhere at the committed offset. For the policy `latest`, and
nothing committed, that would skip what was written since we began: so the place where we began is
committed first.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import Any

import aiokafka.errors as kafka
from aiokafka import ConsumerRebalanceListener
from aiokafka import TopicPartition as Assigned

from proxy.errors import IllegalState
from proxy.kafka.consumer_options import ConsumerOptions, KafkaAccess
from proxy.kafka.deadline import within
from proxy.kafka.group_offsets import GroupOffsets
from proxy.kafka.offsets import EARLIEST, LATEST, READ_COMMITTED, READ_UNCOMMITTED, list_offsets
from proxy.kafka.record_queue import Buffer, RecordQueue
from proxy.model import TopicPartition

log = logging.getLogger(__name__)

# aiokafka beats no heart while it tells us of an assignment: well below the session timeout.
REBALANCE_STEP_S = 4.0
BACKOFF_S = 0.2


class Positions(ConsumerRebalanceListener):
    """aiokafka tells it of rebalances; the pump of records read and logs that were cut off."""

    def __init__(
        self,
        consumer: Any,
        options: ConsumerOptions,
        access: KafkaAccess,
        queue: RecordQueue,
        offsets: GroupOffsets,
    ) -> None:
        self._consumer = consumer
        self._policy = options.auto_offset_reset
        committed_only = options.isolation_level == "read_committed"
        self.isolation = READ_COMMITTED if committed_only else READ_UNCOMMITTED
        self._access = access
        self._queue = queue
        self._offsets = offsets
        self._next: dict[TopicPartition, int] = {}
        # Where `latest` put us and nothing has been committed since (rule 4).
        self._began: dict[TopicPartition, int] = {}
        # Subscribed to before they were there (rule 1).
        self._awaited: set[str] = set()
        self._aside: dict[TopicPartition, Buffer] = {}
        self._kept_generation = -1
        self.assigned = asyncio.Event()

    def read_to(self, partition: TopicPartition, offset: int) -> None:
        """The pump took records up to before this offset."""
        self._next[partition] = offset

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from here; records that are on their way from elsewhere are dropped."""
        self._next[partition] = offset
        self._consumer.seek(Assigned(*partition), offset)

    def committing(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """
        The group is about to have a stored offset for these; what to `give_back` if that fails.
        """
        return {at: self._began.pop(at) for at in partitions if at in self._began}

    def give_back(self, began: dict[TopicPartition, int]) -> None:
        """Nothing was committed: rule 4 holds again for what is ours."""
        self._began |= {at: offset for at, offset in began.items() if at in self._queue.buffers}

    # What is ours comes and goes --------------------------------------------------------------

    def set_aside(self) -> None:
        """Nothing is ours for now; what is here may come back with `take_back`."""
        self._aside |= self._queue.buffers
        self._queue.assign(())

    async def take_back(self, partitions: list[TopicPartition], *, may_keep: bool) -> None:
        """These are ours; those that were set aside and `may_keep` go on, the others begin."""
        assignment = self._consumer._subscription.subscription.assignment
        aside, self._aside = self._aside, {}
        known = {*partitions} & self._next.keys() if may_keep else set()
        kept = {at: buffer for at, buffer in aside.items() if at in known}
        for at, buffer in aside.items():
            if at in kept:
                self.seek(at, self._next[at])
            else:
                self._queue.lose(at, buffer)
        fresh = [at for at in partitions if at not in kept]
        for at in fresh:
            self._next.pop(at, None)
        try:
            if self._policy == "latest" and fresh:
                await within(REBALANCE_STEP_S, self._begin_latest(fresh), kafka.KafkaTimeoutError)
        finally:
            # Unless all was changed again meanwhile, which tells us anew.
            if assignment.active:
                self._queue.assign(partitions, kept)
            else:
                self._aside = kept

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """All are revoked before each rebalance (eager); some of them come back."""
        self.assigned.clear()
        self._kept_generation = self._consumer._coordinator.generation
        self.set_aside()
        if self._kept_generation > 0:
            await self._commit_beginnings()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """What is ours until the next rebalance."""
        subscription = self._consumer._subscription.subscription
        if subscription is None or subscription.assignment is None:
            # Changed again meanwhile, which tells us anew.
            return
        next_generation = self._consumer._coordinator.generation == self._kept_generation + 1
        try:
            await self.take_back([TopicPartition(*at) for at in assigned], may_keep=next_generation)
        except Exception as exc:
            # The pump begins what has no position yet.
            log.warning("where to begin could not be asked, trying again: %r", exc)
        if subscription.active:
            if self._policy == "latest":
                cluster = self._consumer._client.cluster
                self._awaited |= {
                    name
                    for name in subscription.topics
                    if cluster.partitions_for_topic(name) is None
                }
            self.assigned.set()

    async def leave(self) -> None:
        """The instance ends; rule 4 where others of its group go on."""
        if not self._began or self._consumer._coordinator.generation <= 0:
            return
        try:
            others = await self._offsets.member_count() > 1
        except kafka.KafkaError:
            others = True
        if others:
            await self._commit_beginnings()

    async def _commit_beginnings(self) -> None:
        if not self._began:
            return
        began, self._began = self._began, {}
        try:
            await self._offsets.store(
                {at: (offset, "") for at, offset in began.items()},
                time.monotonic() + REBALANCE_STEP_S,
            )
        except kafka.KafkaError as exc:
            log.warning("where reading began could not be committed: %r", exc)

    async def _begin_latest(self, partitions: list[TopicPartition]) -> None:
        stored = await self._offsets.stored(partitions, time.monotonic() + REBALANCE_STEP_S)
        fresh = [at for at in partitions if at not in stored]
        for limit, some in (
            (EARLIEST, [at for at in fresh if at.topic in self._awaited]),
            (LATEST, [at for at in fresh if at.topic not in self._awaited]),
        ):
            for at, offset in (await self._limits(some, limit)).items():
                self._begin_at(at, offset)

    def _begin_at(self, partition: TopicPartition, offset: int) -> None:
        # It may have been sought in, or begun, while the offset was looked up.
        if not self._state(partition).has_valid_position:
            self.seek(partition, offset)
            self._began[partition] = offset

    def begin_committed(self, partition: TopicPartition, offset: int) -> None:
        """A partition that stood still for want of a committed offset has one now."""
        if partition in self._queue.buffers and not self._state(partition).has_valid_position:
            self.seek(partition, offset)
            self._queue.try_again(partition)

    # What the pump runs into ------------------------------------------------------------------

    async def begin_uncommitted(self, partition: TopicPartition) -> None:
        """aiokafka has no offset for a partition: `none`, or `_begin_latest` could not ask."""
        if self._policy == "none":
            self._queue.fail(
                IllegalState(
                    f"No offset is committed for partition {partition.topic}-{partition.partition}"
                    " and auto.offset.reset is none; seek first."
                ),
                partition,
            )
        else:
            self._begin_at(partition, (await self._limits([partition], LATEST))[partition])

    async def recover(self, partition: TopicPartition, offset: int) -> None:
        """Rule 2. Behind the end, as after a topic was made anew, the reset policy decides."""
        beginning = (await self._limits([partition], EARLIEST))[partition]
        end = (await self._limits([partition], LATEST))[partition]
        state = self._state(partition)
        if not state.has_valid_position or state.position != offset:
            # Sought in while we asked.
            return
        if beginning <= offset <= end:
            await asyncio.sleep(BACKOFF_S)
            self.seek(partition, offset)
        elif offset < beginning:
            self.seek(partition, beginning)
        elif self._policy == "latest":
            self.seek(partition, end)
        else:
            self._queue.fail(
                IllegalState(
                    f"Offset {offset} of partition {partition.topic}-{partition.partition} is"
                    f" beyond its end {end} and auto.offset.reset is none; seek first."
                ),
                partition,
            )

    def _state(self, partition: TopicPartition) -> Any:
        return self._consumer._subscription._assigned_state(Assigned(*partition))

    async def _limits(
        self, partitions: list[TopicPartition], limit: int
    ) -> dict[TopicPartition, int]:
        if not partitions:
            return {}
        return await list_offsets(
            self._access.cluster,
            self._access.topics,
            dict.fromkeys(partitions, limit),
            self.isolation,
        )

"""
Where an instance reads each of its partitions, through rebalances, seeks and logs that were cut
off.

Rule 1: a partition begins at the group's committed offset. Where there is none the reset policy
decides, before the subscription is answered, so that what is written from then on is seen.
Rule 2: where the log no longer reaches back to a position, the log's start is next, whatever the
policy.
Rule 3: a partition that stays here from one generation of the group to the very next goes on where
it was. In between nobody else had it.
Rule 4: what is taken away begins elsewhere at the committed offset. For the policy `latest`, and
nothing committed, that would skip what was written since we began: so the place where we began is
committed first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from aiokafka import ConsumerRebalanceListener
from aiokafka import TopicPartition as Assigned
from aiokafka.structs import OffsetAndMetadata

from proxy.errors import IllegalState
from proxy.kafka.consumer_options import ConsumerOptions, KafkaAccess
from proxy.kafka.offsets import EARLIEST, LATEST, READ_COMMITTED, READ_UNCOMMITTED, list_offsets
from proxy.kafka.record_queue import RecordQueue
from proxy.model import TopicPartition

log = logging.getLogger(__name__)


class Positions(ConsumerRebalanceListener):
    """aiokafka tells it of rebalances; the pump of records read and logs that were cut off."""

    def __init__(
        self, consumer: Any, options: ConsumerOptions, access: KafkaAccess, queue: RecordQueue
    ) -> None:
        self._consumer = consumer
        self._policy = options.auto_offset_reset
        committed_only = options.isolation_level == "read_committed"
        self._isolation = READ_COMMITTED if committed_only else READ_UNCOMMITTED
        self._access = access
        self._queue = queue
        self._next: dict[TopicPartition, int] = {}
        # Where `latest` put us and nothing has been committed since (rule 4).
        self._began: dict[TopicPartition, int] = {}
        self._kept: dict[TopicPartition, int] = {}
        self._kept_delivered: dict[TopicPartition, int] = {}
        self._kept_generation = -1
        self.assigned = asyncio.Event()

    def read_to(self, partition: TopicPartition, offset: int) -> None:
        """The pump took records up to before this offset."""
        self._next[partition] = offset

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from here; records that are on their way from elsewhere are dropped."""
        self._next[partition] = offset
        self._consumer.seek(Assigned(*partition), offset)

    def committed(self, partitions: Iterable[TopicPartition]) -> None:
        """The group has a stored offset for these now."""
        for partition in partitions:
            self._began.pop(partition, None)

    # Rebalances -------------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """All are revoked before each rebalance (eager); some of them come back."""
        self.assigned.clear()
        generation = self._consumer._coordinator.generation
        self._kept = {
            at: self._next[at] for at in self._queue.buffers if at in self._next
        } | self._queue.first_ready()
        self._kept_delivered = dict(self._queue.delivered)
        self._kept_generation = generation
        self._queue.assign(())
        if self._began and generation > 0:
            began = {
                Assigned(*at): OffsetAndMetadata(offset, "") for at, offset in self._began.items()
            }
            self._began = {}
            await self._consumer._coordinator._do_commit_offsets(None, began)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """What is ours until the next rebalance."""
        mine = [TopicPartition(*at) for at in assigned]
        kept: dict[TopicPartition, int] = {}
        if self._consumer._coordinator.generation == self._kept_generation + 1:
            kept = {at: self._kept[at] for at in mine if at in self._kept}
        try:
            await self.begin([at for at in mine if at not in kept])
        finally:
            self._queue.assign(mine)
            for at, offset in kept.items():
                self.seek(at, offset)
                if at in self._kept_delivered:
                    self._queue.delivered[at] = self._kept_delivered[at]
            self.assigned.set()

    async def begin(self, partitions: list[TopicPartition]) -> None:
        """
        Rule 1. `earliest` is left to aiokafka, which comes to the same and saves a round trip.
        """
        for at in partitions:
            self._next.pop(at, None)
        if self._policy != "latest" or not partitions:
            return
        stored = await self._consumer._coordinator.fetch_committed_offsets(partitions)
        fresh = [at for at in partitions if at not in stored]
        for at, offset in (await self._limits(fresh, LATEST)).items():
            self.seek(at, offset)
            self._began[at] = offset

    # What the pump runs into ------------------------------------------------------------------

    async def begin_uncommitted(self, partition: TopicPartition) -> None:
        """aiokafka has no offset for a partition: `none`, or `begin` could not ask."""
        if self._policy == "none":
            self._queue.fail(
                IllegalState(
                    f"No offset is committed for partition {partition.topic}-{partition.partition}"
                    " and auto.offset.reset is none; seek first."
                ),
                partition,
            )
            return
        limit = LATEST if self._policy == "latest" else EARLIEST
        self.seek(partition, (await self._limits([partition], limit))[partition])

    async def recover(self, partition: TopicPartition, offset: int) -> None:
        """Rule 2. Behind the end, as after a topic was made anew, the reset policy decides."""
        beginning = (await self._limits([partition], EARLIEST))[partition]
        end = (await self._limits([partition], LATEST))[partition]
        if beginning <= offset <= end:
            self.seek(partition, offset)
        elif offset < beginning or self._policy == "earliest":
            self.seek(partition, beginning)
        elif self._policy == "latest":
            self.seek(partition, end)
        else:
            self._queue.fail(
                IllegalState(
                    f"Offset {offset} of partition {partition.topic}-{partition.partition} is"
                    f" behind its end {end} and auto.offset.reset is none; seek first."
                ),
                partition,
            )

    async def _limits(
        self, partitions: list[TopicPartition], limit: int
    ) -> dict[TopicPartition, int]:
        return await list_offsets(
            self._access.cluster,
            self._access.topics,
            dict.fromkeys(partitions, limit),
            self._isolation,
        )

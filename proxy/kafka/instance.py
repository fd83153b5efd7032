"""
A consumer instance: one aiokafka consumer, one pump, one queue, and the HTTP requests that wait on
them.

Rule 1: only the pump awaits `getmany`, and nobody cancels it; requests wait on the queue.
Rule 2: at most one fetch at a time, from its first look at the queue until its answer is written
(`turn`).
Rule 3: where a partition begins is decided here and not by aiokafka: see `positions.py`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable

from proxy.errors import IllegalState, OutcomeUnknown, UnknownInstance
from proxy.kafka.consumer_options import ConsumerOptions, FetchLimits, KafkaAccess
from proxy.kafka.deadline import within
from proxy.kafka.member import Member
from proxy.kafka.offsets import EARLIEST, LATEST, list_offsets
from proxy.kafka.record_queue import OnUndecodable, RecordQueue, Render, Selection
from proxy.model import CommittedOffset, TopicPartition

log = logging.getLogger(__name__)


class ConsumerInstance:
    """Made by the registry; its member of the group is made when it is first needed."""

    def __init__(
        self, group: str, name: str, options: ConsumerOptions, access: KafkaAccess
    ) -> None:
        self.group = group
        self.name = name
        self.options = options
        self.turn = asyncio.Lock()
        self.last_used = time.monotonic()
        self.requests = 0
        self._access = access
        self._queue = RecordQueue(access.settings.consumer_prefetch_bytes)
        self._member: Member | None = None
        self._changing = asyncio.Lock()
        self._starting = asyncio.Lock()
        self._closed = False
        self._hurried = False

    # What it reads ----------------------------------------------------------------------------

    async def subscribe(self, topics: tuple[str, ...] | None, pattern: str | None) -> None:
        """
        Join the group for these topics, or for those whose whole name a pattern matches; replaces
        what was there.

        Waits for the group as long as the settings allow; joining then goes on behind.
        Raises: IllegalState after `assign`; KafkaFailure, for example GROUP_AUTHORIZATION_FAILED
        """
        async with self._changing:
            member = await self._started()
            if member.assigned_by_hand:
                raise IllegalState(
                    "Subscription to topics, partitions and pattern are mutually exclusive."
                )
            await member.subscribe(topics, pattern)

    async def unsubscribe(self) -> None:
        """Leave the group, or give up the assigned partitions."""
        async with self._changing:
            await self._stop_member()

    async def assign(self, partitions: tuple[TopicPartition, ...]) -> None:
        """
        Read these partitions, without the group's help; replaces what was assigned.

        Raises: IllegalState after `subscribe`; UnknownTopic; UnknownPartition
        """
        for topic, partition in partitions:
            (await self._access.topics.get(topic)).check_partition(partition)
        async with self._changing:
            member = await self._started()
            if member.subscribed:
                raise IllegalState(
                    "Subscription to topics, partitions and pattern are mutually exclusive."
                )
            await member.assign(partitions)

    def subscription(self) -> list[str]:
        """The topics subscribed to, sorted."""
        return [] if self._member is None else self._member.subscription()

    def assignment(self) -> list[TopicPartition]:
        """The partitions that it reads now, sorted."""
        return sorted(self._queue.buffers)

    # Reading ----------------------------------------------------------------------------------

    async def select(
        self, render: Render, on_undecodable: OnUndecodable, limits: FetchLimits
    ) -> Selection:
        """
        Records for an answer: as soon as `min_bytes` are there, at latest at the timeout, then
        perhaps none.

        Call it with `turn` held, and hold that until the answer is written and `confirm` called.
        Raises: IllegalState; UndecodableRecord; UnknownInstance when it ends meanwhile;
        KafkaFailure
        """
        member = self._member
        if member is None or not (member.subscribed or member.assigned_by_hand):
            raise IllegalState(
                "Consumer is not subscribed to any topics or assigned any partitions."
            )
        if self.options.auto_commit:
            await self._commit_delivered(member)
        wanted_bytes = limits.max_bytes if limits.min_bytes < 0 else limits.min_bytes
        self._queue.budget_bytes = max(
            self._access.settings.consumer_prefetch_bytes, min(wanted_bytes, limits.max_bytes)
        )
        deadline = time.monotonic() + limits.timeout_s
        while True:
            self._check_open()
            left_s = 0.0 if self._hurried else deadline - time.monotonic()
            if self._is_enough(wanted_bytes) or left_s <= 0:
                selection = self._queue.select(
                    render, on_undecodable, limits.max_bytes, limits.max_records
                )
                if selection.parts or left_s <= 0:
                    failure = self._queue.failure()
                    if failure is not None and not selection.parts:
                        raise failure
                    return selection
                # All that was there is left out (`invalid=skip`): go on behind it.
                self._queue.confirm(selection)
                failure = self._queue.failure()
                if failure is not None:
                    raise failure
            await self._queue.changed(left_s)

    def confirm(self, selection: Selection) -> None:
        """The answer was written to the end: its records are delivered."""
        self._queue.confirm(selection)

    def hurry(self) -> None:
        """From now on a fetch does not wait."""
        self._hurried = True
        self._queue.wake_fetch()

    def _is_enough(self, wanted_bytes: int) -> bool:
        ready = self._queue.ready_bytes()
        if ready >= wanted_bytes and any(b.records for b in self._queue.buffers.values()):
            return True
        return self._queue.failure() is not None or (
            self._queue.is_full() and any(b.records for b in self._queue.buffers.values())
        )

    # Committing -------------------------------------------------------------------------------

    async def commit(self, offsets: tuple[CommittedOffset, ...] | None) -> None:
        """
        Commit offsets as Kafka stores them, the next to read; None: all that was delivered and is
        still ours.

        Raises: UnknownTopic; UnknownPartition; IllegalState when the group moved on;
        OutcomeUnknown; KafkaFailure
        """
        if offsets is None:
            if self._member is not None:
                await self._member.commit(
                    {at: (end, "") for at, end in self._queue.delivered.items()}
                )
            return
        for offset in offsets:
            (await self._access.topics.get(offset.topic)).check_partition(offset.partition)
        member = await self._started()
        await member.commit(
            {TopicPartition(o.topic, o.partition): (o.offset, o.metadata) for o in offsets}
        )

    async def committed(
        self, partitions: tuple[TopicPartition, ...] | None
    ) -> list[CommittedOffset]:
        """The group's stored offsets, of these partitions or of all that are assigned."""
        wanted = tuple(self.assignment()) if partitions is None else partitions
        if not wanted:
            return []
        member = await self._started()
        found = await member.committed(wanted)
        return [CommittedOffset(at.topic, at.partition, *found.get(at, (-1, ""))) for at in wanted]

    async def _commit_delivered(self, member: Member) -> None:
        try:
            await member.commit_if_new({at: (end, "") for at, end in self._queue.delivered.items()})
        except Exception as exc:
            log.warning("auto commit of %s/%s failed: %s", self.group, self.name, exc)

    # Seeking ----------------------------------------------------------------------------------

    async def seek(
        self, offsets: dict[TopicPartition, int], times: dict[TopicPartition, int]
    ) -> None:
        """
        Read on from these offsets, or from the first record at or after these times (ms), else from
        the end.

        Raises: IllegalState for a partition that is not assigned; nothing is moved then
        """
        member = await self._assigned([*offsets, *times])
        found = dict(offsets)
        if times:
            found |= await list_offsets(self._access.cluster, self._access.topics, times)
            behind = {at: LATEST for at in times if found[at] < 0}
            if behind:
                found |= await list_offsets(self._access.cluster, self._access.topics, behind)
        self._move(member, found)

    async def seek_to_limit(
        self, partitions: tuple[TopicPartition, ...], *, beginning: bool
    ) -> None:
        """Read on from the first record that there is, or from the next that will be written."""
        member = await self._assigned(partitions)
        limit = EARLIEST if beginning else LATEST
        found = await list_offsets(
            self._access.cluster, self._access.topics, dict.fromkeys(partitions, limit)
        )
        self._move(member, found)

    async def _assigned(self, partitions: Iterable[TopicPartition]) -> Member:
        member = self._member
        if member is not None:
            await member.settled()
        for partition in partitions:
            if member is None or partition not in self._queue.buffers:
                raise IllegalState(
                    f"No current assignment for partition {partition.topic}-{partition.partition}"
                )
        if member is None:
            raise IllegalState("No partitions are assigned.")
        return member

    def _move(self, member: Member, offsets: dict[TopicPartition, int]) -> None:
        for partition, offset in offsets.items():
            # It may have been taken away while its offset was looked up: then the seek is void.
            if partition in self._queue.buffers:
                self._queue.discard(partition)
                member.seek(partition, offset)

    # Beginning and end ------------------------------------------------------------------------

    async def _started(self) -> Member:
        self._check_open()
        if self._member is not None:
            return self._member
        async with self._starting:
            if self._member is None:
                member = Member(self.group, self.options, self._access, self._queue)
                await member.start()
                self._member = member
        if self._closed:
            await self._stop_member()
            raise UnknownInstance
        return self._member

    async def _stop_member(self) -> None:
        member, self._member = self._member, None
        if member is not None:
            await member.stop()
            self._queue.assign(())
            self._queue.delivered.clear()

    async def close(self, *, commit: bool) -> None:
        """
        Leave the group and end; `commit` with auto commit stores what was delivered, as Kafka's
        close does.

        A fetch that waits ends with UnknownInstance.
        """
        self._closed = True
        self._queue.wake_fetch()
        if commit and self.options.auto_commit and self._member is not None:
            await self._commit_delivered(self._member)
        await within(
            self._access.settings.request_timeout_ms / 1000,
            self._stop_member(),
            lambda: OutcomeUnknown("The consumer is still leaving its group."),
        )

    def _check_open(self) -> None:
        if self._closed:
            raise UnknownInstance

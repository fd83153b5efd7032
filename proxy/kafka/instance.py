"""
A consumer instance: one aiokafka consumer, one pump, one queue, and the HTTP requests that wait on
them.

Rule 1: only the pump reads from aiokafka, and nobody cancels that; requests wait on the queue.
Rule 2: at most one fetch at a time, from its first look at the queue until its answer is written
(`turn`).
Rule 3: where a partition begins is decided here and not by aiokafka: see `positions.py`.
Rule 4: a member has a queue of its own. One that is still leaving cannot touch what its successor
reads.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from proxy.errors import IllegalState, OutcomeUnknown, UnknownInstance
from proxy.kafka.consumer_options import ConsumerOptions, FetchLimits, KafkaAccess
from proxy.kafka.deadline import within
from proxy.kafka.member import Member
from proxy.kafka.offsets import EARLIEST, LATEST
from proxy.kafka.record_queue import OnUndecodable, RecordQueue, Render, Selection
from proxy.kafka.seek_targets import offsets_at_limit, offsets_at_times
from proxy.model import CommittedOffset, TopicPartition

log = logging.getLogger(__name__)

NOT_READING = "Consumer is not subscribed to any topics or assigned any partitions."
EXCLUSIVE = "Subscription to topics, partitions and pattern are mutually exclusive."
# A fetch that need not wait for records still waits so long for its auto commit.
AUTO_COMMIT_S = 1.0


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
        self._timeout_s = access.settings.request_timeout_ms / 1000
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

        Waits as long as the settings allow; joining then goes on behind.
        Raises: IllegalState after `assign`; KafkaFailure, such as GROUP_AUTHORIZATION_FAILED
        """
        async with self._changing:
            member = await self._started()
            if member.assigned_by_hand:
                raise IllegalState(EXCLUSIVE)
            await member.subscribe(topics, pattern)

    async def unsubscribe(self) -> None:
        """Leave the group, or give up the assigned partitions. Raises OutcomeUnknown."""
        async with self._changing:
            await self._ended(commit=False)

    async def assign(self, partitions: tuple[TopicPartition, ...]) -> None:
        """
        Read these partitions, without the group's help, in place of those before; or none at all.

        Raises: IllegalState after `subscribe`; UnknownTopic; UnknownPartition
        """
        for topic, partition in partitions:
            (await self._access.topics.get(topic)).check_partition(partition)
        async with self._changing:
            if self._member is not None and self._member.subscribed:
                raise IllegalState(EXCLUSIVE)
            if partitions:
                await (await self._started()).assign(partitions)
            else:
                await self._ended(commit=False)
        self._check_open()

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
        KafkaFailure; BrokersUnreachable when there is nothing and nobody to ask
        """
        self._check_open()
        member = self._member
        if member is None or not (member.subscribed or member.assigned_by_hand):
            raise IllegalState(NOT_READING)
        deadline = time.monotonic() + limits.timeout_s
        if self.options.auto_commit:
            await self._commit_delivered(member, max(AUTO_COMMIT_S, limits.timeout_s))
        wanted_bytes = limits.max_bytes if limits.min_bytes < 0 else limits.min_bytes
        budget_bytes = max(
            self._access.settings.consumer_prefetch_bytes, min(wanted_bytes, limits.max_bytes)
        )
        while True:
            self._check_open()
            queue = self._queue
            queue.want(wanted_bytes, budget_bytes)
            left_s = 0.0 if self._hurried else deadline - time.monotonic()
            if left_s <= 0 or queue.is_enough():
                selection = queue.select(
                    render, on_undecodable, limits.max_bytes, limits.max_records
                )
                if not selection.parts:
                    failure = queue.tell()
                    if failure is not None:
                        raise failure
                if selection.parts or self._hurried:
                    return selection
                if left_s <= 0:
                    # "Nothing there" would be a lie while nobody can be asked.
                    await self._access.cluster.check()
                    return selection
                # All that was there is left out (`invalid=skip`): go on behind it.
                queue.confirm(selection)
            await queue.changed(left_s)

    def confirm(self, selection: Selection) -> None:
        """The answer was written to the end: its records are delivered."""
        self._queue.confirm(selection)

    def hurry(self) -> None:
        """From now on a fetch does not wait."""
        self._hurried = True
        self._queue.wake_fetch()

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
                with self._unless_ended():
                    await self._member.commits.store_delivered(self._timeout_s, again=True)
            return
        for offset in offsets:
            (await self._access.topics.get(offset.topic)).check_partition(offset.partition)
        member = await self._started()
        wanted = {TopicPartition(o.topic, o.partition): (o.offset, o.metadata) for o in offsets}
        with self._unless_ended():
            await member.commits.store(wanted, self._timeout_s)

    async def committed(
        self, partitions: tuple[TopicPartition, ...] | None
    ) -> list[CommittedOffset]:
        """The group's stored offsets, of these partitions or of all that are assigned."""
        wanted = tuple(self.assignment()) if partitions is None else partitions
        if not wanted:
            return []
        member = await self._started()
        with self._unless_ended():
            found = await member.commits.stored(wanted, self._timeout_s)
        return [CommittedOffset(at.topic, at.partition, *found.get(at, (-1, ""))) for at in wanted]

    async def _commit_delivered(self, member: Member, timeout_s: float) -> None:
        try:
            await member.commits.store_delivered(timeout_s, again=False)
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
        wanted = {*offsets, *times}
        member = await self._holding(wanted)
        if times:
            offsets = offsets | await offsets_at_times(self._access, times, member.isolation)
            member = await self._holding(wanted)
        self._move(member, offsets)

    async def seek_to_limit(
        self, partitions: tuple[TopicPartition, ...], *, beginning: bool
    ) -> None:
        """Read on from the first record that there is, or from the next that will be written."""
        member = await self._holding(set(partitions))
        limit = EARLIEST if beginning else LATEST
        found = await offsets_at_limit(self._access, partitions, limit, member.isolation)
        self._move(await self._holding(set(partitions)), found)

    async def _holding(self, partitions: set[TopicPartition]) -> Member:
        """The member, when these are its own and no rebalance is going on."""
        member = self._member
        if member is not None:
            await member.settled(self._access.settings.rebalance_timeout_ms / 1000)
        self._check_open()
        missing = sorted(partitions - self._queue.buffers.keys())
        if missing:
            topic, partition = missing[0]
            raise IllegalState(f"No current assignment for partition {topic}-{partition}")
        if member is None or member is not self._member:
            raise IllegalState("No partitions are assigned.")
        return member

    def _move(self, member: Member, offsets: dict[TopicPartition, int]) -> None:
        for partition, offset in offsets.items():
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
            await self._ended(commit=False)
            raise UnknownInstance
        return self._member

    async def close(self, *, commit: bool) -> None:
        """
        Leave the group and end; `commit` stores what was delivered, where auto commit is on. A
        fetch that waits ends with UnknownInstance.
        """
        self._closed = True
        self._queue.wake_fetch()
        await self._ended(commit=commit and self.options.auto_commit)

    async def _ended(self, *, commit: bool) -> None:
        member, self._member = self._member, None
        if member is None:
            return
        queue = self._queue
        self._queue = RecordQueue(self._access.settings.consumer_prefetch_bytes)
        queue.wake_fetch()
        await within(
            self._timeout_s,
            self._end(member, commit=commit),
            lambda: OutcomeUnknown("The consumer is still leaving its group."),
        )

    async def _end(self, member: Member, *, commit: bool) -> None:
        if commit:
            await self._commit_delivered(member, self._timeout_s / 2)
        await member.stop()

    @contextmanager
    def _unless_ended(self) -> Iterator[None]:
        """What fails because the instance was deleted meanwhile fails with UnknownInstance."""
        try:
            yield
        except Exception:
            self._check_open()
            raise

    def _check_open(self) -> None:
        if self._closed:
            raise UnknownInstance

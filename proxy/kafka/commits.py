"""
Committing for one member of a group, through rebalances.

Rule 1: a commit that was refused because the group moves is tried again once it has settled, for
partitions that are still ours; else it is refused for good. It is never dropped in silence.
Rule 2: what is sent after its deadline could undo a later commit, so nothing is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import aiokafka.errors as kafka

from proxy.errors import IllegalState, KafkaFailure, OutcomeUnknown
from proxy.kafka.broker_errors import translated
from proxy.kafka.cluster import unreachable
from proxy.kafka.deadline import within
from proxy.kafka.group_offsets import GroupOffsets
from proxy.kafka.positions import Positions
from proxy.kafka.record_queue import RecordQueue
from proxy.model import TopicPartition

BACKOFF_S = 0.1

GROUP_MOVED_ON = (
    kafka.UnknownMemberIdError,
    kafka.IllegalGenerationError,
    kafka.RebalanceInProgressError,
)


class Membership(Protocol):
    """What is asked of a member."""

    @property
    def subscribed(self) -> bool: ...
    async def settled(self, timeout_s: float) -> bool:
        """Wait until no rebalance is going on; whether it holds its partitions then."""
        ...


class Commits:
    """May be used by several requests at once."""

    def __init__(
        self,
        offsets: GroupOffsets,
        positions: Positions,
        queue: RecordQueue,
        membership: Membership,
    ) -> None:
        self._offsets = offsets
        self._positions = positions
        self._queue = queue
        self._membership = membership

    async def store_delivered(self, timeout_s: float, *, again: bool) -> None:
        """
        Store what was delivered and is still ours; without `again` only what we did not store last.

        Raises: KafkaFailure when a rebalance outlasts the timeout; IllegalState when partitions
        were taken away before; as `store` does
        """
        deadline = time.monotonic() + timeout_s
        if not await self._membership.settled(timeout_s):
            raise KafkaFailure(
                kafka.RebalanceInProgressError.errno,
                "REBALANCE_IN_PROGRESS",
                retriable=True,
                message="REBALANCE_IN_PROGRESS: nothing was committed.",
            )
        delivered = self._queue.delivered(unless_committed=not again)
        await self.store(
            {at: (end, "") for at, end in delivered.items()}, deadline - time.monotonic()
        )
        lost = self._queue.forget_lost()
        if lost and again:
            names = ", ".join(f"{topic}-{partition}" for topic, partition in lost)
            raise IllegalState(
                f"The group has rebalanced: what was delivered of {names} is not committed and"
                " comes again. The rest is committed."
            )

    async def store(
        self, offsets: Mapping[TopicPartition, tuple[int, str]], timeout_s: float
    ) -> None:
        """
        Store the next offsets to read, with their metadata; the broker has done so when it returns.

        Raises: IllegalState when the group moved on without us; OutcomeUnknown; KafkaFailure
        """
        if not offsets:
            return
        with translated():
            await within(
                timeout_s,
                self._store(offsets, time.monotonic() + timeout_s),
                lambda: OutcomeUnknown("Whether the offsets were committed is unknown."),
            )

    async def stored(
        self, partitions: tuple[TopicPartition, ...], timeout_s: float
    ) -> dict[TopicPartition, tuple[int, str]]:
        """The group's stored offsets and metadata; partitions without one are left out."""
        with translated():
            return await within(
                timeout_s,
                self._offsets.stored(partitions, time.monotonic() + timeout_s),
                unreachable,
            )

    async def _store(
        self, offsets: Mapping[TopicPartition, tuple[int, str]], deadline: float
    ) -> None:
        buffers = {at: self._queue.buffers.get(at) for at in offsets}
        with self._beginnings(offsets):
            while not await self._took(offsets, deadline):
                # What is ours again after a rebalance may still be committed.
                await asyncio.sleep(BACKOFF_S)
                settled = await self._membership.settled(deadline - time.monotonic())
                if not settled or any(at not in self._queue.buffers for at in offsets):
                    raise moved_on()
        for at, buffer in buffers.items():
            if buffer is not None:
                buffer.committed = offsets[at][0]
                self._positions.begin_committed(at, offsets[at][0])

    async def _took(
        self, offsets: Mapping[TopicPartition, tuple[int, str]], deadline: float
    ) -> bool:
        try:
            await self._offsets.store(offsets, deadline)
        except GROUP_MOVED_ON as exc:
            if not self._membership.subscribed or time.monotonic() > deadline:
                raise moved_on() from exc
            return False
        return True

    @contextmanager
    def _beginnings(self, offsets: Mapping[TopicPartition, tuple[int, str]]) -> Iterator[None]:
        began = self._positions.committing(offsets)
        try:
            yield
        except BaseException:
            self._positions.give_back(began)
            raise


def moved_on() -> Exception:
    """A commit of partitions that another member may have now."""
    return IllegalState("The group has rebalanced and the partitions may belong to another member.")

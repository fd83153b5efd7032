"""
The records of one consumer instance between Kafka and its HTTP client.

Rule 1: a record leaves the queue when its answer has been written (`confirm`), not when it was read
(rule 2 of the house).
Rule 2: a partition that is taken away or sought in takes its records with it; an answer that was
being written then confirms nothing.
Rule 3: the pump fills up to a budget of bytes; each partition has an equal part of it, so a full
one does not starve others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice

from proxy.errors import UndecodableRecord
from proxy.model import StoredRecord, TopicPartition

# What a record takes beside its bytes: CPython 3.11, measured with `sys.getsizeof` over a
# ConsumerRecord and its fields.
RECORD_OVERHEAD_BYTES = 400

Render = Callable[[StoredRecord], bytes]
# Makes something of a record that cannot be rendered: bytes to show, or None to leave it out.
OnUndecodable = Callable[[StoredRecord, UndecodableRecord], bytes | None]


class Buffer:
    """
    What one partition has ready. `failure` is why it cannot be read on; it is told by the next
    fetch.
    """

    __slots__ = ("failure", "held_bytes", "records")

    def __init__(self) -> None:
        self.records: deque[StoredRecord] = deque()
        self.held_bytes = 0
        self.failure: Exception | None = None


class Selection:
    """What one answer holds: rendered records, and how many of which partition they used up."""

    __slots__ = ("parts", "size", "used")

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.used: list[tuple[TopicPartition, Buffer, int]] = []


class RecordQueue:
    """Filled by the pump, read by one fetch at a time."""

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.buffers: dict[TopicPartition, Buffer] = {}
        # The next offset after the last record that was delivered, for commits.
        self.delivered: dict[TopicPartition, int] = {}
        self._broken: Exception | None = None
        self._turn = 0
        self._changed = asyncio.Event()
        self._wanted = asyncio.Event()

    # Partitions come and go -------------------------------------------------------------------

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """These, and only these, are ours from now on, with nothing in them yet."""
        self.buffers = {partition: Buffer() for partition in partitions}
        self.delivered = {at: end for at, end in self.delivered.items() if at in self.buffers}
        self._broken = None
        self.wake_pump()

    def discard(self, partition: TopicPartition) -> None:
        """Forget what is ready of a partition, as it is read from elsewhere now."""
        if partition in self.buffers:
            self.buffers[partition] = Buffer()
            self.wake_pump()

    def first_ready(self) -> dict[TopicPartition, int]:
        """The offset of the first record that is ready, of each partition that has one."""
        return {at: b.records[0].offset for at, b in self.buffers.items() if b.records}

    # The pump's side --------------------------------------------------------------------------

    def with_room(self) -> list[TopicPartition]:
        """The partitions that should be filled; none when the budget is used up."""
        if (
            not self.buffers
            or sum(b.held_bytes for b in self.buffers.values()) >= self.budget_bytes
        ):
            return []
        share = self.budget_bytes // len(self.buffers)
        return [
            partition
            for partition, buffer in self.buffers.items()
            if buffer.failure is None and buffer.held_bytes <= share
        ]

    def put(self, partition: TopicPartition, records: Iterable[StoredRecord]) -> None:
        """More records of a partition, in order. Dropped when it is not ours any more."""
        buffer = self.buffers.get(partition)
        if buffer is None:
            return
        before = len(buffer.records)
        buffer.records.extend(records)
        for record in islice(buffer.records, before, None):
            buffer.held_bytes += _held_bytes(record)
        self._changed.set()

    def fail(self, failure: Exception, partition: TopicPartition | None = None) -> None:
        """
        A partition cannot be read on until it is sought in, or none until they are assigned anew.
        """
        if partition is None:
            self._broken = failure
        elif partition in self.buffers:
            self.buffers[partition].failure = failure
        self._changed.set()

    async def wait_for_room(self) -> None:
        """Until a fetch or an assignment has made room."""
        self._wanted.clear()
        if not self.with_room():
            await self._wanted.wait()

    def wake_pump(self) -> None:
        """Something changed that the pump waits for."""
        self._wanted.set()

    # The fetch's side -------------------------------------------------------------------------

    def wake_fetch(self) -> None:
        """Something changed that a fetch waits for, such as the end of the instance."""
        self._changed.set()

    async def changed(self, timeout_s: float) -> None:
        """Until something new is ready, at most so long."""
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        except TimeoutError:
            return

    def ready_bytes(self) -> int:
        """Bytes of keys and values that are ready, as `fetch.min.bytes` counts them."""
        return sum(
            buffer.held_bytes - RECORD_OVERHEAD_BYTES * len(buffer.records)
            for buffer in self.buffers.values()
        )

    def is_full(self) -> bool:
        """Whether waiting longer could bring no more."""
        return not self.with_room()

    def failure(self) -> Exception | None:
        """Why there is nothing more to read, or why a partition without records has none."""
        if self._broken is not None:
            return self._broken
        for buffer in self.buffers.values():
            if buffer.failure is not None and not buffer.records:
                return buffer.failure
        return None

    def select(
        self, render: Render, on_undecodable: OnUndecodable, max_bytes: int, max_records: int
    ) -> Selection:
        """
        Records for an answer, partitions in turn, each in its order; they stay here until
        `confirm`.

        Units: `max_bytes` bounds keys and values together; one record always comes when there is
        one
        Raises: UndecodableRecord, when one stands at the head of a partition and no partition has
        others to give
        """
        selection = Selection()
        undecodable: UndecodableRecord | None = None
        for partition in self._in_turn():
            buffer = self.buffers[partition]
            used = 0
            for record in buffer.records:
                size = len(record.key or b"") + len(record.value or b"")
                if selection.parts and selection.size + size > max_bytes:
                    break
                if len(selection.parts) >= max_records:
                    break
                try:
                    part = render(record)
                except UndecodableRecord as exc:
                    try:
                        shown = on_undecodable(record, exc)
                    except UndecodableRecord:
                        undecodable = undecodable or exc
                        break
                    if shown is None:
                        used += 1
                        continue
                    part = shown
                selection.parts.append(part)
                selection.size += size
                used += 1
            if used:
                selection.used.append((partition, buffer, used))
        if not selection.used and undecodable is not None:
            raise undecodable
        return selection

    def confirm(self, selection: Selection) -> None:
        """The answer was written: its records leave the queue and count as delivered."""
        for partition, buffer, used in selection.used:
            if self.buffers.get(partition) is not buffer:
                continue
            for _ in range(used):
                record = buffer.records.popleft()
                buffer.held_bytes -= _held_bytes(record)
            self.delivered[partition] = record.offset + 1
        self.wake_pump()

    def _in_turn(self) -> list[TopicPartition]:
        partitions = [at for at, buffer in self.buffers.items() if buffer.records]
        if not partitions:
            return []
        self._turn += 1
        begin = self._turn % len(partitions)
        return partitions[begin:] + partitions[:begin]


def _held_bytes(record: StoredRecord) -> int:
    return len(record.key or b"") + len(record.value or b"") + RECORD_OVERHEAD_BYTES

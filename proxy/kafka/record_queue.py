"""
The records of one consumer instance between Kafka and its HTTP client.

Rule 1: a record leaves the queue when its answer has been written (`confirm`), not when it was read
(house rule 2).
Rule 2: a partition that is taken away or sought in takes its buffer with it; an answer that was
being written then confirms nothing here. One that stays through a rebalance keeps its buffer.
Rule 3: the pump fills up to a budget of bytes; each partition has an equal part of it, or as much
as a fetch waits for, so a full one does not starve others.
Rule 4: the partition that was served goes to the end of `buffers`: the others are served first next
time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from proxy.errors import UndecodableRecord
from proxy.model import StoredRecord, TopicPartition

# What a record takes beside its bytes: CPython 3.11, measured with `sys.getsizeof` over a
# ConsumerRecord and its fields.
RECORD_OVERHEAD_BYTES = 400
# Records decoded or rendered in one go: about a millisecond of the loop.
RECORDS_AT_ONCE = 500

Render = Callable[[StoredRecord], bytes]
# Makes something of a record that cannot be rendered: bytes to show, or None to leave it out.
OnUndecodable = Callable[[StoredRecord, UndecodableRecord], bytes | None]


class Buffer:
    """
    What one partition has ready. `failure` is why it cannot be read on; fetches tell it.

    `delivered` is the next offset after the last record that was delivered, `committed` the last
    one that we stored; None where there is none.
    """

    __slots__ = ("committed", "delivered", "failure", "held_bytes", "lost", "passing", "records")

    def __init__(self, delivered: int | None = None, committed: int | None = None) -> None:
        self.records: deque[StoredRecord] = deque()
        self.held_bytes = 0
        self.failure: Exception | None = None
        self.passing = False
        self.lost = False
        self.delivered = delivered
        self.committed = committed


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
        self.buffers: dict[TopicPartition, Buffer] = {}
        # The pump puts its own way to be woken here.
        self.wake_pump: Callable[[], None] = _nobody
        self._budget_bytes = budget_bytes
        self._wanted_bytes = 0
        # Taken away before what was delivered of them was committed.
        self._lost: set[TopicPartition] = set()
        self._broken: Exception | None = None
        self._changed = asyncio.Event()

    # Partitions come and go -------------------------------------------------------------------

    def assign(
        self,
        partitions: Iterable[TopicPartition],
        kept: Mapping[TopicPartition, Buffer] | None = None,
    ) -> None:
        """These, and only these, are ours from now on; empty but for the buffers that are kept."""
        known = kept or {}
        self.buffers = {at: known.get(at) or Buffer() for at in partitions}
        self._broken = None
        self._changed.set()
        self.wake_pump()

    def discard(self, partition: TopicPartition) -> None:
        """Forget what is ready of a partition, as it is read from elsewhere now."""
        before = self.buffers.get(partition)
        if before is not None:
            self.buffers[partition] = Buffer(before.delivered, before.committed)
            self.wake_pump()

    def delivered(self, *, unless_committed: bool = False) -> dict[TopicPartition, int]:
        """What a commit would store: the next offset after the last one delivered."""
        return {
            at: buffer.delivered
            for at, buffer in self.buffers.items()
            if buffer.delivered is not None
            and not (unless_committed and buffer.delivered == buffer.committed)
        }

    def lose(self, partition: TopicPartition, buffer: Buffer) -> None:
        """A partition went away, or must begin anew, with what was ready of it."""
        buffer.lost = True
        if buffer.delivered != buffer.committed:
            self._lost.add(partition)

    def forget_lost(self) -> list[TopicPartition]:
        """The partitions of which records were delivered that no commit of ours can cover now."""
        lost, self._lost = self._lost, set()
        return sorted(lost)

    # The pump's side --------------------------------------------------------------------------

    def want(self, wanted_bytes: int, budget_bytes: int) -> None:
        """A fetch waits for so many bytes of keys and values; more than the budget is in vain."""
        self._wanted_bytes = min(wanted_bytes, budget_bytes)
        if budget_bytes != self._budget_bytes:
            self._budget_bytes = budget_bytes
            self.wake_pump()

    def with_room(self) -> set[TopicPartition]:
        """The partitions that should be filled; none when the budget is used up."""
        held_bytes = sum(buffer.held_bytes for buffer in self.buffers.values())
        if not self.buffers or held_bytes >= self._budget_bytes:
            return set()
        share = max(self._budget_bytes // len(self.buffers), self._wanted_bytes)
        return {
            partition
            for partition, buffer in self.buffers.items()
            if buffer.failure is None and buffer.held_bytes <= share
        }

    def put(self, partition: TopicPartition, records: Sequence[StoredRecord]) -> None:
        """More records of a partition that is ours, in order."""
        buffer = self.buffers[partition]
        buffer.records.extend(records)
        buffer.held_bytes += sum(map(_held_bytes, records))
        self._changed.set()

    def fail(
        self,
        failure: Exception,
        partition: TopicPartition | None = None,
        *,
        passing: bool = False,
    ) -> None:
        """
        A partition cannot be read on until it is sought in, or none until they are assigned anew.

        One that is `passing` is tried again once a fetch has told of it.
        """
        if partition is None:
            self._broken = failure
        elif partition in self.buffers:
            self.buffers[partition].failure = failure
            self.buffers[partition].passing = passing
        self._changed.set()

    def try_again(self, partition: TopicPartition) -> None:
        """What stood in the way of reading a partition may be gone."""
        buffer = self.buffers.get(partition)
        if buffer is not None and buffer.failure is not None:
            buffer.failure = None
            self.wake_pump()

    # The fetch's side -------------------------------------------------------------------------

    def wake_fetch(self) -> None:
        """Something changed that a fetch waits for, such as the end of the instance."""
        self._changed.set()

    async def changed(self, timeout_s: float) -> None:
        """
        Until something new is ready, at most so long.

        No wake-up is lost: nothing is awaited between the caller's look at the queue and `clear`.
        """
        self._changed.clear()
        try:
            # Not `wait_for`, which in Python 3.11 may swallow the cancellation of its caller.
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return

    def is_enough(self) -> bool:
        """Whether a fetch need not wait: what it wants is there, or no more can come."""
        held_bytes = records = 0
        for buffer in self.buffers.values():
            held_bytes += buffer.held_bytes
            records += len(buffer.records)
        if records == 0:
            return self.failure() is not None
        # Any record is a byte or more to Kafka, which counts its head too.
        ready_bytes = held_bytes - RECORD_OVERHEAD_BYTES * records
        return max(ready_bytes, 1) >= self._wanted_bytes or (
            not self.with_room() or self.failure() is not None
        )

    def failure(self) -> Exception | None:
        """Why there is nothing more to read, or why a partition without records has none."""
        if self._broken is not None:
            return self._broken
        for buffer in self.buffers.values():
            if buffer.failure is not None and not buffer.records:
                return buffer.failure
        return None

    def tell(self) -> Exception | None:
        """The failure, for a client that has now been told of it."""
        failure = self.failure()
        for at, buffer in self.buffers.items():
            if buffer.failure is failure and buffer.passing:
                self.try_again(at)
        return failure

    def select(
        self, render: Render, on_undecodable: OnUndecodable, max_bytes: int, max_records: int
    ) -> Selection:
        """
        Records for an answer, partitions in turn, each in its order; they stay here until
        `confirm`.

        Units: `max_bytes` bounds keys and values together; one record always comes when there is
        one, whatever the limits
        Raises: UndecodableRecord, when one stands at the head of a partition and no partition has
        others to give
        """
        selection = Selection()
        undecodable: UndecodableRecord | None = None
        for partition, buffer in self.buffers.items():
            used = 0
            for record in buffer.records:
                size = _size(record)
                if selection.parts and (
                    selection.size + size > max_bytes or len(selection.parts) >= max_records
                ):
                    break
                try:
                    part = _rendered(record, render, on_undecodable)
                except UndecodableRecord as exc:
                    undecodable = undecodable or exc
                    break
                used += 1
                if part is not None:
                    selection.parts.append(part)
                    selection.size += size
            if used:
                selection.used.append((partition, buffer, used))
        if not selection.used and undecodable is not None:
            raise undecodable
        return selection

    def confirm(self, selection: Selection) -> None:
        """The answer was written: its records leave the queue and count as delivered."""
        for partition, buffer, used in selection.used:
            for _ in range(used):
                record = buffer.records.popleft()
                buffer.held_bytes -= _held_bytes(record)
            buffer.delivered = record.offset + 1
            if buffer.lost:
                self._lost.add(partition)
            elif self.buffers.get(partition) is buffer:
                self.buffers[partition] = self.buffers.pop(partition)
        self.wake_pump()


def _rendered(record: StoredRecord, render: Render, on_undecodable: OnUndecodable) -> bytes | None:
    try:
        return render(record)
    except UndecodableRecord as exc:
        return on_undecodable(record, exc)


def _size(record: StoredRecord) -> int:
    key, value = record.key, record.value
    return (0 if key is None else len(key)) + (0 if value is None else len(value))


def _held_bytes(record: StoredRecord) -> int:
    headers = sum(len(name) + len(value or b"") for name, value in record.headers)
    return _size(record) + headers + RECORD_OVERHEAD_BYTES


def _nobody() -> None:
    """Nobody pumps yet."""

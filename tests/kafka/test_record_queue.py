"""The queue between Kafka and an HTTP client, with records as literals."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from proxy.errors import IllegalState, UndecodableRecord
from proxy.kafka.record_queue import RECORD_OVERHEAD_BYTES, RecordQueue, Selection
from proxy.model import Header, StoredRecord, TopicPartition

pytestmark = pytest.mark.anyio

A, B, C = (TopicPartition("t", number) for number in range(3))
ROOM = 100 * (RECORD_OVERHEAD_BYTES + 10)


@dataclass
class Record:
    """A record that is rendered as its value, but for b"bad"."""

    partition: int
    offset: int
    value: bytes | None = b"1234567890"
    topic: str = "t"
    timestamp: int = 0
    key: bytes | None = None
    headers: Sequence[Header] = field(default_factory=tuple)


def render(record: StoredRecord) -> bytes:
    """What is b"bad" cannot be rendered."""
    if record.value == b"bad":
        raise UndecodableRecord(record.topic, record.partition, record.offset, "bad")
    return record.value or b""


def refuse(record: StoredRecord, error: UndecodableRecord) -> bytes | None:
    """The policy `fail`."""
    raise error


def skip(record: StoredRecord, error: UndecodableRecord) -> bytes | None:
    """The policy `skip`."""
    return None


def queue_of(*partitions: TopicPartition, budget_bytes: int = ROOM) -> RecordQueue:
    """A queue with these partitions."""
    queue = RecordQueue(budget_bytes)
    queue.assign(partitions)
    return queue


def fill(
    queue: RecordQueue, at: TopicPartition, *offsets: int, value: bytes = b"1234567890"
) -> None:
    """Records of a partition."""
    queue.put(at, [Record(at.partition, offset, value) for offset in offsets])


def take(queue: RecordQueue, max_bytes: int = 1000, max_records: int = 1000) -> Selection:
    """A selection with the policy `fail`."""
    return queue.select(render, refuse, max_bytes, max_records)


def used(selection: Selection) -> dict[TopicPartition, int]:
    """How many records of which partition."""
    return {at: count for at, _, count in selection.used}


async def test_records_stay_until_their_answer_was_written() -> None:
    """A selection that is not confirmed is selected again, and is not delivered."""
    queue = queue_of(A)
    fill(queue, A, 5, 7)
    assert take(queue).parts == take(queue).parts == [b"1234567890"] * 2
    assert queue.delivered() == {}
    queue.confirm(take(queue, max_records=1))
    assert queue.delivered() == {A: 6}
    queue.confirm(take(queue))
    assert (queue.delivered(), take(queue).parts) == ({A: 8}, [])


@pytest.mark.parametrize(
    ("max_bytes", "max_records", "count"),
    [(0, 9, 1), (9, 9, 1), (19, 9, 1), (20, 9, 2), (99, 0, 1)],
)
async def test_limits(max_bytes: int, max_records: int, count: int) -> None:
    """`max_bytes` bounds the sum exactly, and one record always comes."""
    queue = queue_of(A)
    fill(queue, A, 0, 1, 2)
    assert used(take(queue, max_bytes, max_records)) == {A: count}


async def test_partitions_take_turns_although_some_run_dry() -> None:
    """The partition that was served waits until the others were."""
    queue = queue_of(A, B, C)
    fill(queue, A, *range(9))
    fill(queue, C, *range(9))
    order: list[TopicPartition] = []
    for at in range(8):
        if at % 2 == 1:
            fill(queue, B, at)
        selection = take(queue, max_records=1)
        order += used(selection)
        queue.confirm(selection)
    assert order == [A, B, C, A, B, C, A, B]


async def test_a_sought_partition_confirms_nothing() -> None:
    """A seek while an answer is written: what is behind the seek stays, nothing counts as read."""
    queue = queue_of(A, B)
    fill(queue, A, 0, 1)
    fill(queue, B, 0)
    selection = take(queue)
    queue.discard(A)
    fill(queue, A, 7)
    queue.confirm(selection)
    assert (queue.delivered(), used(take(queue))) == ({B: 1}, {A: 1})


async def test_a_kept_partition_confirms_through_a_rebalance() -> None:
    """An answer that was on its way while the group moved does not come twice."""
    queue = queue_of(A, B)
    fill(queue, A, 0, 1, 2)
    fill(queue, B, 0)
    selection = take(queue)
    aside = queue.buffers
    queue.assign(())
    queue.lose(B, aside[B])
    queue.confirm(selection)
    queue.assign((A, C), {A: aside[A]})
    assert (queue.delivered(), used(take(queue))) == ({A: 3}, {})
    assert (queue.forget_lost(), queue.forget_lost()) == ([B], [])


async def test_a_bad_record_is_told_when_nothing_else_is_there() -> None:
    """At the head of one partition it waits for the others; what is before it comes."""
    queue = queue_of(A, B)
    fill(queue, A, 0)
    fill(queue, A, 1, value=b"bad")
    fill(queue, B, 0)
    selection = take(queue)
    assert used(selection) == {A: 1, B: 1}
    queue.confirm(selection)
    with pytest.raises(UndecodableRecord) as caught:
        take(queue)
    assert caught.value.offset == 1
    skipped = queue.select(render, skip, 1000, 1000)
    assert (skipped.parts, used(skipped)) == ([], {A: 1})


async def test_enough() -> None:
    """What a fetch wants, any record when it wants a byte, a full queue, or a failure."""
    queue = queue_of(A, B)
    queue.want(1, ROOM)
    assert not queue.is_enough()
    fill(queue, A, 0, value=b"")
    assert queue.is_enough()
    queue.want(11, ROOM)
    assert not queue.is_enough()
    fill(queue, B, 0, value=b"12345678901")
    assert queue.is_enough()
    queue.want(10_000, RECORD_OVERHEAD_BYTES)
    assert queue.is_enough()


async def test_room() -> None:
    """A full partition leaves room to the others, and has more while a fetch waits for it."""
    queue = queue_of(A, B)
    assert queue.with_room() == {A, B}
    fill(queue, A, *range(60))
    assert queue.with_room() == {B}
    queue.want(ROOM, ROOM)
    assert queue.with_room() == {A, B}
    queue.want(1, ROOM)
    fill(queue, B, *range(60))
    assert queue.with_room() == set()
    woken: list[bool] = []
    queue.wake_pump = lambda: woken.append(True)
    queue.want(1, 2 * ROOM)
    queue.confirm(take(queue))
    assert len(woken) == 2


async def test_failures() -> None:
    """A partition fails alone and after its records; one that passes is tried once it was told."""
    queue = queue_of(A, B)
    fill(queue, A, 0)
    lasting, passing = IllegalState("lasting"), IllegalState("passing")
    queue.fail(lasting, A)
    assert (queue.failure(), queue.with_room()) == (None, {B})
    queue.confirm(take(queue))
    assert (queue.tell(), queue.tell()) == (lasting, lasting)
    queue.discard(A)
    queue.fail(passing, A, passing=True)
    assert (queue.tell(), queue.tell(), queue.with_room()) == (passing, None, {A, B})
    queue.fail(lasting)
    assert queue.failure() is lasting
    queue.assign((A,))
    assert queue.failure() is None


async def test_waiting_loses_no_wake_up() -> None:
    """What arrives between a look and the wait ends the wait; a cancelled wait is cancelled."""
    queue = queue_of(A)
    for at in range(100):
        waiting = asyncio.create_task(queue.changed(10))
        await asyncio.sleep(0)
        fill(queue, A, at)
        if at % 2:
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        else:
            await waiting
    await queue.changed(0)

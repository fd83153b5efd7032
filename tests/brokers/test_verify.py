"""The native helpers that every other test trusts."""

from __future__ import annotations

import pytest

from tests.brokers import verify
from tests.brokers.broker import Broker
from tests.conftest import TopicFactory

pytestmark = pytest.mark.anyio


async def test_reads_back_what_was_written(broker: Broker, topic: TopicFactory) -> None:
    """Records come back whole: null and empty told apart, headers, timestamp, partition."""
    name = await topic(partitions=2)
    headers = [("h", b"1"), ("h", None)]
    offsets = await verify.produce(
        broker.bootstrap,
        name,
        [b"a", None, b""],
        key=b"k",
        partition=1,
        headers=headers,
        timestamp_ms=1_700_000_000_000,
    )
    assert offsets == [0, 1, 2]
    assert await verify.read_all(broker.bootstrap, name) == [
        verify.Record(1, offset, b"k", value, 1_700_000_000_000, (("h", b"1"), ("h", None)))
        for offset, value in enumerate([b"a", None, b""])
    ]
    assert await verify.end_offsets(broker.bootstrap, name) == {0: 0, 1: 3}


async def test_trimming_moves_the_beginning(broker: Broker, topic: TopicFactory) -> None:
    """`trim` deletes what is before the offset, and nothing else."""
    name = await topic()
    await verify.produce(broker.bootstrap, name, [b"%d" % at for at in range(5)])
    await verify.trim(broker.bootstrap, name, {0: 3})
    assert await verify.beginning_offsets(broker.bootstrap, name) == {0: 3}
    assert [one.offset for one in await verify.read_all(broker.bootstrap, name)] == [3, 4]


async def test_looking_creates_no_topic(broker: Broker, name: str) -> None:
    """Asking about a topic that does not exist fails, and does not make it."""
    with pytest.raises(LookupError):
        await verify.end_offsets(broker.bootstrap, name)
    assert name not in await verify.list_topics(broker.bootstrap)


async def test_an_unknown_group_has_no_members_and_no_offsets(broker: Broker, name: str) -> None:
    """A group that was never used answers as an empty one."""
    assert await verify.count_members(broker.bootstrap, name) == 0
    assert await verify.committed(broker.bootstrap, name) == {}

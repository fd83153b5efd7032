"""What is private to aiokafka and used by our consumers: an upgrade that changes it fails here."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import Fetcher, FetchError, PartitionRecords
from aiokafka.consumer.group_coordinator import CoordinatorGroupRebalance, GroupCoordinator
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.group import JoinGroupRequest
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy

from tests.brokers.broker import Broker
from tests.conftest import TopicFactory

pytestmark = pytest.mark.anyio


@pytest.fixture
async def consumer(broker: Broker, name: str) -> AsyncIterator[Any]:
    """A consumer of a group, as ours are made."""
    made: Any = AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap, group_id=name, enable_auto_commit=False
    )
    await made.start()
    yield made
    await made.stop()


async def test_a_started_consumer(consumer: Any) -> None:
    """The parts that we reach into are there before anything is subscribed to."""
    assert type(consumer._coordinator) is GroupCoordinator
    assert type(consumer._fetcher) is Fetcher
    assert consumer._closed is False
    assert consumer._client._topics == set()
    assert consumer._coordinator.generation <= 0
    assert not consumer._fetcher._fetch_task.done()
    assert list(consumer._fetcher._records) == []
    assert consumer._fetcher._isolation_level == 0
    assert consumer._subscription.reassignment_in_progress is True
    consumer._coordinator.check_errors()
    consumer._subscription.unsubscribe()


async def test_a_waiter_leaves_when_it_is_cancelled(consumer: Any) -> None:
    """The pump's own waiter is woken by records and taken back without a trace."""
    waiter = consumer._fetcher._create_fetch_waiter()
    assert consumer._fetcher._fetch_waiters == {waiter}
    waiter.cancel()
    await consumer._client.force_metadata_update()
    assert consumer._fetcher._fetch_waiters == set()


async def test_getmany_without_a_wait_does_not_wait(consumer: Any, topic: TopicFactory) -> None:
    """With records or an error ready it returns or raises in the very step that it was asked."""
    at = TopicPartition(await topic(), 0)
    consumer.assign([at])
    state = consumer._subscription._assigned_state(at)
    assert (state.has_valid_position, consumer._subscription.subscription.active) == (False, True)
    asking = consumer.getmany(at, timeout_ms=0, max_records=1)
    with pytest.raises(StopIteration) as ended:
        asking.send(None)
    assert ended.value.value == {}
    consumer.seek(at, 3)
    assert (state.has_valid_position, state.position) == (True, 3)
    consumer._fetcher._records[at] = FetchError(error=OSError("told"), backoff=0)
    with pytest.raises(OSError, match="told"):
        consumer.getmany(at, timeout_ms=0).send(None)
    assert at not in consumer._fetcher._records


def test_the_joins_of_one_rebalance() -> None:
    """It joins once for each assignor, with one more each time: `coordinator.py` skips them."""
    source = inspect.getsource(CoordinatorGroupRebalance.perform_group_join)
    assert source.index("for assignor in self._assignors") < source.index("JoinGroupRequest(")
    request: Any = JoinGroupRequest("g", 1, 1, "", "", "consumer", [("range", b"")])
    assert request._group_protocols == [("range", b"")]
    source = inspect.getsource(GroupCoordinator._do_fetch_commit_offsets)
    assert "_send_req(request)" in source
    assert "response.error_code" not in source, "rule 2 of `coordinator.py` is not needed any more"
    assert inspect.signature(OffsetFetchRequest.__init__).parameters.keys() >= {"partitions"}


def test_what_decodes_leniently() -> None:
    """The parts of aiokafka's decoder that `lenient_records.py` puts its own between."""
    assert {"_cache_next", "has_next", "MAGIC_OFFSET"} <= vars(_MemoryRecordsPy).keys()
    assert "_next_slice" in inspect.getsource(_MemoryRecordsPy.__init__)
    assert "_buffer" in inspect.getsource(_DefaultRecordBatchPy.__init__)
    assert '.decode("utf-8")' in inspect.getsource(_DefaultRecordBatchPy._read_msg)
    assert "next_fetch_offset" in inspect.getsource(PartitionRecords.__init__)

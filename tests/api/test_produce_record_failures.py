"""Records that cannot be written: they fail alone, and those next to them are written in order."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.api.produce_calls import (
    BINARY,
    V2,
    answer,
    assert_settled,
    connect,
    failed,
    get_metric,
    post,
    read,
    refusal,
    written,
)
from tests.api.topic_changes import set_configs
from tests.brokers import verify
from tests.brokers.broker import Broker
from tests.brokers.proxy_process import ProxyProcess
from tests.conftest import TopicFactory

pytestmark = pytest.mark.anyio

PROXY_SETTINGS = {"metadata_ttl_ms": 600_000}


# The default of message.timestamp.after.max.ms is an hour.
FAR_FUTURE = int(time.time() * 1000) + 10 * 24 * 3600 * 1000


async def test_an_unknown_partition_fails_its_record_alone(
    proxy_url: str, broker: Broker, topic: TopicFactory
) -> None:
    """200, with 40402 in that record's entry."""
    name = await topic(partitions=2)
    records = [
        {"value": 1, "partition": 0},
        {"value": 2, "partition": 2},
        {"value": 3, "partition": 0},
    ]
    response = await post(proxy_url, name, {"records": records})
    error = f"Partition 2 of topic '{name}' not found."
    assert read(response) == (
        200,
        V2,
        answer(written(0, 0), failed(None, 40402, error), written(0, 1)),
    )
    stored = await verify.read_all(broker.bootstrap, name)
    assert [record.value for record in stored] == [b"1", b"3"]


async def test_a_record_without_a_key_on_a_compacted_topic(
    proxy_url: str, broker: Broker, topic: TopicFactory
) -> None:
    """It is refused with a reason; an empty key is a key."""
    name = await topic(configs={"cleanup.policy": "compact,delete"})
    records = [{"key": "", "value": "AA=="}, {"value": "AQ=="}, {"key": "aw==", "value": None}]
    response = await post(proxy_url, name, {"records": records}, BINARY)
    error = (
        "Kafka error: INVALID_RECORD: "
        f"Topic '{name}' is compacted and takes no record without a key."
    )
    assert read(response) == (
        200,
        V2,
        answer(written(0, 0), failed(0, 40002, error), written(0, 1)),
    )
    stored = await verify.read_all(broker.bootstrap, name)
    assert [(record.key, record.value) for record in stored] == [(b"", b"\0"), (b"k", None)]


async def test_a_topic_that_is_compacted_since_a_moment(
    proxy: ProxyProcess, broker: Broker, topic: TopicFactory
) -> None:
    """What is remembered of the topic is out of date: the broker refuses the record alone."""
    name = await topic()
    assert (await post(proxy.url, name, {"records": [{"value": 0}]})).status_code == 200
    await set_configs(broker.bootstrap, name, {"cleanup.policy": "compact"})
    records = [{"key": "k", "value": 1}, {"value": 2}, {"key": "k", "value": 3}]
    response = await post(proxy.url, name, {"records": records})
    assert response.status_code == 200
    entries = response.json()["offsets"]
    assert entries[0] == written(0, 1) and entries[2] == written(0, 2)
    assert entries[1]["error_code"] == 40002
    assert entries[1]["error"].startswith("Kafka error: INVALID_RECORD")
    await assert_settled(proxy)


@pytest.mark.needs("timestamp_limits")
async def test_a_timestamp_that_the_topic_refuses(
    proxy: ProxyProcess, broker: Broker, topic: TopicFactory
) -> None:
    """The record fails with 40002; the others of its request are written in order."""
    name = await topic()
    records = [
        {"value": at, "timestamp": FAR_FUTURE} if at % 7 == 3 else {"value": at}
        for at in range(1000)
    ]
    response = await post(proxy.url, name, {"records": records})
    assert response.status_code == 200
    entries = response.json()["offsets"]
    good = [at for at in range(1000) if at % 7 != 3]
    assert [entries[at] for at in good] == [written(0, offset) for offset in range(len(good))]
    for at in range(3, 1000, 7):
        assert entries[at]["error_code"] == 40002
        assert entries[at]["error"].startswith("Kafka error: INVALID_TIMESTAMP")
    stored = await verify.read_all(broker.bootstrap, name)
    assert [record.value for record in stored] == [b"%d" % at for at in good]
    await assert_settled(proxy)
    assert await get_metric(proxy.url, "koh_producers_replaced_total") == 0


@pytest.mark.needs("timestamp_limits")
async def test_a_bad_timestamp_harms_no_other_request(
    proxy: ProxyProcess, broker: Broker, topic: TopicFactory
) -> None:
    """Concurrent requests share batches with bad ones; all of theirs is written, in order."""
    name = await topic()

    async def send_good(client: int) -> list[int]:
        offsets = []
        async with connect(proxy.url) as connection:
            for at in range(30):
                status, body = await connection.produce(name, [{"key": client, "value": at}])
                assert status == 200, body
                offsets.append(body["offsets"][0]["offset"])
        return offsets

    async def send_bad() -> None:
        async with connect(proxy.url) as connection:
            for _ in range(30):
                status, body = await connection.produce(
                    name, [{"key": "bad", "timestamp": FAR_FUTURE}]
                )
                assert (status, body["error_code"]) == (400, 40002)

    bad = [asyncio.create_task(send_bad()) for _ in range(2)]
    told = await asyncio.gather(*(send_good(client) for client in range(10)))
    await asyncio.gather(*bad)
    stored = await verify.read_all(broker.bootstrap, name)
    assert len(stored) == 300
    for client in range(10):
        own = [record for record in stored if record.key == b"%d" % client]
        assert [record.value for record in own] == [b"%d" % at for at in range(30)]
        assert [record.offset for record in own] == told[client]
    await assert_settled(proxy)
    assert await get_metric(proxy.url, "koh_producers_replaced_total") == 0


async def test_all_records_failed(proxy_url: str, topic: TopicFactory) -> None:
    """Status, code and message are those of the first; every record has its entry."""
    name = await topic(configs={"cleanup.policy": "compact"})
    records = [{"value": 1, "partition": 5}, {"value": 2}]
    response = await post(proxy_url, name, {"records": records})
    unknown = f"Partition 5 of topic '{name}' not found."
    keyless = (
        "Kafka error: INVALID_RECORD: "
        f"Topic '{name}' is compacted and takes no record without a key."
    )
    assert read(response) == (
        404,
        V2,
        refusal(40402, unknown, failed(None, 40402, unknown), failed(0, 40002, keyless)),
    )


@pytest.mark.needs("timestamp_limits")
async def test_all_records_refused_by_the_broker(proxy_url: str, topic: TopicFactory) -> None:
    """The same for what only the broker can tell."""
    name = await topic()
    records = [{"value": 1, "timestamp": FAR_FUTURE}, {"value": 2, "timestamp": 2**63 - 1}]
    response = await post(proxy_url, name, {"records": records})
    assert response.status_code == 400
    body = response.json()
    assert body["error_code"] == 40002
    assert body["message"].startswith("Kafka error: INVALID_TIMESTAMP")
    assert [entry["error_code"] for entry in body["offsets"]] == [40002, 40002]
    assert [entry["offset"] for entry in body["offsets"]] == [None, None]

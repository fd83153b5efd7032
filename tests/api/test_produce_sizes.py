"""Records and batches near the largest that a topic takes."""

from __future__ import annotations

import random

import pytest

from tests.api.produce_calls import (
    TEXT,
    V2,
    answer,
    assert_settled,
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
from tests.conftest import ProxyFactory, TopicFactory

pytestmark = pytest.mark.anyio

PROXY_SETTINGS = {"metadata_ttl_ms": 600_000}


LIMIT = 1000
# 61 bytes for the batch; of the record 2 for its length, 1 each for attributes, timestamp, offset,
# the null key and the number of headers, 2 for the value's length. Source: Kafka protocol guide,
# "Record Batch".
OVERHEAD = 61 + 2 + 5 + 2


@pytest.mark.parametrize("acks", ["all", "1"])
async def test_the_limit_is_the_brokers_to_the_byte(
    start_proxy: ProxyFactory, broker: Broker, topic: TopicFactory, acks: str
) -> None:
    """A batch of exactly max.message.bytes is written, one of a byte more is refused."""
    name = await topic(configs={"max.message.bytes": str(LIMIT)})
    proxy = start_proxy(acks=acks, enable_idempotence=acks == "all")
    sizes = [LIMIT - 1, LIMIT, LIMIT + 1]
    records = [{"value": "v" * (size - OVERHEAD)} for size in sizes]
    response = await post(proxy.url, name, {"records": [*records, {"value": "small"}]}, TEXT)
    error = f"The record is 1001 bytes with its overhead; topic '{name}' takes 1000."
    assert read(response) == (
        200,
        V2,
        answer(written(0, 0), written(0, 1), failed(0, 41301, error), written(0, 2)),
    )
    stored = await verify.read_all(broker.bootstrap, name)
    assert [len(record.value or b"") for record in stored] == [929, 930, 5]
    response = await post(proxy.url, name, {"records": [records[2]]}, TEXT)
    assert read(response) == (413, V2, refusal(41301, error, failed(0, 41301, error)))
    await assert_settled(proxy)


async def test_headers_and_keys_count(proxy_url: str, topic: TopicFactory) -> None:
    """The size of a record is that of all its parts."""
    name = await topic(configs={"max.message.bytes": str(LIMIT)})
    header = [{"key": "h", "value": "AAAA" * 310}]
    records: list[object] = [
        {"value": "v", "headers": header},
        {"key": "k" * LIMIT},
        {"key": "k" * 400, "value": "v" * 400},
    ]
    response = await post(proxy_url, name, {"records": records}, TEXT)
    codes = [entry["error_code"] for entry in response.json()["offsets"]]
    assert codes == [41301, 41301, None]


async def test_no_batch_is_larger_than_the_topic_takes(
    proxy: ProxyProcess, broker: Broker, topic: TopicFactory
) -> None:
    """Many records that are each below the limit are sent in batches that are, too."""
    name = await topic(configs={"max.message.bytes": str(LIMIT)})
    values = [f"{at}-{'x' * (at % 300)}" for at in range(500)]
    response = await post(proxy.url, name, {"records": [{"value": one} for one in values]}, TEXT)
    assert read(response) == (200, V2, answer(*(written(0, at) for at in range(500))))
    stored = await verify.read_all(broker.bootstrap, name)
    assert [record.value for record in stored] == [value.encode() for value in values]
    assert await get_metric(proxy.url, "koh_producers_replaced_total") == 0
    await assert_settled(proxy)


async def test_a_limit_that_was_lowered_a_moment_ago(
    proxy: ProxyProcess, broker: Broker, topic: TopicFactory
) -> None:
    """The broker refuses the batch; the records that it takes are written, in order."""
    name = await topic()
    assert (await post(proxy.url, name, {"records": [{"value": "-"}]}, TEXT)).status_code == 200
    await set_configs(broker.bootstrap, name, {"max.message.bytes": str(LIMIT)})
    values = [f"{at}-{'x' * (1500 if at in (0, 7, 8, 39) else 100)}" for at in range(40)]
    response = await post(proxy.url, name, {"records": [{"value": one} for one in values]}, TEXT)
    assert response.status_code == 200
    entries = response.json()["offsets"]
    good = [at for at in range(40) if at not in (0, 7, 8, 39)]
    assert [entries[at] for at in good] == [written(0, 1 + offset) for offset in range(len(good))]
    for at in (0, 7, 8, 39):
        assert entries[at] == failed(0, 41301, "Kafka error: MESSAGE_TOO_LARGE")
    stored = await verify.read_all(broker.bootstrap, name)
    assert [record.value for record in stored[1:]] == [values[at].encode() for at in good]
    assert await get_metric(proxy.url, "koh_producers_replaced_total") == 0
    await assert_settled(proxy)


@pytest.mark.parametrize("compression_type", ["gzip"])
async def test_what_compresses_well_may_be_larger(
    start_proxy: ProxyFactory, broker: Broker, topic: TopicFactory, compression_type: str
) -> None:
    """The broker looks at what compression leaves; what it leaves too much of is refused."""
    name = await topic(configs={"max.message.bytes": "10000"})
    proxy = start_proxy(compression_type=compression_type, max_batch_bytes=200_000)
    noise = random.Random(1).randbytes(20_000).hex()  # noqa: S311 (no secret)
    records = [{"value": "a" * 100_000}, {"value": noise}, {"value": "b" * 250_000}, {"value": "c"}]
    response = await post(proxy.url, name, {"records": records}, TEXT)
    assert response.status_code == 200
    codes = [entry["error_code"] for entry in response.json()["offsets"]]
    assert codes == [None, 41301, 41301, None]
    stored = await verify.read_all(broker.bootstrap, name)
    assert [len(record.value or b"") for record in stored] == [100_000, 1]
    await assert_settled(proxy)

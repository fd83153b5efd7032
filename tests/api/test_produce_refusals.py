"""What a broker refuses for certain, whatever the record: it is told so, and never as unknown."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from proxy.dev.ports import pick_port
from tests.api.produce_calls import (
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
from tests.api.topic_changes import forbid_writing
from tests.brokers import verify
from tests.brokers.apache import HOST, ApacheKafka
from tests.brokers.broker import RungUnavailable
from tests.brokers.proxy_process import ProxyProcess
from tests.conftest import ProxyFactory

pytestmark = pytest.mark.anyio

AUTHORIZER = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[ApacheKafka, ApacheKafka]]:
    """A controller and broker, and a broker that may die without taking the quorum with it."""
    controller = pick_port()
    properties = {"process.roles": "broker"}
    try:
        first = ApacheKafka(AUTHORIZER, voters={1: controller})
        second = ApacheKafka(properties, node_id=2, voters={2: controller})
    except RungUnavailable as error:
        pytest.skip(f"needs Apache Kafka from its jars: {error}")
    properties |= AUTHORIZER | {
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        "listeners": f"PLAINTEXT://{second.bootstrap}",
    }
    try:
        first.launch()
        second.launch()
        first.await_listening()
        second.await_listening()
        yield first, second
    finally:
        first.stop()
        second.stop()


async def describe(proxy: ProxyProcess, topic: str, partition: int) -> dict[str, Any]:
    """The partition as the proxy tells it."""
    async with httpx.AsyncClient() as client:
        response = await client.get(f"{proxy.url}/topics/{topic}/partitions/{partition}")
    described: dict[str, Any] = response.json()
    return described


async def leader_of(proxy: ProxyProcess, topic: str, partition: int) -> int:
    """Its leader."""
    return int((await describe(proxy, topic, partition))["leader"])


async def count_in_sync(proxy: ProxyProcess, topic: str, partition: int) -> int:
    """How many replicas it has that are in sync."""
    replicas = (await describe(proxy, topic, partition))["replicas"]
    return sum(replica["in_sync"] for replica in replicas)


async def test_a_topic_that_we_may_not_write_to(
    pair: tuple[ApacheKafka, ApacheKafka], start_proxy: ProxyFactory, name: str
) -> None:
    """403, and nobody else notices: the producer goes on."""
    first, _ = pair
    await verify.await_brokers(first.bootstrap, 2)
    await verify.create_topic(first.bootstrap, name)
    await verify.create_topic(first.bootstrap, f"{name}-free")
    proxy = start_proxy(first.bootstrap)
    assert (await post(proxy.url, name, {"records": [{"value": 1}]})).status_code == 200
    await forbid_writing(first.bootstrap, name)
    error = "Kafka error: TOPIC_AUTHORIZATION_FAILED"
    async with asyncio.timeout(5):
        while (await post(proxy.url, name, {"records": [{"value": 1}]})).status_code == 200:
            pass
    for at in range(5):
        response = await post(proxy.url, name, {"records": [{"value": 1}, {"value": 2}]})
        entry = failed(0, 40301, error)
        assert read(response) == (403, V2, refusal(40301, error, entry, entry))
        response = await post(proxy.url, f"{name}-free", {"records": [{"value": 1}]})
        assert read(response) == (200, V2, answer(written(0, at)))
    await assert_settled(proxy)
    assert await get_metric(proxy.url, "koh_producers_replaced_total") == 0


async def test_too_few_replicas(
    pair: tuple[ApacheKafka, ApacheKafka], start_proxy: ProxyFactory, name: str
) -> None:
    """
    503 at the deadline with Kafka's reason, never "unknown"; what was refused is not written later.
    """
    first, second = pair
    await verify.await_brokers(first.bootstrap, 2)
    configs = {"min.insync.replicas": "2"}
    await verify.create_topic(first.bootstrap, name, 2, configs, replication=2)
    proxy = start_proxy(first.bootstrap, produce_timeout_ms=1500)
    # The other partition's leader is the broker that dies.
    [at] = [at for at in (0, 1) if await leader_of(proxy, name, at) == 1]
    response = await post(proxy.url, name, {"records": [{"value": "before"}]}, partition=at)
    assert read(response) == (200, V2, answer(written(at, 0)))
    second.kill()
    # Until it is missed, the outcome of a record would be open.
    async with asyncio.timeout(12):
        while await count_in_sync(proxy, name, at) == 2:  # noqa: ASYNC110 (no event)
            await asyncio.sleep(0.05)
    begun = time.monotonic()
    responses = await asyncio.gather(
        *(post(proxy.url, name, {"records": [{"value": 1}]}, partition=at) for _ in range(10))
    )
    assert 1.4 < time.monotonic() - begun < 3
    error = "Kafka error: NOT_ENOUGH_REPLICAS"
    for response in responses:
        assert read(response) == (503, V2, refusal(50003, error, failed(at, 50003, error)))
        assert response.headers["retry-after"] == "1"
    await assert_settled(proxy)
    assert (await verify.end_offsets(first.bootstrap, name))[at] == 1
    second.launch()
    async with asyncio.timeout(12):
        back = {"records": [{"value": "back"}]}
        while (await post(proxy.url, name, back, partition=at)).status_code != 200:
            pass
    values = [record.value for record in await verify.read_all(first.bootstrap, name)]
    assert values == [b'"before"', b'"back"']
    await assert_settled(proxy)

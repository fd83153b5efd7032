"""What HTTP says of the cluster is what the broker says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.api.conftest import MakeTopic
from tests.api.raw_connection import ask
from tests.brokers.broker import Broker
from tests.brokers.verify import beginning_offsets, end_offsets, list_topics, produce, trim

V2 = "application/vnd.kafka.v2+json"


async def describe_configs(bootstrap: str, topic: str) -> dict[str, str]:
    """The configs of a topic as a native client reads them, but for those kept secret."""
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    finally:
        await admin.close()
    [resource] = answer.resources
    return {entry[0]: entry[1] for entry in resource[4] if entry[1] is not None}


async def describe_cluster(bootstrap: str) -> list[int]:
    """The ids of the brokers."""
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        cluster = await admin.describe_cluster()
    finally:
        await admin.close()
    return sorted(broker["node_id"] for broker in cluster["brokers"])


def test_brokers_are_those_of_the_cluster(proxy_url: str, broker: Broker) -> None:
    """GET /brokers has the ids, ascending."""
    answer = ask(proxy_url, "/brokers")
    assert answer.status == 200
    assert answer.parsed == {"brokers": asyncio.run(describe_cluster(broker.bootstrap))}


def test_topics_are_sorted_and_internal_ones_left_out(
    proxy_url: str, broker: Broker, make_topic: MakeTopic
) -> None:
    """GET /topics has each topic of the broker but its own."""
    made = {make_topic(), make_topic()}
    there = asyncio.run(list_topics(broker.bootstrap))
    assert "__consumer_offsets" in there
    answer = ask(proxy_url, "/topics")
    assert answer.status == 200
    names = answer.parsed
    assert isinstance(names, list)
    assert names == sorted(names)
    assert made <= set(names)
    # Other tests make and delete topics at the same time.
    assert not [name for name in names if name.startswith("__")]


def test_topic_has_its_partitions_and_configs(
    proxy_url: str, broker: Broker, make_topic: MakeTopic
) -> None:
    """Name, every config that is no secret as a string, and every partition with its replicas."""
    name = make_topic(3, {"max.message.bytes": "12345", "cleanup.policy": "compact"})
    answer = ask(proxy_url, f"/topics/{name}")
    body = answer.parsed
    assert isinstance(body, dict)
    [node] = asyncio.run(describe_cluster(broker.bootstrap))
    partitions = [
        {
            "partition": number,
            "leader": node,
            "replicas": [{"broker": node, "leader": True, "in_sync": True}],
        }
        for number in range(3)
    ]
    configs = asyncio.run(describe_configs(broker.bootstrap, name))
    assert configs["max.message.bytes"] == "12345"
    assert (answer.status, answer.headers["content-type"]) == (200, V2)
    assert body == {"name": name, "configs": configs, "partitions": partitions}
    assert ask(proxy_url, f"/topics/{name}/partitions").parsed == partitions
    for number in range(3):
        assert ask(proxy_url, f"/topics/{name}/partitions/{number}").parsed == partitions[number]
        assert ask(proxy_url, f"/topics/{name}/partitions/00{number}/").status == 200


def test_offsets_are_where_a_partition_begins_and_ends(
    proxy_url: str, broker: Broker, make_topic: MakeTopic
) -> None:
    """Empty, written to, and trimmed: each as the broker has it, each partition by itself."""
    name = make_topic(2)
    where = f"/topics/{name}/partitions"
    assert ask(proxy_url, f"{where}/0/offsets").parsed == {
        "beginning_offset": 0,
        "end_offset": 0,
    }
    asyncio.run(produce(broker.bootstrap, name, [b"x"] * 7, partition=1))
    asyncio.run(trim(broker.bootstrap, name, {1: 3}))
    assert asyncio.run(beginning_offsets(broker.bootstrap, name)) == {0: 0, 1: 3}
    assert asyncio.run(end_offsets(broker.bootstrap, name)) == {0: 0, 1: 7}
    assert ask(proxy_url, f"{where}/1/offsets").parsed == {"beginning_offset": 3, "end_offset": 7}
    assert ask(proxy_url, f"{where}/0/offsets").parsed == {"beginning_offset": 0, "end_offset": 0}


@pytest.mark.parametrize(
    "path",
    [
        "/topics/{t}",
        "/topics/{t}/partitions",
        "/topics/{t}/partitions/0",
        "/topics/{t}/partitions/0/offsets",
        "/topics/{t}/partitions/0/records",
        "/topics/{t}/partitions/0/records?offset=latest&timeout=0",
        "/topics/{t}/partitions/0/records?offset=5&timeout=0",
    ],
)
def test_asking_for_an_unknown_topic_is_404_and_makes_none(
    proxy_url: str, broker: Broker, name: str, path: str
) -> None:
    """40401 at once, again and again, and the broker, which creates topics, creates none."""
    for _ in range(2):
        answer = ask(proxy_url, path.format(t=name))
        message = f"Topic '{name}' not found."
        assert answer.refusal == (404, V2, {"error_code": 40401, "message": message})
    assert name not in asyncio.run(list_topics(broker.bootstrap))


@pytest.mark.parametrize("path", ["", "/offsets", "/records", "/records?offset=latest"])
def test_unknown_partition_is_404(proxy_url: str, make_topic: MakeTopic, path: str) -> None:
    """40402 with its number, however large."""
    topic = make_topic()
    for partition in (1, 2**31 - 1):
        answer = ask(proxy_url, f"/topics/{topic}/partitions/{partition}{path}")
        message = f"Partition {partition} of topic '{topic}' not found."
        assert answer.refusal == (404, V2, {"error_code": 40402, "message": message})


def test_topic_that_is_made_after_a_404_is_there_at_once(
    proxy_url: str, name: str, make_topic: MakeTopic, broker: Broker
) -> None:
    """That a topic was unknown is not remembered."""
    topic = make_topic()
    assert ask(proxy_url, f"/topics/{name}").status == 404
    assert ask(proxy_url, f"/topics/{topic}").status == 200
    assert ask(proxy_url, f"/topics/{topic}/partitions/0/offsets").status == 200


def test_service_names_itself_and_its_links(proxy_url: str) -> None:
    """GET / has absolute links by the Host of the request."""
    body = ask(proxy_url, "/", "Host: kafka.example:8443").parsed
    assert isinstance(body, dict)
    assert body["service"] == "kafka-over-http"
    links = body["links"]
    assert links["openapi"] == "http://kafka.example:8443/openapi.json"
    for link in links.values():
        assert ask(proxy_url, link).status == 200

"""What failure tests rely on: an Apache Kafka that can be killed, frozen, secured and clustered."""

from __future__ import annotations

import pytest

from tests.brokers import verify
from tests.conftest import ClusterFactory, KafkaFactory

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(90)]


async def test_a_killed_broker_comes_back_with_its_data(start_kafka: KafkaFactory) -> None:
    """Same address, same records."""
    kafka = start_kafka()
    await verify.await_brokers(kafka.bootstrap)
    await verify.create_topic(kafka.bootstrap, "kept")
    await verify.produce(kafka.bootstrap, "kept", [b"1"])
    address = kafka.bootstrap
    kafka.kill()
    assert kafka.child.poll() == -9
    kafka.restart()
    assert kafka.bootstrap == address
    assert [one.value for one in await verify.read_all(address, "kept")] == [b"1"]


async def test_a_listener_of_ones_own_asks_for_the_password(start_kafka: KafkaFactory) -> None:
    """A SASL listener lets in who has the password."""
    jaas = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_ann="secret";'
    kafka = start_kafka(
        {
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl.plain.sasl.jaas.config": jaas,
        },
        listeners={"SASL": "SASL_PLAINTEXT"},
    )
    await verify.await_brokers(kafka.bootstrap)
    await verify.create_topic(kafka.bootstrap, "locked")
    offsets = await verify.produce(
        kafka.address("SASL"),
        "locked",
        [b"1"],
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_plain_username="ann",
        sasl_plain_password="secret",
    )
    assert offsets == [0]


async def test_three_nodes_are_one_cluster(start_kafka_cluster: ClusterFactory) -> None:
    """A topic with three replicas is still there when one node is killed."""
    nodes = start_kafka_cluster(3)
    await verify.await_brokers(nodes[0].bootstrap, count=3)
    await verify.create_topic(nodes[0].bootstrap, "spread", partitions=3, replication=3)
    for partition in range(3):
        await verify.produce(nodes[0].bootstrap, "spread", [b"1"], partition=partition, acks="all")
    nodes[2].kill()
    assert len(await verify.read_all(nodes[0].bootstrap, "spread")) == 3

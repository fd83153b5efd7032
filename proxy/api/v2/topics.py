"""
GET /topics                                        names
GET /topics/{topic}                                name, configs, partitions
GET /topics/{topic}/partitions                     partitions
GET /topics/{topic}/partitions/{partition}         one partition
GET /topics/{topic}/partitions/{partition}/offsets where it begins and ends
GET /brokers                                       ids

Departs from Confluent: an unknown topic is 40401 (theirs: 40403, which is a consumer instance's),
names are sorted, and a topic's name that Kafka forbids is 40002. Asking never creates a topic.
"""

from __future__ import annotations

from proxy.api.endpoint import Call
from proxy.errors import UnknownPartition
from proxy.model import TopicPartition
from proxy.wire.metadata import (
    render_brokers,
    render_offsets,
    render_partition,
    render_partitions,
    render_topic,
    render_topics,
)


async def list_brokers(call: Call) -> None:
    """GET /brokers"""
    content_type = call.negotiate()
    await call.answer(render_brokers(await call.context.cluster.brokers()), content_type)


async def list_topics(call: Call) -> None:
    """GET /topics"""
    content_type = call.negotiate()
    await call.answer(render_topics(await call.context.topics.all()), content_type)


async def show_topic(call: Call) -> None:
    """GET /topics/{topic}"""
    content_type = call.negotiate()
    name = call.topic()
    topic = await call.context.topics.describe(name)
    configs = await call.context.topics.configs(name)
    await call.answer(render_topic(topic, configs), content_type)


async def list_partitions(call: Call) -> None:
    """GET /topics/{topic}/partitions"""
    content_type = call.negotiate()
    topic = await call.context.topics.describe(call.topic())
    await call.answer(render_partitions(topic.partitions), content_type)


async def show_partition(call: Call) -> None:
    """GET /topics/{topic}/partitions/{partition}"""
    content_type = call.negotiate()
    name, number = call.topic(), call.partition()
    topic = await call.context.topics.describe(name)
    if number >= len(topic.partitions):
        raise UnknownPartition(name, number)
    await call.answer(render_partition(topic.partitions[number]), content_type)


async def show_offsets(call: Call) -> None:
    """GET /topics/{topic}/partitions/{partition}/offsets"""
    content_type = call.negotiate()
    where = TopicPartition(call.topic(), call.partition())
    beginning, end = await call.context.reader.limits(where)
    await call.answer(render_offsets(beginning, end), content_type)

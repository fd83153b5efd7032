"""
Answers about the cluster: brokers, topics, partitions, offsets.

Source: CONTRACT.md section 2
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import orjson

from proxy.model import Partition, Topic


def render_brokers(broker_ids: Iterable[int]) -> bytes:
    """
    The brokers by id, ascending.

    Shape: {"brokers": [1, 2]}
    """
    return orjson.dumps({"brokers": sorted(broker_ids)})


def render_topics(topics: Iterable[Topic]) -> bytes:
    """
    The names of the topics, sorted, without the internal ones.

    Shape: ["a", "b"]
    """
    return orjson.dumps(sorted(topic.name for topic in topics if not topic.internal))


def render_topic(topic: Topic, configs: Mapping[str, str | None]) -> bytes:
    """
    One topic; configs that Kafka keeps to itself (None) are left out.

    Shape: {"name", "configs": {name: string}, "partitions": as in `render_partitions`}
    """
    return orjson.dumps(
        {
            "name": topic.name,
            "configs": {name: value for name, value in configs.items() if value is not None},
            "partitions": [_show_partition(partition) for partition in topic.partitions],
        }
    )


def render_partitions(partitions: Iterable[Partition]) -> bytes:
    """
    The partitions of a topic, in the order given.

    Shape: [as in `render_partition`]
    """
    return orjson.dumps([_show_partition(partition) for partition in partitions])


def render_partition(partition: Partition) -> bytes:
    """
    One partition.

    Shape: {"partition", "leader", "replicas": [{"broker", "leader", "in_sync"}]}
    `leader` is -1 while there is none.
    """
    return orjson.dumps(_show_partition(partition))


def render_offsets(beginning: int, end: int) -> bytes:
    """
    The first offset that is there and the one that the next record gets.

    Shape: {"beginning_offset": 0, "end_offset": 197}
    """
    return b'{"beginning_offset":%d,"end_offset":%d}' % (beginning, end)


def _show_partition(partition: Partition) -> dict[str, object]:
    return {
        "partition": partition.partition,
        "leader": partition.leader,
        "replicas": [
            {"broker": replica.broker, "leader": replica.leader, "in_sync": replica.in_sync}
            for replica in partition.replicas
        ],
    }

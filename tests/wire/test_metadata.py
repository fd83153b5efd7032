"""Answers about the cluster."""

from __future__ import annotations

from proxy.model import Partition, Replica, Topic
from proxy.wire.metadata import (
    render_brokers,
    render_offsets,
    render_partition,
    render_partitions,
    render_topic,
    render_topics,
)

PARTITION = Partition(0, 1, (Replica(1, True, True), Replica(2, False, False)))
PARTITION_JSON = (
    b'{"partition":0,"leader":1,"replicas":[{"broker":1,"leader":true,"in_sync":true},'
    b'{"broker":2,"leader":false,"in_sync":false}]}'
)


def test_renders_brokers() -> None:
    """The brokers are their ids, ascending."""
    assert render_brokers([2, 1]) == b'{"brokers":[1,2]}'


def test_renders_topics() -> None:
    """The topics are sorted by name, internal ones left out."""
    topics = [Topic("b", False, ()), Topic("__offsets", True, ()), Topic("a", False, ())]
    assert render_topics(topics) == b'["a","b"]'


def test_renders_a_topic() -> None:
    """A topic has its configs as strings, without those that Kafka keeps secret."""
    assert render_topic(
        Topic("t", False, (PARTITION,)), {"cleanup.policy": "delete", "secret": None}
    ) == (
        b'{"name":"t","configs":{"cleanup.policy":"delete"},"partitions":[' + PARTITION_JSON + b"]}"
    )


def test_renders_partitions() -> None:
    """A partition has its leader, -1 for none, and its replicas."""
    assert render_partition(PARTITION) == PARTITION_JSON
    assert render_partitions([PARTITION, Partition(1, -1, ())]) == (
        b"[" + PARTITION_JSON + b',{"partition":1,"leader":-1,"replicas":[]}]'
    )


def test_renders_offsets() -> None:
    """The offsets of a partition are its first and its next one."""
    assert render_offsets(0, 2**63 - 1) == (
        b'{"beginning_offset":0,"end_offset":9223372036854775807}'
    )

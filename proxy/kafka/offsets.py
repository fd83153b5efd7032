"""
Where a partition begins and ends, and the offset at a time: Kafka's ListOffsets, asked of the
leaders.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping

from aiokafka.protocol.offset import OffsetRequest

from proxy.errors import BrokersUnreachable, KafkaFailure
from proxy.kafka.broker_errors import failure_for_code
from proxy.kafka.cluster import ASK_TIMEOUT_S, Cluster
from proxy.kafka.topics import LEADER_NOT_AVAILABLE, Topics
from proxy.model import TopicPartition

# In place of a timestamp. Source: the protocol guide, ListOffsets.
LATEST = -1
EARLIEST = -2

READ_UNCOMMITTED = 0
READ_COMMITTED = 1

# While a leader moves; then the failure is told.
ATTEMPTS = 5
BACKOFF_S = 0.2


async def list_offsets(
    cluster: Cluster,
    topics: Topics,
    wanted: Mapping[TopicPartition, int],
    isolation: int = READ_UNCOMMITTED,
) -> dict[TopicPartition, int]:
    """
    The offset of each partition's first record at or after a time, `EARLIEST` or `LATEST`.

    Units: times in ms since the epoch; -1 where no record is as late as the time
    Raises: UnknownTopic; UnknownPartition; KafkaFailure; BrokersUnreachable
    """
    found: dict[TopicPartition, int] = {}
    missing = dict(wanted)
    deadline = time.monotonic() + ASK_TIMEOUT_S
    for attempt in range(ATTEMPTS):
        try:
            found |= await _ask_leaders(cluster, topics, missing, isolation, stale=attempt > 0)
        except (KafkaFailure, BrokersUnreachable) as failure:
            retriable = isinstance(failure, BrokersUnreachable) or failure.retriable
            if not retriable or attempt == ATTEMPTS - 1 or time.monotonic() > deadline:
                raise
        missing = {partition: at for partition, at in wanted.items() if partition not in found}
        if not missing:
            break
        await asyncio.sleep(BACKOFF_S)
    return found


async def _ask_leaders(
    cluster: Cluster,
    topics: Topics,
    wanted: Mapping[TopicPartition, int],
    isolation: int,
    *,
    stale: bool,
) -> dict[TopicPartition, int]:
    by_leader: dict[int, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    known = {}
    for name in {partition.topic for partition in wanted}:
        known[name] = await (topics.refreshed(name) if stale else topics.get(name))
    for (name, partition), at in wanted.items():
        known[name].check_partition(partition)
        leader = known[name].leaders[partition]
        if leader < 0:
            raise failure_for_code(LEADER_NOT_AVAILABLE)
        by_leader[leader][name].append((partition, at))
    found = {}
    for leader, by_topic in by_leader.items():
        request = OffsetRequest(-1, isolation, list(by_topic.items()))
        response = await cluster.ask(request, leader)
        for name, partitions in response.topics:
            for partition, code, *answer in partitions:
                if code != 0:
                    raise failure_for_code(code)
                found[TopicPartition(name, partition)] = answer[1]
    return found

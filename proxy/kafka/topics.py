"""
What topics there are: the gate that every produce, subscription and read passes (house rule 4).

aiokafka's own look-ups create topics, wait 40 s for unknown ones and remember every name for ever,
also of those. Ours asks by name, without creation, once for all who wait, and remembers only topics
that are there. An entry older than its time to live is used once more while it is asked for anew;
at twice that age the answer is waited for.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from aiokafka.protocol.admin import DescribeConfigsRequest
from aiokafka.protocol.metadata import MetadataRequest

from proxy.errors import BrokersUnreachable, KafkaFailure, UnknownPartition, UnknownTopic
from proxy.kafka.broker_errors import failure_for_code
from proxy.kafka.cluster import Cluster, unreachable
from proxy.model import Partition, Replica, Topic

# Kafka's codes that are the usual case here; the protocol guide, "Error Codes".
UNKNOWN_TOPIC_OR_PARTITION = 3
LEADER_NOT_AVAILABLE = 5

CONFIG_RESOURCE_TOPIC = 2
# How long a topic that the broker is creating for us may take to get its leaders.
CREATION_TIMEOUT_S = 10.0
CREATION_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class KnownTopic:
    """
    What producing and reading need to know. `leaders[p]` is a node id, -1 while there is none.
    """

    name: str
    leaders: tuple[int, ...]
    max_message_bytes: int | None
    compacted: bool
    learned_at: float

    @property
    def partitions(self) -> int:
        return len(self.leaders)

    def check_partition(self, partition: int) -> None:
        """Raises UnknownPartition."""
        if not 0 <= partition < len(self.leaders):
            raise UnknownPartition(self.name, partition)


class Topics:
    """One for the process. `get` answers from memory for `ttl_s`, at most twice that."""

    def __init__(self, cluster: Cluster, *, ttl_s: float, auto_create: bool) -> None:
        self._cluster = cluster
        self._ttl_s = ttl_s
        self._auto_create = auto_create
        self._known: dict[str, KnownTopic] = {}
        # By name, and whether it is created where there is none.
        self._asking: dict[tuple[str, bool], asyncio.Task[KnownTopic]] = {}

    def remembered(self, name: str) -> KnownTopic | None:
        """The topic if it is known well enough to act on without waiting; for the produce path."""
        known = self._known.get(name)
        if known is None:
            return None
        age_s = time.monotonic() - known.learned_at
        if age_s < self._ttl_s:
            return known
        if age_s < 2 * self._ttl_s:
            self._ask(name, create=False)
            return known
        return None

    async def get(
        self, name: str, *, to_produce: bool = False, deadline: float | None = None
    ) -> KnownTopic:
        """
        The topic, asked for when it is not remembered; created only to produce to it, and only
        where that is on. `deadline` is of the loop's clock.

        Raises: UnknownTopic; BrokersUnreachable, also at the deadline; KafkaFailure, for example
        TOPIC_AUTHORIZATION_FAILED
        """
        known = self.remembered(name)
        if known is not None:
            return known
        return await self.refreshed(name, to_produce=to_produce, deadline=deadline)

    async def refreshed(
        self, name: str, *, to_produce: bool = False, deadline: float | None = None
    ) -> KnownTopic:
        """The topic as the brokers see it now. Raises as `get` does."""
        task = self._ask(name, create=to_produce and self._auto_create)
        left_s = None if deadline is None else deadline - asyncio.get_running_loop().time()
        await asyncio.wait([task], timeout=left_s)
        if not task.done():
            raise unreachable()
        return task.result()

    def _ask(self, name: str, *, create: bool) -> asyncio.Task[KnownTopic]:
        task = self._asking.get((name, create))
        if task is None:
            task = asyncio.create_task(self._learn(name, create=create))
            self._asking[name, create] = task
            task.add_done_callback(lambda done: self._learned(name, create, done))
        return task

    def _learned(self, name: str, create: bool, task: asyncio.Task[KnownTopic]) -> None:
        del self._asking[name, create]
        if task.cancelled():
            return
        failure = task.exception()
        if failure is None:
            self._known[name] = task.result()
        elif not isinstance(failure, BrokersUnreachable):
            self._known.pop(name, None)

    async def _learn(self, name: str, *, create: bool) -> KnownTopic:
        try:
            described = await self.describe(name)
        except UnknownTopic:
            if not create:
                raise
            described = await self._created(name)
        if not described.partitions:
            # Seen while brokers make a topic.
            raise failure_for_code(LEADER_NOT_AVAILABLE)
        try:
            configs = await self.configs(name)
        except KafkaFailure:
            # Not everybody who may produce may describe configs: go by what the broker says then.
            configs = {}
        limit = configs.get("max.message.bytes")
        return KnownTopic(
            name=name,
            leaders=tuple(partition.leader for partition in described.partitions),
            max_message_bytes=int(limit) if limit else None,
            compacted="compact" in configs.get("cleanup.policy", ""),
            learned_at=time.monotonic(),
        )

    async def _created(self, name: str) -> Topic:
        deadline = time.monotonic() + CREATION_TIMEOUT_S
        request = MetadataRequest([name], allow_auto_topic_creation=True)
        while True:
            response = await self._cluster.ask(request)
            code = response.topics[0][0]
            topic = _topic(response.topics[0])
            if code == 0 and topic.partitions:
                return topic
            if code not in (0, UNKNOWN_TOPIC_OR_PARTITION, LEADER_NOT_AVAILABLE):
                raise failure_for_code(code)
            if time.monotonic() > deadline:
                raise UnknownTopic(name)
            await asyncio.sleep(CREATION_POLL_S)

    async def describe(self, name: str) -> Topic:
        """
        The topic with its partitions, from a broker.

        Raises: UnknownTopic; KafkaFailure; BrokersUnreachable
        """
        request = MetadataRequest([name], allow_auto_topic_creation=False)
        response = await self._cluster.ask(request)
        entry = response.topics[0]
        if entry[0] == UNKNOWN_TOPIC_OR_PARTITION:
            raise UnknownTopic(name)
        # A topic of which some partition has no leader is still one that can be described.
        if entry[0] not in (0, LEADER_NOT_AVAILABLE):
            raise failure_for_code(entry[0])
        return _topic(entry)

    async def all(self) -> list[Topic]:
        """All topics that we may see, internal ones too."""
        response = await self._cluster.ask(MetadataRequest(None, allow_auto_topic_creation=False))
        return [_topic(entry) for entry in response.topics if entry[0] == 0]

    async def configs(self, name: str) -> dict[str, str]:
        """
        The topic's settings, defaults included; a value that the broker keeps secret is left out.

        Raises: KafkaFailure; BrokersUnreachable
        """
        request = DescribeConfigsRequest([(CONFIG_RESOURCE_TOPIC, name, None)])
        resource: Any = (await self._cluster.ask(request)).resources[0]
        if resource[0] != 0:
            raise failure_for_code(resource[0], resource[1] or "")
        return {entry[0]: entry[1] for entry in resource[4] if entry[1] is not None}


def _topic(entry: Any) -> Topic:
    partitions = [
        Partition(
            partition=number,
            leader=leader,
            replicas=tuple(
                Replica(broker=node, leader=node == leader, in_sync=node in in_sync)
                for node in replicas
            ),
        )
        for _, number, leader, replicas, in_sync, *_ in entry[3]
    ]
    partitions.sort(key=lambda partition: partition.partition)
    return Topic(name=entry[1], internal=bool(entry[2]), partitions=tuple(partitions))

"""
A group's stored offsets, asked of and told to its coordinator over an instance's own connection.

Each call has a deadline. aiokafka's own retry for ever, also when the consumer has stopped.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

import aiokafka.errors as kafka
from aiokafka import TopicPartition as Assigned
from aiokafka.protocol.admin import DescribeGroupsRequest
from aiokafka.structs import OffsetAndMetadata

from proxy.model import TopicPartition

T = TypeVar("T")

BACKOFF_S = 0.1


class GroupOffsets:
    """For one started consumer."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    async def store(
        self, offsets: Mapping[TopicPartition, tuple[int, str]], deadline: float
    ) -> None:
        """
        The next offsets to read, with their metadata.

        Raises: kafka.KafkaError, also where the group has moved on without us
        """
        stored = {Assigned(*at): OffsetAndMetadata(*entry) for at, entry in offsets.items()}
        coordinator = self._consumer._coordinator
        await self._retried(lambda: coordinator._do_commit_offsets(None, stored), deadline)

    async def stored(
        self, partitions: Iterable[TopicPartition], deadline: float
    ) -> dict[TopicPartition, tuple[int, str]]:
        """Offsets and metadata; partitions without one are left out. Raises kafka.KafkaError."""
        coordinator = self._consumer._coordinator
        found: dict[Any, Any] = await self._retried(
            lambda: coordinator._do_fetch_commit_offsets(partitions), deadline
        )
        return {
            TopicPartition(*at): (entry.offset, entry.metadata or "") for at, entry in found.items()
        }

    async def member_count(self) -> int:
        """How many members the group has now. Raises kafka.KafkaError."""
        coordinator = self._consumer._coordinator
        response = await coordinator._send_req(DescribeGroupsRequest([coordinator.group_id]))
        # Code, group, state, protocol type, protocol, members.
        return len(response.groups[0][5])

    async def _retried(self, ask: Callable[[], Coroutine[Any, Any, T]], deadline: float) -> T:
        while True:
            await self._consumer._coordinator.ensure_coordinator_known()
            if time.monotonic() > deadline:
                # Nobody waits any more: what is sent now could undo a later commit.
                raise kafka.GroupCoordinatorNotAvailableError
            try:
                return await ask()
            except kafka.KafkaError as exc:
                if not exc.retriable or time.monotonic() > deadline or self._consumer._closed:
                    raise
                await asyncio.sleep(BACKOFF_S)

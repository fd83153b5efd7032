"""Where a seek goes that does not say its offset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from proxy.kafka.cluster import unreachable
from proxy.kafka.consumer_options import KafkaAccess
from proxy.kafka.deadline import within
from proxy.kafka.offsets import LATEST, list_offsets
from proxy.model import TopicPartition


async def offsets_at_times(
    access: KafkaAccess, times: Mapping[TopicPartition, int], isolation: int
) -> dict[TopicPartition, int]:
    """
    The first record at or after each time (ms), the end where none is as late.

    Raises: as `offsets_at_limit` does
    """
    found = await _asked(access, times, isolation)
    behind = [at for at, offset in found.items() if offset < 0]
    return found | await offsets_at_limit(access, behind, LATEST, isolation)


async def offsets_at_limit(
    access: KafkaAccess, partitions: Iterable[TopicPartition], limit: int, isolation: int
) -> dict[TopicPartition, int]:
    """
    `EARLIEST` or `LATEST` of each.

    Raises: UnknownTopic; UnknownPartition; KafkaFailure; BrokersUnreachable
    """
    wanted = dict.fromkeys(partitions, limit)
    return await _asked(access, wanted, isolation) if wanted else {}


async def _asked(
    access: KafkaAccess, wanted: Mapping[TopicPartition, int], isolation: int
) -> dict[TopicPartition, int]:
    asking = list_offsets(access.cluster, access.topics, wanted, isolation)
    return await within(access.settings.request_timeout_ms / 1000, asking, unreachable)

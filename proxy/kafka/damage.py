"""
A partition at whose head aiokafka gives up: read it ourselves, and say where the damage is.

What stands before the damage comes out, and so do records of which only a header key is odd.
"""

from __future__ import annotations

import logging
from typing import Any

import aiokafka.errors as kafka
from aiokafka import TopicPartition as Assigned
from aiokafka.protocol.fetch import FetchRequest

from proxy.kafka.broker_errors import failure_for_code
from proxy.kafka.cluster import ASK_TIMEOUT_S, unreachable
from proxy.kafka.deadline import within
from proxy.kafka.lenient_records import LenientRecords
from proxy.kafka.positions import Positions
from proxy.kafka.record_queue import RecordQueue
from proxy.model import StoredRecord, TopicPartition

log = logging.getLogger(__name__)

CORRUPT_MESSAGE = 2
MAX_BYTES = 1024 * 1024
PREFERRED_REPLICA_VERSION = 11


async def read_leniently(
    consumer: Any, positions: Positions, queue: RecordQueue, at: TopicPartition
) -> None:
    """
    Put what one fetch brings into the queue; nothing at all fails the partition.

    Raises: kafka.KafkaError and BrokersUnreachable when it cannot be asked now
    """
    buffer = queue.buffers.get(at)
    offset: int = await within(ASK_TIMEOUT_S, consumer.position(Assigned(*at)), unreachable)
    leader = consumer._client.cluster.leader_for_partition(Assigned(*at))
    isolation = consumer._fetcher._isolation_level
    request = FetchRequest(
        0, 1, MAX_BYTES, isolation, [(at.topic, [(at.partition, offset, MAX_BYTES)])]
    )
    response = await within(ASK_TIMEOUT_S, consumer._client.send(leader, request), unreachable)
    answer = response.topics[0][1][0]
    if answer[1] != 0:
        raise kafka.for_code(answer[1])
    aborted = answer[-3] if response.API_VERSION >= PREFERRED_REPLICA_VERSION else answer[-2]
    records = LenientRecords(at, answer[-1], offset, isolation=isolation, aborted=aborted)
    taken: list[StoredRecord] = []
    failure: Exception | None = None
    try:
        taken.extend(records)
    except Exception as exc:
        failure = exc
    if buffer is None or queue.buffers.get(at) is not buffer:
        return
    if taken:
        queue.put(at, taken)
    if records.next_offset > offset:
        positions.seek(at, records.next_offset)
        return
    if failure is not None:
        log.error("damaged record batch in %s-%s at offset %s: %r", *at, offset, failure)
        queue.fail(
            failure_for_code(
                CORRUPT_MESSAGE,
                f"CORRUPT_MESSAGE: the record batch of {at.topic}-{at.partition} at offset"
                f" {offset} cannot be decoded; seek to offset {records.batch_end} to leave it out.",
            ),
            at,
        )

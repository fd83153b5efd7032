"""
From a request's records to lanes: which partition, whether the topic takes them, then one parcel
for each partition.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import count

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from proxy.config import Settings
from proxy.errors import KafkaFailure, RecordTooLarge, UnknownPartition
from proxy.kafka.delivery import Delivery, Parcel
from proxy.kafka.lanes import Lanes
from proxy.kafka.partitioner import murmur2, partition_for_key
from proxy.kafka.topics import KnownTopic
from proxy.model import OutgoingRecord, TopicPartition

INVALID_RECORD = 87

# Hashing a key from this size on takes over a millisecond: that is done beside the loop (rule 7).
LONG_KEY_BYTES = 16 * 1024


class Produce:
    """One for the process. `send` queues and returns at once; the delivery tells the outcome."""

    def __init__(self, lanes: Lanes, settings: Settings) -> None:
        self._lanes = lanes
        self._timeout_s = settings.produce_timeout_ms / 1000
        self._max_batch_bytes = settings.max_batch_bytes
        self._compressed = settings.compression_type != "none"
        self._turn = count()

    def send(
        self,
        topic: KnownTopic,
        records: Sequence[OutgoingRecord],
        on_settled: Callable[[], None] | None = None,
    ) -> Delivery:
        """
        Queue the records of one request; `on_settled` is called when nothing of them can happen any
        more.

        A record that its topic cannot take, or whose partition is not there, fails alone.
        """
        delivery = Delivery(len(records), self._timeout_s, on_settled)
        limit = topic.max_message_bytes
        batch_limit = self._max_batch_bytes if limit is None else min(self._max_batch_bytes, limit)
        partitions = topic.partitions
        keyless = self._next_partition(topic)
        parcels: dict[int, Parcel] = {}
        refused: list[tuple[int, int | None, Exception]] = []
        for place, record in enumerate(records):
            partition = record.partition
            if partition is None:
                key = record.key
                partition = keyless if key is None else partition_for_key(key, partitions)
            elif partition >= partitions:
                refused.append((place, None, UnknownPartition(topic.name, partition)))
                continue
            failure = self._refusal(topic, record, limit)
            if failure is not None:
                refused.append((place, partition, failure))
                continue
            parcel = parcels.get(partition)
            if parcel is None:
                parcel = parcels[partition] = Parcel(delivery, partition)
            parcel.records.append(record)
            parcel.places.append(place)
        delivery.parcels.extend(parcels.values())
        for partition, parcel in parcels.items():
            self._lanes.put(TopicPartition(topic.name, partition), parcel, batch_limit)
        for place, at, failure in refused:
            delivery.failed((place,), at, failure)
        return delivery

    def _next_partition(self, topic: KnownTopic) -> int:
        """The partition of this request's keyless records: the next in turn that has a leader."""
        turn = next(self._turn)
        for step in range(topic.partitions):
            partition = (turn + step) % topic.partitions
            if topic.leaders[partition] >= 0:
                return partition
        return turn % topic.partitions

    def _refusal(
        self, topic: KnownTopic, record: OutgoingRecord, limit: int | None
    ) -> Exception | None:
        """What the broker would refuse, so that it need not refuse a batch in which others are."""
        if topic.compacted and record.key is None:
            return KafkaFailure(
                INVALID_RECORD,
                "INVALID_RECORD",
                retriable=False,
                message=f"Topic '{topic.name}' is compacted and takes no record without a key.",
            )
        if limit is None or self._compressed:
            return None
        size = len(record.key or b"") + len(record.value or b"")
        # Nearly every record is far below the limit: look closely only at those that are not.
        if 2 * size > limit or record.headers:
            size = DefaultRecordBatchBuilder.estimate_size_in_bytes(
                record.key, record.value, list(record.headers)
            )
            if size > limit:
                return RecordTooLarge(
                    f"The record is {size} bytes with its overhead;"
                    f" topic '{topic.name}' takes {limit}."
                )
        return None


async def hash_long_keys(records: Sequence[OutgoingRecord], partitions: int) -> None:
    """
    Give records with very long keys their partition, hashed in a thread; the others stay as they
    are.
    """
    for record in records:
        if record.partition is None and record.key is not None and len(record.key) > LONG_KEY_BYTES:
            digest = await asyncio.to_thread(murmur2, record.key)
            record.partition = (digest & 0x7FFFFFFF) % partitions

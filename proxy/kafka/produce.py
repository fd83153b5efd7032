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
from proxy.errors import RecordTooLarge, UnknownPartition
from proxy.kafka.broker_errors import failure_for_code
from proxy.kafka.delivery import Delivery, Parcel
from proxy.kafka.lanes import Lanes
from proxy.kafka.partitioner import murmur2, partition_for_hash, partition_for_key
from proxy.kafka.topics import KnownTopic
from proxy.model import OutgoingRecord, TopicPartition

INVALID_RECORD = 87

# Hashing a key from this size on takes over a millisecond: that is done beside the loop (house
# rule 7).
LONG_KEY_BYTES = 16 * 1024
# What the first record of a batch has around its key and value, headers aside, is less than this:
# 61 bytes for the batch, and attributes, timestamp, offset and four lengths.
MAX_OVERHEAD_BYTES = 100

# An empty batch, which tells the size of a record that would be its first.
_ruler = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 0)


class Produce:
    """One for the process. `send` queues and returns at once; the delivery tells the outcome."""

    def __init__(self, lanes: Lanes, settings: Settings) -> None:
        self._lanes = lanes
        self._topics = lanes.topics
        self._max_batch_bytes = settings.max_batch_bytes
        self._compressed = settings.compression_type != "none"
        self._turn = count()

    async def find_topic(
        self, name: str, records: Sequence[OutgoingRecord], deadline: float
    ) -> KnownTopic:
        """
        The topic to send the records to, asked for anew when it seems to lack one of their
        partitions: it may have got more.

        Raises: as `Topics.get`
        """
        known = await self._topics.get(name, to_produce=True, deadline=deadline)
        last, has_long_keys = -1, False
        for record in records:
            if record.partition is not None:
                last = max(last, record.partition)
            elif record.key is not None and len(record.key) > LONG_KEY_BYTES:
                has_long_keys = True
        if last >= known.partitions:
            known = await self._topics.refreshed(name, deadline=deadline)
        if has_long_keys:
            await self._hash_long_keys(records, known)
        return known

    async def _hash_long_keys(self, records: Sequence[OutgoingRecord], topic: KnownTopic) -> None:
        limit = self._record_limit(topic)
        for record in records:
            key = record.key
            # One that is refused needs no partition.
            if record.partition is None and key is not None and LONG_KEY_BYTES < len(key) <= limit:
                digest = await asyncio.to_thread(murmur2, key)
                record.partition = partition_for_hash(digest, topic.partitions)

    def send(
        self,
        topic: KnownTopic,
        records: Sequence[OutgoingRecord],
        deadline: float,
        on_settled: Callable[[], None] | None = None,
    ) -> Delivery:
        """
        Queue the records of one request; `on_settled` is called when nothing of them can happen any
        more.

        A record that its topic cannot take, or whose partition is not there, fails alone.
        """
        delivery = Delivery(len(records), deadline, on_settled)
        record_limit = self._record_limit(topic)
        partitions = topic.partitions
        keyless = self._next_partition(topic)
        parcels: dict[int, Parcel] = {}
        refused: list[tuple[int, int | None, Exception]] = []
        for place, record in enumerate(records):
            partition = record.partition
            if partition is None:
                key = record.key
                if key is None:
                    partition = keyless
                elif len(key) <= LONG_KEY_BYTES:
                    partition = partition_for_key(key, partitions)
            elif partition >= partitions:
                refused.append((place, None, UnknownPartition(topic.name, partition)))
                continue
            failure = self._refusal(topic, record, record_limit)
            if failure is not None or partition is None:
                failure = failure or _too_large(topic, len(record.key or b""), record_limit)
                refused.append((place, partition, failure))
                continue
            parcel = parcels.get(partition)
            if parcel is None:
                parcel = parcels[partition] = Parcel(delivery, partition)
            parcel.records.append(record)
            parcel.places.append(place)
        delivery.parcels.extend(parcels.values())
        batch_limit = min(self._max_batch_bytes, topic.max_message_bytes or self._max_batch_bytes)
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

    def _record_limit(self, topic: KnownTopic) -> int:
        """Bytes that a record may have, alone in a batch and before compression."""
        limit = topic.max_message_bytes
        if limit is not None and not self._compressed:
            return limit
        # The broker looks at what compression leaves, which nobody knows before.
        return max(self._max_batch_bytes, limit or 0)

    def _refusal(self, topic: KnownTopic, record: OutgoingRecord, limit: int) -> Exception | None:
        """What the broker would refuse, so that it need not refuse a batch in which others are."""
        if topic.compacted and record.key is None:
            return failure_for_code(
                INVALID_RECORD,
                f"Topic '{topic.name}' is compacted and takes no record without a key.",
            )
        size = len(record.key or b"") + len(record.value or b"")
        # Nearly every record is far below the limit: look closely only at those that are not.
        if size + MAX_OVERHEAD_BYTES > limit or record.headers:
            headers = list(record.headers)
            size = _ruler.size() + _ruler.size_in_bytes(0, 0, record.key, record.value, headers)
            if size > limit:
                return _too_large(topic, size, limit)
        return None


def _too_large(topic: KnownTopic, size: int, limit: int) -> RecordTooLarge:
    return RecordTooLarge(
        f"The record is {size} bytes with its overhead; topic '{topic.name}' takes {limit}."
    )

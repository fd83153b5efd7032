"""
Record batches that aiokafka cannot decode although Kafka and other clients can.

Header keys are strings to Kafka, but brokers do not look into them: a producer in C or Go may write
any bytes. aiokafka gives up the whole fetch at the first key that is not UTF-8; here such bytes
become U+FFFD, as the Java client makes them. Slow, and so for the partitions only that need it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiokafka import TopicPartition as Assigned
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.legacy_records import _LegacyRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy

from proxy.model import StoredRecord, TopicPartition

MAGIC_V2 = 2


class LenientRecords:
    """The records of a message set from an offset on; `next_offset` moves with them."""

    def __init__(
        self,
        where: TopicPartition,
        message_set: bytes,
        offset: int,
        *,
        isolation: int,
        aborted: list[tuple[int, int]] | None,
    ) -> None:
        self._batches = _Batches(message_set)
        self._records: Any = PartitionRecords(
            Assigned(*where), self._batches, aborted, offset, None, None, True, isolation
        )

    def __iter__(self) -> Iterator[StoredRecord]:
        """Raises kafka.KafkaError at a batch that is damaged."""
        records: Iterator[StoredRecord] = self._records
        return records

    @property
    def next_offset(self) -> int:
        """The offset to read on from."""
        offset: int = self._records.next_fetch_offset
        return offset

    @property
    def batch_end(self) -> int:
        """The offset behind the batch that was looked at last."""
        return self._batches.last_end


class _Batches:
    """What aiokafka's fetcher asks of a message set."""

    def __init__(self, message_set: bytes) -> None:
        self._batches = _MemoryRecordsPy(message_set)
        self.last_end = 0

    def has_next(self) -> bool:
        return self._batches.has_next()

    def next_batch(self) -> Any:
        batch_bytes: Any = self._batches._next_slice
        magic = batch_bytes[_MemoryRecordsPy.MAGIC_OFFSET]
        self._batches._cache_next()
        if magic < MAGIC_V2:
            old: Any = _LegacyRecordBatchPy(batch_bytes, magic)
            self.last_end = old.next_offset
            return old
        batch: Any = _DefaultRecordBatchPy(batch_bytes)
        self.last_end = batch.next_offset
        return _LenientBatch(batch)


class _LenientBatch:
    """A batch as aiokafka's Python code decodes it, over bytes that decode leniently."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Any:
        batch = iter(self._batch)
        batch._buffer = _LenientBytes(batch._buffer)
        return batch

    def __next__(self) -> Any:
        return next(iter(self))


class _LenientBytes(bytearray):
    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _LenientBytes(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)
